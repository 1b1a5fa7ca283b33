//! An operator's list of addresses and hosts.

use std::net::IpAddr;

use super::candidate::Candidate;
use super::refusal::Refusal;
use super::rule::AddressRule;
use crate::target_url::TargetUrl;

/// An operator's list of addresses and hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<AddressRule>);

impl AllowList {
    /// The list of these rules.
    #[must_use]
    pub fn new(rules: Vec<AddressRule>) -> Self {
        Self(rules.into_iter().map(AddressRule::canonical).collect())
    }

    /// Admits an address that the host `name` resolves to.
    ///
    /// # Errors
    /// [`Refusal::NotListed`].
    pub fn admit(&self, name: &str, address: IpAddr) -> Result<(), Refusal> {
        self.admit_candidate(Candidate::resolved(name, address))
    }

    /// Admits a URL, as far as that can be decided before its host is resolved.
    ///
    /// # Errors
    /// [`Refusal::NotListed`].
    pub fn admit_url(&self, url: &TargetUrl) -> Result<(), Refusal> {
        let target = url.target_ref();
        match url.literal() {
            Some(address) => self.admit_candidate(Candidate::literal(address, target.port())),
            None if self.excludes(target.host()) => Err(Refusal::NotListed),
            None => Ok(()),
        }
    }

    pub(super) fn admit_candidate(&self, candidate: Candidate<'_>) -> Result<(), Refusal> {
        match self.0.iter().any(|rule| rule.matches(candidate)) {
            true => Ok(()),
            false => Err(Refusal::NotListed),
        }
    }

    /// Whether no rule can match this host, whatever it resolves to.
    pub(super) fn excludes(&self, host: &str) -> bool {
        let may_match =
            |rule: &AddressRule| matches!(rule, AddressRule::Net(_)) || rule.matches_host(host);
        !self.0.iter().any(may_match)
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &AddressRule> {
        self.0.iter()
    }
}
