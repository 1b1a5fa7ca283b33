//! Which addresses may be called?
//!
//! Refuses every address that is not ordinary public unicast, unless an operator has opened it. It
//! judges addresses, never what names promise: ask after name resolution, for every address, at
//! every attempt. What an operator forbids of a URL itself (scheme, port) is judged here too.

use std::net::IpAddr;
use std::sync::Arc;

use crate::TargetUrl;

mod apps;
mod entry;
mod list;
mod ports;
mod refusal;
mod table;

pub use apps::Guards;
pub use entry::{Entry, EntryError};
pub use list::AllowList;
pub use ports::{Ports, PortsError};
pub use refusal::Refusal;

use list::Place;

/// The address guard: closed to non-public addresses but for its openings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    allow: AllowList,
    only: Option<Arc<AllowList>>,
    https_only: bool,
    closed_ports: Vec<Ports>,
}

/// By what an address is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission<'a> {
    /// It is public.
    Public,
    /// It is not public, but the operator has opened it.
    Opened(&'a Entry),
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
    /// - An opening by name opens whatever the name resolves to, but for metadata services.
    /// - A metadata service is opened only by naming its very address: who opens 100.64.0.0/10
    ///   does not mean the cloud's credentials.
    /// - Where NAT64's 64:ff9b::/96 is opened, the IPv4 address inside must be admitted as well.
    #[must_use]
    pub fn new(allow: Vec<Entry>) -> Self {
        Self {
            allow: AllowList::new(allow),
            ..Self::default()
        }
    }

    /// The same guard, closed to everything that is not on the list. An empty list closes nothing.
    #[must_use]
    pub fn only(mut self, list: Vec<Entry>) -> Self {
        self.only = (!list.is_empty()).then(|| Arc::new(AllowList::new(list)));
        self
    }

    /// The same guard, closed to `http` where `https_only` says so.
    #[must_use]
    pub fn https_only(mut self, https_only: bool) -> Self {
        self.https_only = https_only;
        self
    }

    /// The same guard, closed to these ports, on open addresses too.
    #[must_use]
    pub fn closed_ports(mut self, ports: Vec<Ports>) -> Self {
        self.closed_ports = ports;
        self
    }

    /// Admits a URL as far as it tells by itself: scheme, port, and host where that is an address.
    /// A name may be `Ok`: only its resolution tells.
    ///
    /// HTTP clients never ask their resolver for a literal, so this must be asked as well as the
    /// guard inside the resolver.
    ///
    /// # Errors
    /// The rule that refuses the URL.
    pub fn admit_url(&self, url: &TargetUrl) -> Result<(), Refusal> {
        self.judge_url(url).map(drop)
    }

    /// Like [`Guard::admit_url`], and by what a literal address is admitted. `None`: the host is a
    /// name.
    ///
    /// # Errors
    /// The rule that refuses the URL.
    pub fn judge_url(&self, url: &TargetUrl) -> Result<Option<Admission<'_>>, Refusal> {
        let target = url.target_ref();
        if self.https_only && target.scheme() != "https" {
            return Err(Refusal::Scheme);
        }
        let port = target.port();
        if self.closed_ports.iter().any(|closed| closed.contains(port)) {
            return Err(Refusal::Port);
        }
        match url.literal() {
            Some(address) => self.judge(Place::literal(address, port)).map(Some),
            None if self
                .only
                .as_ref()
                .is_some_and(|only| only.excludes(target.host())) =>
            {
                Err(Refusal::NotListed)
            }
            None => Ok(None),
        }
    }

    /// Admits an address that the host `name` of a URL resolves to, on any port.
    ///
    /// # Errors
    /// The rule that refuses the address, where nothing is open for it.
    pub fn admit(&self, name: &str, address: IpAddr) -> Result<(), Refusal> {
        self.judge_name(name, address).map(drop)
    }

    /// Like [`Guard::admit`], and by what the address is admitted.
    ///
    /// # Errors
    /// The rule that refuses the address.
    pub fn judge_name(&self, name: &str, address: IpAddr) -> Result<Admission<'_>, Refusal> {
        self.judge(Place::resolved(name, address))
    }

    fn judge(&self, place: Place<'_>) -> Result<Admission<'_>, Refusal> {
        if let Some(only) = &self.only {
            only.admit_place(place)?;
        }
        self.opened(place)
    }

    fn opened(&self, place: Place<'_>) -> Result<Admission<'_>, Refusal> {
        let Some(refusal) = table::refusal(place.address) else {
            return Ok(Admission::Public);
        };
        let by = self.allow.entries().find(|entry| {
            entry.covers(place) && (refusal != Refusal::Metadata || entry.is_one_address())
        });
        let by = by.ok_or(refusal)?;
        // Who names address and port has looked at it; who opens a range has not.
        match table::carried_by_nat64(place.address) {
            Some(carried) if !matches!(by, Entry::Socket(_)) => {
                self.opened(place.at(carried.into()))?;
            }
            Some(_) | None => {}
        }
        Ok(Admission::Opened(by))
    }
}

#[cfg(test)]
mod entry_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
