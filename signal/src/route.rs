//! Whose account a call is that comes by itself, by what brings it, where it comes from and what it asks for.
//!
//! Called by `siprec`, and by the daemon for calls without SIP; made by the daemon of `sip.routes` and `calls.routes`.
//!
//! The rule of it all: the first route of which all that it names is so; without one, the account that the source was
//! given; without that, the only account that there is, for calls from loopback alone and where no routes are set.

use std::net::IpAddr;

use ipnet::IpNet;
use reeld_model::AccountSid;

/// What brings a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A recording client, or any other SIP call.
    Sip,
    /// An rtpengine.
    Rtpengine,
    /// An AudioSocket connection.
    AudioSocket,
    /// RTP that came to an open port.
    OpenPort,
}

/// A rule: what is given of it must all be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose the call is.
    pub account: AccountSid,
    /// What brings it; anything where there is none.
    pub source: Option<Source>,
    /// The networks that it may come from; any where there are none.
    pub networks: Vec<IpNet>,
    /// The host of its Request-URI or its To.
    pub domain: Option<String>,
    /// A header and what it says.
    pub header: Option<(String, String)>,
}

/// A call as it is routed.
pub struct Caller<'a> {
    /// What brings it.
    pub source: Source,
    /// Where it comes from.
    pub address: IpAddr,
    /// The hosts that it is for, where it has any.
    pub hosts: &'a [&'a str],
    /// Whether a header, named in small letters, says a value; never, where it has no headers.
    pub says: &'a dyn Fn(&str, &str) -> bool,
}

impl<'a> Caller<'a> {
    /// A call of which nothing is known but what brings it and from where: rules that name a domain or a header are
    /// not for it.
    #[must_use]
    pub fn without_sip(source: Source, address: IpAddr) -> Caller<'a> {
        Self {
            source,
            address,
            hosts: &[],
            says: &|_, _| false,
        }
    }

    /// Whose it is: by the first route that fits; else `own`, which its source was given; else `sole`, the only account
    /// there is, where it comes from loopback and there are no routes.
    #[must_use]
    pub fn account(
        &self,
        routes: &[Route],
        own: Option<AccountSid>,
        sole: Option<AccountSid>,
    ) -> Option<AccountSid> {
        let rule = routes.iter().find(|route| route.fits(self));
        let is_alone = routes.is_empty() && self.address.to_canonical().is_loopback();
        rule.map(|route| route.account)
            .or(own)
            .or(sole.filter(|_| is_alone))
    }
}

impl Route {
    /// Whether the rule is for this call.
    fn fits(&self, caller: &Caller<'_>) -> bool {
        let address = caller.address.to_canonical();
        let mut networks = self.networks.iter();
        let network =
            self.networks.is_empty() || networks.any(|network| network.contains(&address));
        let source = self.source.is_none_or(|source| source == caller.source);
        let domain = self.domain.as_ref().is_none_or(|domain| {
            let mut hosts = caller.hosts.iter();
            hosts.any(|host| without_port(host).eq_ignore_ascii_case(domain))
        });
        let header = self
            .header
            .as_ref()
            .is_none_or(|(name, value)| (caller.says)(&name.to_ascii_lowercase(), value));
        network && source && domain && header
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        // The colons of an IPv6 address are within brackets.
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(byte: u8) -> AccountSid {
        AccountSid::from_bytes([byte; 16])
    }

    fn route(byte: u8) -> Route {
        Route {
            account: account(byte),
            source: None,
            networks: Vec::new(),
            domain: None,
            header: None,
        }
    }

    #[test]
    fn the_first_rule_that_fits_then_the_source_s_own_account_then_the_only_one_from_loopback() {
        let own = Some(account(8));
        let sole = Some(account(9));
        let local = Caller::without_sip(Source::AudioSocket, [127, 0, 0, 1].into());
        let far = Caller::without_sip(Source::OpenPort, [192, 0, 2, 7].into());
        assert_eq!(local.account(&[], None, sole), sole);
        assert_eq!(far.account(&[], None, sole), None);
        assert_eq!(far.account(&[], own, sole), own);
        let mut of_net = route(1);
        of_net.networks = vec!["192.0.2.0/24".parse().unwrap()];
        let mut of_source = route(2);
        of_source.source = Some(Source::AudioSocket);
        let routes = [of_net, of_source];
        assert_eq!(far.account(&routes, own, sole), Some(account(1)));
        assert_eq!(local.account(&routes, own, sole), Some(account(2)));
        let sip = Caller::without_sip(Source::Sip, [127, 0, 0, 1].into());
        assert_eq!(sip.account(&routes, None, sole), None, "no rule is for it");
    }

    #[test]
    fn rules_of_domain_or_header_are_for_calls_that_have_them() {
        let mut of_domain = route(1);
        of_domain.domain = Some("rec.example".to_owned());
        let mut of_header = route(2);
        of_header.header = Some(("X-Tenant".to_owned(), "acme".to_owned()));
        let routes = [of_domain, of_header];
        let none = Caller::without_sip(Source::Rtpengine, [192, 0, 2, 7].into());
        assert_eq!(none.account(&routes, None, None), None);
        let by_header = Caller {
            says: &|name, value| (name, value) == ("x-tenant", "acme"),
            ..Caller::without_sip(Source::Sip, [192, 0, 2, 7].into())
        };
        assert_eq!(by_header.account(&routes, None, None), Some(account(2)));
        let by_host = Caller {
            hosts: &["REC.example:5060"],
            ..Caller::without_sip(Source::Sip, [192, 0, 2, 7].into())
        };
        assert_eq!(by_host.account(&routes, None, None), Some(account(1)));
    }
}
