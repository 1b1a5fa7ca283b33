//! Rules for addresses and hosts in settings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use thiserror::Error;
use url::Host;

use super::candidate::Candidate;
use crate::target_url::is_host_name;

/// An address or a host that an operator allows: `127.0.0.0/8`, `10.1.2.3`, `127.0.0.1:5107`,
/// `[::1]:80`, `hooks.internal`, `*.hooks.internal`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
pub enum AddressRule {
    /// A range, on every port.
    Net(IpNet),
    /// One address, on one port; it applies to URLs that contain the address.
    Socket(SocketAddr),
    /// A host by its name, in lower case, without a final dot.
    Host(String),
    /// Every host below this name, at any depth, but not the name itself.
    Subdomains(String),
}

/// Why a text is not an [`AddressRule`]. The sentence repeats the text: it comes from the operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressRuleError {
    /// It is neither a range, an address, an address with a port nor a host.
    #[error(
        "{0:?} is not a range like 10.0.0.0/8, an address like 10.1.2.3, an address with a port like \
         127.0.0.1:5107 or [::1]:80, or a host like hooks.internal or *.hooks.internal"
    )]
    Malformed(String),
    /// Its address has bits beyond its prefix: it would allow more than it shows.
    #[error("{text:?} has bits beyond its prefix: write {meant} for the whole range")]
    HostBits {
        /// The text.
        text: String,
        /// The range that the prefix means.
        meant: IpNet,
    },
    /// A name with a port.
    #[error(
        "{text:?} has a name and a port: a rule for a name allows every port, write {name}, or write \
         an address with the port, like 127.0.0.1:5107"
    )]
    NamePort {
        /// The text.
        text: String,
        /// Its name.
        name: String,
    },
    /// Port 0 cannot be called.
    #[error("{0:?} allows nothing: port 0 cannot be called")]
    Port(String),
}

impl AddressRule {
    /// Whether it matches the address, or the host that led to it.
    pub(super) fn matches(&self, candidate: Candidate<'_>) -> bool {
        match self {
            Self::Net(net) => net.contains(&candidate.address),
            Self::Socket(socket) => {
                socket.ip() == candidate.address && candidate.port == Some(socket.port())
            }
            Self::Host(_) | Self::Subdomains(_) => {
                candidate.host.is_some_and(|host| self.matches_host(host))
            }
        }
    }

    /// Whether it matches this host, as written in a URL.
    pub(super) fn matches_host(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Host(name) => host.eq_ignore_ascii_case(name),
            Self::Subdomains(name) => {
                let Some(rest) = host.len().checked_sub(name.len()) else {
                    return false;
                };
                // Bytes: splitting inside a character must not panic.
                let (above, below) = host.as_bytes().split_at(rest);
                below.eq_ignore_ascii_case(name.as_bytes()) && matches!(above, [_, .., b'.'])
            }
            Self::Net(_) | Self::Socket(_) => false,
        }
    }

    /// Whether it matches a single address and nothing else.
    pub(super) fn is_single_address(&self) -> bool {
        match self {
            Self::Net(net) => net.prefix_len() == net.max_prefix_len(),
            Self::Socket(_) => true,
            Self::Host(_) | Self::Subdomains(_) => false,
        }
    }

    /// How many bits of an address it fixes. A name fixes none.
    pub(super) fn prefix_len(&self) -> u8 {
        match self {
            Self::Net(net) => net.prefix_len(),
            Self::Socket(socket) => IpNet::from(socket.ip()).prefix_len(),
            Self::Host(_) | Self::Subdomains(_) => 0,
        }
    }

    /// The rule with IPv4-mapped addresses converted to IPv4.
    pub(super) fn canonical(self) -> Self {
        match self {
            Self::Net(net) => Self::Net(canonical(net)),
            Self::Socket(socket) => {
                Self::Socket((socket.ip().to_canonical(), socket.port()).into())
            }
            Self::Host(_) | Self::Subdomains(_) => self,
        }
    }
}

/// Converts a range of IPv4-mapped addresses to the IPv4 range.
fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return v4.into();
    }
    net
}

/// A host's name as URLs have it (lower case, Punycode), if it is a name and not an address.
fn host(text: &str) -> Option<String> {
    let Ok(Host::Domain(name)) = Host::parse(text) else {
        return None;
    };
    let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
    is_host_name(&name).then_some(name)
}

impl FromStr for AddressRule {
    type Err = AddressRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            if net != net.trunc() {
                return Err(AddressRuleError::HostBits {
                    text: text.to_owned(),
                    meant: net.trunc(),
                });
            }
            return Ok(Self::Net(net));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return match socket.port() {
                0 => Err(AddressRuleError::Port(text.to_owned())),
                _ => Ok(Self::Socket(socket)),
            };
        }
        if let Some((name, port)) = text.rsplit_once(':')
            && host(name.strip_prefix("*.").unwrap_or(name)).is_some()
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(AddressRuleError::NamePort {
                text: text.to_owned(),
                name: name.to_owned(),
            });
        }
        let named = match text.strip_prefix("*.") {
            Some(above) => host(above).map(Self::Subdomains),
            None => host(text).map(Self::Host),
        };
        named.ok_or_else(|| AddressRuleError::Malformed(text.to_owned()))
    }
}

impl fmt::Display for AddressRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => net.fmt(formatter),
            Self::Socket(socket) => socket.fmt(formatter),
            Self::Host(name) => formatter.write_str(name),
            Self::Subdomains(name) => write!(formatter, "*.{name}"),
        }
    }
}
