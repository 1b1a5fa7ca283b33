//! The sections `http` and `metrics` of the settings: the bounds of all listeners, and where the
//! metrics are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::in_range;

/// More than any process can have open.
const MOST_CONNECTIONS: usize = 1_000_000;

/// The bounds of the listeners of a process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// How many connections each listener may have open, as far as the limit of open files allows.
    pub max_connections: usize,
    /// How many connections of one peer each listener may have open. `None`: no limit.
    pub max_connections_per_peer: Option<usize>,
    /// Peers that have no limit of their own: load balancers and proxies, behind which all callers
    /// are one peer.
    pub trusted_proxies: Vec<PeerRange>,
}

/// An address, or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerRange(IpNet);

/// Where the metrics and the details of `/readyz` are served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// The address and port of `/metrics` and of the detailed `/readyz`.
    pub listen: SocketAddr,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_peer: None,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5110)),
        }
    }
}

impl HttpConfig {
    /// Reports each value that cannot be used: its key within the section, and why.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let mut check = |key: &str, value: usize| {
            if let Err(reason) = in_range(value, 1..=MOST_CONNECTIONS) {
                report(key, reason);
            }
        };
        check("max_connections", self.max_connections);
        if let Some(max) = self.max_connections_per_peer {
            check("max_connections_per_peer", max);
        }
    }

    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        let proxies = &self.trusted_proxies;
        proxies.iter().any(|range| range.contains(peer))
    }
}

impl PeerRange {
    /// Whether the peer is in it. An IPv4 address that is written as IPv6 is the same.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }
}

impl TryFrom<String> for PeerRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let net: Option<IpNet> = text.parse().ok();
        // A network with host bits is more often a typing error than meant.
        let net = net.filter(|net| net.trunc() == *net);
        let reason = || format!("{text:?} is neither an address nor a network such as 10.0.0.0/8");
        net.map(Self).ok_or_else(reason)
    }
}

impl From<PeerRange> for String {
    fn from(PeerRange(net): PeerRange) -> Self {
        match net.prefix_len() == net.max_prefix_len() {
            true => net.addr().to_string(),
            false => net.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        for text in ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "2001:db8::1"] {
            let range = PeerRange::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(range), text);
        }
        for text in ["10.0.0.1/8", "proxy", "", "10.0.0.0/33"] {
            let refused = PeerRange::try_from(text.to_owned()).unwrap_err();
            assert!(
                refused.contains("neither an address nor a network"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_limit_of_no_connection_is_refused() {
        let config = HttpConfig {
            max_connections: 0,
            max_connections_per_peer: Some(0),
            ..HttpConfig::default()
        };
        let mut keys = Vec::new();
        config.validate(&mut |key, _| keys.push(key.to_owned()));
        assert_eq!(keys, ["max_connections", "max_connections_per_peer"]);
        HttpConfig::default().validate(&mut |key, reason| panic!("{key}: {reason}"));
    }
}
