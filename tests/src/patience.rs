//! Waiting: polling for a condition with a bound, never a sleep in the hope that it is enough.

use std::time::{Duration, Instant};

/// Between two looks at a condition: short against what tests wait for, long against a look.
const STEP: Duration = Duration::from_millis(10);

/// What `look` finds, as soon as it finds something.
///
/// # Panics
/// When it has found nothing after `bound`; the message says that `what` did not come.
#[track_caller]
pub fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < bound, "after {bound:?} still no {what}");
        std::thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_returned() {
        let mut looks = 0;
        let third = wait_for("third look", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(third, 3);
    }

    #[test]
    #[should_panic(expected = "still no thing")]
    fn what_does_not_come_is_named() {
        wait_for::<()>("thing", Duration::from_millis(1), || None);
    }
}
