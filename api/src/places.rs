//! How many connections are open, all in all and from one address.
//!
//! `serve` takes a [`Place`] for each connection and drops it with it. One address (of IPv6, one /64)
//! cannot have all places, so that who holds connections open does not shut the others out.
//!
//! Bounded: an entry for each address that has a connection.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rates::network;

/// The places there are.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    open: AtomicUsize,
    most_of_one: usize,
    of_each: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicU64,
}

/// One of all places, not yet of anybody.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// A connection's place.
pub(crate) struct Place {
    places: Arc<Places>,
    network: IpAddr,
    _slot: Slot,
}

impl Places {
    /// So many, and so many of one address.
    pub(crate) fn new(most: usize, most_of_one: Option<usize>) -> Self {
        let most = most.max(1);
        Self {
            all: Arc::new(Semaphore::new(most)),
            open: AtomicUsize::new(0),
            most_of_one: most_of_one.unwrap_or(most),
            of_each: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Waits until there is one.
    pub(crate) async fn slot(&self) -> io::Result<Slot> {
        let slot = Arc::clone(&self.all).acquire_owned().await;
        slot.map(|permit| Slot { _permit: permit })
            .map_err(io::Error::other)
    }

    /// Gives a slot to an address, if that has not too many.
    pub(crate) fn give(self: &Arc<Self>, slot: Slot, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of_each.entry(network).or_insert(0);
        if *count >= self.most_of_one {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            places: Arc::clone(self),
            network,
            _slot: slot,
        })
    }

    /// Connections that are open: a slot that waits for its connection is none.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were closed since their address had too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let of_each = self.places.of_each.lock();
        let mut of_each = of_each.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of_each.get_mut(&self.network) {
            *count -= 1;
            self.places.open.fetch_sub(1, Ordering::Relaxed);
            if *count == 0 {
                of_each.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_has_not_all_places_and_gives_them_back() {
        let places = Arc::new(Places::new(3, Some(2)));
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let take = async |address| places.give(places.slot().await.unwrap(), address);
        let first = take(one).await.unwrap();
        let _second = take(one).await.unwrap();
        assert!(take(one).await.is_none());
        let _third = take(other).await.unwrap();
        assert_eq!((places.open(), places.refused()), (3, 1));
        let full = tokio::time::timeout(std::time::Duration::from_millis(20), places.slot()).await;
        assert!(full.is_err());
        drop(first);
        take(one).await.map(drop).unwrap();
        assert_eq!(places.of_each.lock().unwrap().len(), 2);
    }
}
