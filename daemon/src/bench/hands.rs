//! Several hands for one list of requests, as several customers would have.
//!
//! Called by `capture`, `end` and `stall` for the steps of their calls' lives.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::interrupt;

/// Requests at once.
const HANDS: usize = 4;

/// Does `work` for each item from [`HANDS`] threads; the results in the items' order, or the first
/// error, which ends the others' work.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..HANDS.min(items.len()) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    match interrupt::check().and_then(|()| work(item)) {
                        Ok(result) => held(&done).push((index, result)),
                        Err(error) => {
                            failed.store(true, Ordering::Relaxed);
                            held(&failure).get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = held(&failure).take() {
        return Err(error);
    }
    let mut done = std::mem::take(&mut *held(&done));
    done.sort_by_key(|&(index, _)| index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// A lock whose holder may have panicked: the panic itself comes out of the scope.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn hands_keep_the_order_and_tell_of_failure() {
        let items: Vec<u32> = (0..100).collect();
        let doubled: Vec<u32> = items.iter().map(|item| item * 2).collect();
        assert_eq!(each(&items, |&item| Ok(item * 2)).unwrap(), doubled);
        let failing = each(
            &items,
            |&item| if item == 50 { bail!("fifty") } else { Ok(()) },
        );
        assert_eq!(failing.unwrap_err().to_string(), "fifty");
        assert!(each(&[0; 0], |_| Ok(())).unwrap().is_empty());
    }
}
