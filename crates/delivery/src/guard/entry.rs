//! What can stand on an operator's list of addresses and hosts?

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;
use url::Host;

use super::list::Place;

/// One entry of an allow-list: `127.0.0.0/8`, `10.1.2.3`, `127.0.0.1:5107`, `[::1]:80`,
/// `hooks.internal`, `*.hooks.internal`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A range, on every port.
    Net(IpNet),
    /// One address, on one port; it holds for URLs that name the address.
    Socket(SocketAddr),
    /// A host by its name, in lower case, without a last dot.
    Host(String),
    /// Every host below this name, at any depth; not the name itself.
    Below(String),
}

/// Why a text is no entry. The sentence repeats the text: settings are the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// It is neither a range, an address, an address with its port nor a host.
    #[error(
        "{0:?} is no range like 10.0.0.0/8, address like 10.1.2.3, address with a port like \
         127.0.0.1:5107 or [::1]:80, nor host like hooks.internal or *.hooks.internal"
    )]
    Malformed(String),
    /// Its address has bits beyond its prefix: more would be listed than is seen.
    #[error("{text:?} has bits beyond its prefix: write {meant} to mean that range")]
    HostBits {
        /// The text as given.
        text: String,
        /// The range that the prefix stands for.
        meant: IpNet,
    },
    /// Port 0 cannot be called.
    #[error("{0:?} opens nothing: port 0 cannot be called")]
    Port(String),
}

impl Entry {
    /// Whether the place is what the entry says.
    pub(super) fn covers(&self, place: Place<'_>) -> bool {
        match self {
            Self::Net(net) => net.contains(&place.address),
            Self::Socket(socket) => {
                socket.ip() == place.address && place.port == Some(socket.port())
            }
            Self::Host(_) | Self::Below(_) => place.host.is_some_and(|host| self.names(host)),
        }
    }

    /// Whether it names this host, as URLs spell it.
    pub(super) fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Host(name) => host.eq_ignore_ascii_case(name),
            Self::Below(name) => {
                let Some(rest) = host.len().checked_sub(name.len()) else {
                    return false;
                };
                // Bytes: a host of a URL is ASCII, and a cut through a letter must not panic.
                let (above, below) = host.as_bytes().split_at(rest);
                below.eq_ignore_ascii_case(name.as_bytes()) && matches!(above, [_, .., b'.'])
            }
            Self::Net(_) | Self::Socket(_) => false,
        }
    }

    /// Whether it stands for one address and nothing else.
    pub(super) fn is_one_address(&self) -> bool {
        match self {
            Self::Net(net) => net.prefix_len() == net.max_prefix_len(),
            Self::Socket(_) => true,
            Self::Host(_) | Self::Below(_) => false,
        }
    }

    /// The entry with IPv4-mapped addresses as the IPv4 addresses that they are.
    pub(super) fn canonical(self) -> Self {
        match self {
            Self::Net(net) => Self::Net(canonical(net)),
            Self::Socket(socket) => {
                Self::Socket((socket.ip().to_canonical(), socket.port()).into())
            }
            Self::Host(_) | Self::Below(_) => self,
        }
    }
}

/// Turns a range of IPv4-mapped addresses into the IPv4 range that it is.
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

/// A host's name in the form that URLs have it (lower case, Punycode), if it is one and no address.
fn host(text: &str) -> Option<String> {
    let Ok(Host::Domain(name)) = Host::parse(text) else {
        return None;
    };
    let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
    crate::target::is_host_name(&name).then_some(name)
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            if net != net.trunc() {
                return Err(EntryError::HostBits {
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
                0 => Err(EntryError::Port(text.to_owned())),
                _ => Ok(Self::Socket(socket)),
            };
        }
        let named = match text.strip_prefix("*.") {
            Some(above) => host(above).map(Self::Below),
            None => host(text).map(Self::Host),
        };
        named.ok_or_else(|| EntryError::Malformed(text.to_owned()))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => net.fmt(formatter),
            Self::Socket(socket) => socket.fmt(formatter),
            Self::Host(name) => formatter.write_str(name),
            Self::Below(name) => write!(formatter, "*.{name}"),
        }
    }
}
