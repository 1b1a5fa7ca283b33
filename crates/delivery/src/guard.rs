//! Which addresses may be called?
//!
//! Refuses every address that is not ordinary public unicast, unless an operator has opened it. It
//! judges addresses, never names: ask after name resolution, for every address, at every attempt.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use crate::TargetUrl;

mod refusal;
mod table;

pub use refusal::Refusal;

/// The address guard: closed to non-public addresses but for its openings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    nets: Vec<IpNet>,
    sockets: Vec<(IpAddr, u16)>,
}

/// An exception that an operator makes: `127.0.0.0/8`, `10.1.2.3`, `127.0.0.1:5107`, `[::1]:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// A range, on every port.
    Net(IpNet),
    /// One address, on one port.
    Socket(SocketAddr),
}

/// Why a text opens nothing. The sentence repeats the text: settings are the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpeningError {
    /// It is neither a range, an address nor an address with its port.
    #[error(
        "{0:?} opens nothing: write a range like 10.0.0.0/8, an address like 10.1.2.3, or an \
         address with a port like 127.0.0.1:5107 or [::1]:80"
    )]
    Malformed(String),
    /// Its address has bits beyond its prefix: more would be opened than is seen.
    #[error("{text:?} has bits beyond its prefix: write {meant} to open that range")]
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

impl Guard {
    /// A guard without openings.
    #[must_use]
    pub fn closed() -> Self {
        Self::default()
    }

    /// A guard with openings.
    ///
    /// - An opening of IPv4 opens the IPv4-mapped IPv6 spelling too (`::ffff:10.0.0.1` *is*
    ///   10.0.0.1), and the other way round; no other embedding of IPv4 in IPv6.
    /// - A metadata service is opened only by naming its very address: who opens 100.64.0.0/10
    ///   does not mean the cloud's credentials.
    /// - Where NAT64's 64:ff9b::/96 is opened, the IPv4 address inside must be admitted as well.
    #[must_use]
    pub fn new(allow: Vec<Opening>) -> Self {
        let mut guard = Self::closed();
        for opening in allow {
            match opening {
                Opening::Net(net) => guard.nets.push(canonical(net)),
                Opening::Socket(socket) => {
                    guard
                        .sockets
                        .push((socket.ip().to_canonical(), socket.port()));
                }
            }
        }
        guard
    }

    /// Admits an address on any port, or says why not.
    ///
    /// # Errors
    /// The rule that refuses the address, where no range is open for it.
    pub fn admit(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        let Some(refusal) = table::refusal(address) else {
            return Ok(());
        };
        let opened = self.nets.iter().any(|net| {
            net.contains(&address)
                && (refusal != Refusal::Metadata || net.prefix_len() == net.max_prefix_len())
        });
        if !opened {
            return Err(refusal);
        }
        match table::carried_by_nat64(address) {
            Some(carried) => self.admit(carried.into()),
            None => Ok(()),
        }
    }

    /// Admits an address on one port: what [`Guard::admit`] admits, and what is open on that port.
    ///
    /// # Errors
    /// The rule that refuses the address, where nothing is open for it.
    pub fn admit_socket(&self, address: IpAddr, port: u16) -> Result<(), Refusal> {
        if self.sockets.contains(&(address.to_canonical(), port)) {
            return Ok(());
        }
        self.admit(address)
    }

    /// Admits a URL as far as it tells its own address. A name is `Ok`: only its resolution tells.
    ///
    /// HTTP clients never ask their resolver for a literal, so this must be asked as well as the
    /// guard inside the resolver.
    ///
    /// # Errors
    /// The rule that refuses the literal address, where nothing is open for it.
    pub fn admit_literal(&self, url: &TargetUrl) -> Result<(), Refusal> {
        match url.literal() {
            Some(address) => self.admit_socket(address, url.target().port()),
            None => Ok(()),
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

impl FromStr for Opening {
    type Err = OpeningError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            if net != net.trunc() {
                return Err(OpeningError::HostBits {
                    text: text.to_owned(),
                    meant: net.trunc(),
                });
            }
            return Ok(Self::Net(net));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        match text.parse::<SocketAddr>() {
            Ok(socket) if socket.port() == 0 => Err(OpeningError::Port(text.to_owned())),
            Ok(socket) => Ok(Self::Socket(socket)),
            Err(_) => Err(OpeningError::Malformed(text.to_owned())),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => net.fmt(formatter),
            Self::Socket(socket) => socket.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod opening_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
