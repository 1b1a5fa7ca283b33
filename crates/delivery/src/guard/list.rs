//! Does an operator's list hold this host, this address?

use std::net::IpAddr;

use super::{Entry, Refusal};
use crate::TargetUrl;

/// An operator's list of addresses and hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Entry>);

/// What is judged: an address, and how a URL got there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The URL's host, where that is a name.
    pub(super) host: Option<&'a str>,
    /// Never an IPv4-mapped one: that is IPv4 by then.
    pub(super) address: IpAddr,
    /// The URL's port, where the URL names the address.
    pub(super) port: Option<u16>,
}

impl<'a> Place<'a> {
    /// An address that a URL names.
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

    /// The same way to another address.
    pub(super) fn at(self, address: IpAddr) -> Self {
        Self { address, ..self }
    }
}

impl AllowList {
    /// The list of these entries.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries.into_iter().map(Entry::canonical).collect())
    }

    /// Admits an address that the host `name` resolves to.
    ///
    /// # Errors
    /// [`Refusal::NotListed`].
    pub fn admit(&self, name: &str, address: IpAddr) -> Result<(), Refusal> {
        self.admit_place(Place::resolved(name, address))
    }

    /// Admits a URL as far as it tells by itself.
    ///
    /// # Errors
    /// [`Refusal::NotListed`].
    pub fn admit_url(&self, url: &TargetUrl) -> Result<(), Refusal> {
        let target = url.target_ref();
        match url.literal() {
            Some(address) => self.admit_place(Place::literal(address, target.port())),
            None if self.excludes(target.host()) => Err(Refusal::NotListed),
            None => Ok(()),
        }
    }

    pub(super) fn admit_place(&self, place: Place<'_>) -> Result<(), Refusal> {
        match self.0.iter().any(|entry| entry.covers(place)) {
            true => Ok(()),
            false => Err(Refusal::NotListed),
        }
    }

    /// Whether this host is not on the list, whatever it resolves to.
    pub(super) fn excludes(&self, host: &str) -> bool {
        let may_hold = |entry: &Entry| matches!(entry, Entry::Net(_)) || entry.names(host);
        !self.0.iter().any(may_hold)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }
}
