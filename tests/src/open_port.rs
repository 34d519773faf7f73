//! A daemon with an open port, and the calls that come to it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use toml::Table;

use crate::client::Client;
use crate::patience::wait_for;
use crate::port_block::PortBlock;
use crate::{Daemon, Setup};

/// A daemon with an open port.
#[derive(Debug)]
pub struct Bed {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it takes RTP.
    pub port: SocketAddr,
    _ports: PortBlock,
}

impl Bed {
    /// Starts it, with these keys of its entry.
    ///
    /// # Panics
    /// When the daemon does not start.
    #[must_use]
    pub fn start(setup: Setup, keys: &str) -> Self {
        let ports = PortBlock::take(2);
        let port = SocketAddr::from(([127, 0, 0, 1], ports.first()));
        let mut entry: Table = keys.parse().expect("TOML");
        entry.insert("listen".to_owned(), port.to_string().into());
        let entries = toml::Value::Array(vec![toml::Value::Table(entry)]);
        let daemon = setup.set("media.open", entries).start();
        Self {
            daemon,
            port,
            _ports: ports,
        }
    }

    /// A client of the API.
    #[must_use]
    pub fn client(&self) -> Client {
        self.daemon.client().clone()
    }

    /// All recordings, the oldest first, once there are so many that have ended.
    ///
    /// # Panics
    /// When there are not in time.
    #[must_use]
    pub fn recordings(&self, count: usize) -> Vec<Value> {
        let client = self.client();
        let path = client.path("/Recordings.json");
        let all = wait_for(
            "the recordings to have ended",
            Duration::from_secs(30),
            || {
                let all = client.get(&path).json()["recordings"].as_array().cloned()?;
                let ended = all.iter().all(|one| one["status"] != "processing");
                (all.len() == count && ended).then_some(all)
            },
        );
        let sids = all.iter().rev();
        let sids = sids.map(|one| one["sid"].as_str().expect("a Sid").to_owned());
        sids.map(|sid| client.recording(&sid)).collect()
    }
}

/// The CallSid of a stream of this source.
#[must_use]
pub fn call_sid(client: &Client, source: SocketAddr, ssrc: u32) -> String {
    let name = format!("reeld-call\0{}\0rtp:{source}/{ssrc:08x}", client.account());
    format!("CA{}", &blake3::hash(name.as_bytes()).to_hex()[..32])
}
