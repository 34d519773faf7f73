//! Whose account a recording session is, by where it comes from and what it asks for.
//!
//! Called by `agent`; made by the daemon of `sip.routes`.

use ipnet::IpNet;
use reeld_model::AccountSid;

use super::Peer;
use super::message::{Request, host_of};

/// A rule: what is given of it must all be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose the session is.
    pub account: AccountSid,
    /// The networks that it may come from; any where there are none.
    pub networks: Vec<IpNet>,
    /// The host of its Request-URI or its To.
    pub domain: Option<String>,
    /// A header and what it says.
    pub header: Option<(String, String)>,
}

impl Route {
    /// Whether the rule is for this request.
    pub(crate) fn fits(&self, request: &Request, from: Peer) -> bool {
        let address = from.address().ip().to_canonical();
        let mut networks = self.networks.iter();
        let network =
            self.networks.is_empty() || networks.any(|network| network.contains(&address));
        let domain = self.domain.as_ref().is_none_or(|domain| {
            let hosts = [
                host_of(&request.uri),
                host_of(crate::sip::uri(request.to())),
            ];
            hosts
                .into_iter()
                .flatten()
                .any(|host| without_port(host).eq_ignore_ascii_case(domain))
        });
        let header = self.header.as_ref().is_none_or(|(name, value)| {
            let name = name.to_ascii_lowercase();
            request.all(&name).any(|said| said == value)
        });
        network && domain && header
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        // The colons of an IPv6 address are within brackets.
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}
