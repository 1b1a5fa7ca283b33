//! What the guard decides on: an address, and how a URL leads to it.

use std::net::IpAddr;

/// An address, and how a URL leads to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// The URL's host, if it is a name.
    pub(super) host: Option<&'a str>,
    /// Never an IPv4-mapped address: those are converted to IPv4.
    pub(super) address: IpAddr,
    /// The URL's port, if the URL contains the address.
    pub(super) port: Option<u16>,
}

impl<'a> Candidate<'a> {
    /// An address that a URL contains.
    pub(super) fn literal(address: IpAddr, port: u16) -> Self {
        Self {
            host: None,
            address: address.to_canonical(),
            port: Some(port),
        }
    }

    /// An address that a URL's host resolves to.
    pub(super) fn resolved(host: &'a str, address: IpAddr) -> Self {
        Self {
            host: Some(host),
            address: address.to_canonical(),
            port: None,
        }
    }

    /// The same URL with another address.
    pub(super) fn with_address(self, address: IpAddr) -> Self {
        Self { address, ..self }
    }
}
