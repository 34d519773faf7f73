//! `[sip]` as it is checked, and the rules of `sip.routes`: `"AC…=network:192.0.2.0/24 domain:a.example"`.
//!
//! `check` calls [`routes`].

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use reeld_model::{AccountSid, Channels, PauseBehavior};

use crate::layer::Value;
use crate::network;
use crate::settings::TlsFiles;
use crate::value::{self, Reason, bad};

/// `[sip]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// Where the SIPREC recording server listens, by UDP and TCP; `None` is off.
    pub listen: Option<SocketAddr>,
    /// Where it listens for TLS; `None` is off.
    pub tls_listen: Option<SocketAddr>,
    /// Certificate and key for it.
    pub tls: Option<TlsFiles>,
    /// The address that clients are told, where it is not the one that it listens on.
    pub advertise: Option<IpAddr>,
    /// From where it may be called.
    pub allow: Vec<IpNet>,
    /// Whose account a call is; the first rule that fits.
    pub routes: Vec<SipRoute>,
    /// How the two streams of a call lie in the file.
    pub channels: Channels,
    /// What a pause leaves in the file.
    pub pause: PauseBehavior,
}

/// A rule of `sip.routes`: all that is given of it must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipRoute {
    /// Whose the call is.
    pub account: AccountSid,
    /// The networks that it may come from; any where there are none.
    pub networks: Vec<IpNet>,
    /// The host that it is for: that of its Request-URI or its To.
    pub domain: Option<String>,
    /// A header and what it says.
    pub header: Option<(String, String)>,
}

const ENTRY: &str =
    r#"entries such as "AC…=network:192.0.2.0/24 domain:rec.example.com header:X-Tenant:acme""#;

/// The rules of `sip.routes`.
pub(crate) fn routes(value: &Value) -> Result<Vec<SipRoute>, Reason> {
    let Value::List(entries) = value else {
        return Err(bad(format!("expected an array of {ENTRY}")));
    };
    entries.iter().map(|entry| route(entry)).collect()
}

fn route(entry: &str) -> Result<SipRoute, Reason> {
    let wrong = || bad(format!("expected {ENTRY}, found {entry:?}"));
    let (sid, conditions) = entry.split_once('=').ok_or_else(wrong)?;
    let mut route = SipRoute {
        account: value::account(&Value::Text(sid.trim().to_owned()))?,
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
        for wrong in ["network:x", "domain:", "header:x", "other:x", "x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(routes(&Value::List(vec!["AC1=".to_owned()])).is_err());
        assert!(routes(&Value::Text(String::new())).is_err());
    }
}
