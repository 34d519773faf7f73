//! Names → addresses, by the system's resolver, or by a test's.
//!
//! Called by `connect`, which checks each address before it connects to it. Nothing is kept: what a
//! name stands for is asked anew for each connection.
//!
//! The system's resolver blocks a thread for as long as a name's servers please, also after the one who
//! asked has gone. Threads are bounded, all in all and for one name, so that a name whose servers
//! hang holds up neither the store, which shares them, nor other names.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Lookups at once.
const MOST: usize = 64;

/// Of them, those of one name.
const MOST_OF_NAME: usize = 4;

/// What a name stands for at a port.
pub(crate) type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who is asked.
pub(crate) type Names = Box<dyn Fn(String, u16) -> Found + Send + Sync>;

/// The system's resolver.
pub(crate) fn system() -> Names {
    let bounds = Arc::new(Bounds {
        all: Arc::new(Semaphore::new(MOST)),
        names: Mutex::default(),
    });
    Box::new(move |name, port| {
        let bounds = Arc::clone(&bounds);
        Box::pin(async move {
            let closed = |_| io::Error::other("no lookup is taken any more");
            let of_name = bounds.of(&name).acquire_owned().await.map_err(closed)?;
            let of_all = Arc::clone(&bounds.all);
            let of_all = of_all.acquire_owned().await.map_err(closed)?;
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (name, port).to_socket_addrs().map(Iterator::collect);
                // Not before: a caller that is gone leaves the lookup behind.
                drop((of_name, of_all));
                found
            });
            lookup.await.map_err(io::Error::other)?
        })
    })
}

struct Bounds {
    all: Arc<Semaphore>,
    names: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Bounds {
    fn of(&self, name: &str) -> Arc<Semaphore> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() > MOST {
            // A permit, and one who waits for it, holds its semaphore.
            names.retain(|_, of_name| Arc::strong_count(of_name) > 1);
        }
        let of_name = names.entry(name.to_owned());
        Arc::clone(of_name.or_insert_with(|| Arc::new(Semaphore::new(MOST_OF_NAME))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_localhost_and_names_are_forgotten() {
        let names = system();
        let found = names("localhost".to_owned(), 80).await.unwrap();
        assert!(found.iter().any(|address| address.ip().is_loopback()));
        assert!(names("no.such.name.invalid".to_owned(), 80).await.is_err());

        let bounds = Bounds {
            all: Arc::new(Semaphore::new(1)),
            names: Mutex::default(),
        };
        let held = bounds.of("held").acquire_owned().await.unwrap();
        for n in 0..1_000 {
            let _ = bounds.of(&n.to_string());
        }
        assert!(bounds.names.lock().unwrap().len() <= MOST + 2);
        assert_eq!(bounds.of("held").available_permits(), MOST_OF_NAME - 1);
        drop(held);
        assert_eq!(bounds.of("held").available_permits(), MOST_OF_NAME);
    }
}
