//! `[[media.open]]` as it is checked: ports to which RTP comes that nothing signals.
//!
//! `check` calls [`payloads`]; what the keys mean stands in [`crate::key::OPEN_KEYS`].

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use reeld_model::AccountSid;

use crate::layer::Value;
use crate::value::{Reason, bad};

/// One `[[media.open]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPort {
    /// Where RTP comes to.
    pub listen: SocketAddr,
    /// From where it may.
    pub allow: Vec<IpNet>,
    /// Whose calls are that no rule of `calls.routes` is for.
    pub account: Option<AccountSid>,
    /// Whether two streams of a source at once are a call's two tracks, in a file of two channels.
    pub pairs: bool,
    /// How long a break may be that a new stream of a source follows.
    pub follow: Duration,
    /// The silence that ends a call.
    pub timeout: Duration,
    /// Calls at once.
    pub max_calls: usize,
    /// What payload types mean beyond the usual ones: the type and its `rtpmap`.
    pub payloads: Vec<(u8, String)>,
}

const PAYLOAD: &str = r#"entries such as "96=L16/16000""#;

/// `payloads`: `"96=L16/16000"`.
pub(crate) fn payloads(value: &Value) -> Result<Vec<(u8, String)>, Reason> {
    let Value::List(entries) = value else {
        return Err(bad(format!("expected an array of {PAYLOAD}")));
    };
    entries.iter().map(|entry| payload(entry)).collect()
}

fn payload(entry: &str) -> Result<(u8, String), Reason> {
    let wrong = || bad(format!("expected {PAYLOAD}, found {entry:?}"));
    let (number, map) = entry.split_once('=').ok_or_else(wrong)?;
    let number: u8 = number.trim().parse().map_err(|_| wrong())?;
    // RFC 5761 §4: 64 to 95 would be reports.
    if number > 127 || (64..96).contains(&number) {
        return Err(bad(format!("{number} is no payload type of sound")));
    }
    let mut parts = map.trim().split('/');
    let name = parts.next().unwrap_or_default();
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let numbers: Vec<Option<u32>> = parts.map(|part| part.parse().ok()).collect();
    let is_clock = matches!(numbers[..], [Some(_)] | [Some(_), Some(_)]);
    if is_name && is_clock {
        Ok((number, map.trim().to_owned()))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_type_is_a_number_and_its_rtpmap() {
        let read = |entry: &str| payloads(&Value::List(vec![entry.to_owned()]));
        assert_eq!(
            read("96=L16/16000").unwrap(),
            [(96, "L16/16000".to_owned())]
        );
        assert_eq!(
            read(" 111 = opus/48000/2").unwrap(),
            [(111, "opus/48000/2".to_owned())]
        );
        for wrong in [
            "",
            "96",
            "x=L16/8000",
            "128=L16/8000",
            "72=L16/8000",
            "96=L16",
            "96=/8000",
            "96=a b/8000",
            "96=L16/x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(payloads(&Value::Text(String::new())).is_err());
    }
}
