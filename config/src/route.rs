//! The rules of `sip.routes` and `calls.routes`: `"AC…=source:sip network:192.0.2.0/24 domain:a.example"`.
//!
//! `check` calls [`routes`].

use ipnet::IpNet;
use reeld_model::AccountSid;

use crate::layer::Value;
use crate::network;
use crate::value::{self, Reason, bad};

/// `[calls]`: of calls that come by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// Whose account a call is; the first rule that fits.
    pub routes: Vec<CallRoute>,
}

/// What brings calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallSource {
    /// `sip`.
    Sip,
    /// `rtpengine`.
    Rtpengine,
    /// `audiosocket`.
    AudioSocket,
    /// `open`: RTP that comes to an open port.
    OpenPort,
}

impl CallSource {
    fn named(name: &str) -> Option<Self> {
        match name {
            "sip" => Some(Self::Sip),
            "rtpengine" => Some(Self::Rtpengine),
            "audiosocket" => Some(Self::AudioSocket),
            "open" => Some(Self::OpenPort),
            _ => None,
        }
    }
}

/// A rule: all that is given of it must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRoute {
    /// Whose the call is.
    pub account: AccountSid,
    /// What brings it; anything where there is none.
    pub source: Option<CallSource>,
    /// The networks that it may come from; any where there are none.
    pub networks: Vec<IpNet>,
    /// The host that it is for: that of its Request-URI or its To.
    pub domain: Option<String>,
    /// A header and what it says.
    pub header: Option<(String, String)>,
}

const ENTRY: &str =
    r#"entries such as "AC…=network:192.0.2.0/24 domain:rec.example.com header:X-Tenant:acme""#;

/// The rules of `sip.routes` or `calls.routes`.
pub(crate) fn routes(value: &Value) -> Result<Vec<CallRoute>, Reason> {
    let Value::List(entries) = value else {
        return Err(bad(format!("expected an array of {ENTRY}")));
    };
    entries.iter().map(|entry| route(entry)).collect()
}

fn route(entry: &str) -> Result<CallRoute, Reason> {
    let wrong = || bad(format!("expected {ENTRY}, found {entry:?}"));
    let (sid, conditions) = entry.split_once('=').ok_or_else(wrong)?;
    let mut route = CallRoute {
        account: value::account(&Value::Text(sid.trim().to_owned()))?,
        source: None,
        networks: Vec::new(),
        domain: None,
        header: None,
    };
    for condition in conditions.split_ascii_whitespace() {
        match condition.split_once(':') {
            Some(("network", word)) => {
                let networks = network::named(word);
                let networks = networks.ok_or_else(|| bad(format!("{word:?} is no network")))?;
                route.networks.extend(networks);
            }
            Some(("source", name)) => {
                let source = CallSource::named(name);
                let known = "sip, rtpengine, audiosocket, open";
                let unknown = || bad(format!("{name:?} is no source of calls ({known})"));
                route.source = Some(source.ok_or_else(unknown)?);
            }
            Some(("domain", domain)) if !domain.is_empty() => {
                route.domain = Some(domain.to_owned());
            }
            Some(("header", header)) => {
                let (name, said) = header.split_once(':').ok_or_else(wrong)?;
                route.header = Some((name.to_owned(), said.to_owned()));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_an_account_and_what_must_be_so() {
        let account = "AC00000000000000000000000000000001";
        let read = |text: &str| routes(&Value::List(vec![format!("{account}={text}")]));
        assert_eq!(read("").unwrap()[0].networks, []);
        let all =
            read(" network:192.0.2.0/24 network:loopback domain:a.example header:X-T:x").unwrap();
        assert_eq!(
            (all[0].networks.len(), all[0].domain.as_deref()),
            (3, Some("a.example"))
        );
        assert_eq!(all[0].header, Some(("X-T".to_owned(), "x".to_owned())));
        let of_source = read("source:audiosocket network:loopback").unwrap();
        assert_eq!(of_source[0].source, Some(CallSource::AudioSocket));
        for wrong in [
            "source:x",
            "network:x",
            "domain:",
            "header:x",
            "other:x",
            "x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(routes(&Value::List(vec!["AC1=".to_owned()])).is_err());
        assert!(routes(&Value::Text(String::new())).is_err());
    }
}
