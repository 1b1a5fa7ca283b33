//! The address guard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::allowlist::AllowList;
use super::candidate::Candidate;
use super::embedded;
use super::metadata;
use super::ports::PortRange;
use super::refusal::Refusal;
use super::rule::AddressRule;
use super::special_ranges;
use crate::target_url::TargetUrl;

/// The address guard: refuses addresses that are not public, except those that a rule allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    allow: AllowList,
    /// If set, everything else is refused.
    allowlist: Option<Arc<AllowList>>,
    https_only: bool,
    denied_ports: Vec<PortRange>,
}

/// Why an address is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmittedBy<'a> {
    /// It is public.
    Public,
    /// It is not public, but this rule allows it.
    Rule(&'a AddressRule),
}

impl Guard {
    /// A guard that allows public addresses only.
    #[must_use]
    pub fn closed() -> Self {
        Self::default()
    }

    /// A guard that also allows these addresses and hosts.
    ///
    /// - A rule for IPv4 also allows the IPv4-mapped IPv6 form (`::ffff:10.0.0.1` *is* 10.0.0.1),
    ///   and vice versa, but no other embedding of IPv4 in IPv6.
    /// - A rule for a name allows whatever the name resolves to, except metadata services.
    /// - A metadata service is allowed only by a rule for exactly its address: a rule for
    ///   100.64.0.0/10 is not meant for the cloud's credentials. The name of one is allowed only by
    ///   a rule for exactly that name, and its address needs its own rule all the same.
    /// - Each IPv4 address that an allowed IPv6 address carries (NAT64, 6to4, Teredo, ISATAP,
    ///   IPv4-compatible, IPv4-translated) must be admitted as well, unless the rule has the address
    ///   and a port.
    #[must_use]
    pub fn new(allow: Vec<AddressRule>) -> Self {
        Self {
            allow: AllowList::new(allow),
            ..Self::default()
        }
    }

    /// The same guard, but it refuses everything that is not on the list. An empty list refuses
    /// nothing.
    #[must_use]
    pub fn allowlist(mut self, list: Vec<AddressRule>) -> Self {
        self.allowlist = (!list.is_empty()).then(|| Arc::new(AllowList::new(list)));
        self
    }

    /// The same guard, but it refuses `http` if `https_only` is set.
    #[must_use]
    pub fn https_only(mut self, https_only: bool) -> Self {
        self.https_only = https_only;
        self
    }

    /// The same guard, but it refuses these ports, on allowed addresses too.
    #[must_use]
    pub fn denied_ports(mut self, ports: Vec<PortRange>) -> Self {
        self.denied_ports = ports;
        self
    }

    /// Admits a URL, as far as that can be decided before its host is resolved: scheme, port, and a
    /// host that is an address or `localhost`. `Ok` for another name: its addresses must be admitted
    /// after resolution.
    ///
    /// HTTP clients do not resolve literal addresses, so this check is needed besides the guard in
    /// the resolver.
    ///
    /// # Errors
    /// The rule that refuses the URL.
    pub fn admit_url(&self, url: &TargetUrl) -> Result<(), Refusal> {
        self.evaluate_url(url).map(drop)
    }

    /// Like [`Guard::admit_url`], and says why a literal address is admitted. `None`: the host is a
    /// name.
    ///
    /// # Errors
    /// The rule that refuses the URL.
    pub fn evaluate_url(&self, url: &TargetUrl) -> Result<Option<AdmittedBy<'_>>, Refusal> {
        let target = url.target_ref();
        if self.https_only && target.scheme() != "https" {
            return Err(Refusal::Scheme);
        }
        let port = target.port();
        if self.denied_ports.iter().any(|denied| denied.contains(port)) {
            return Err(Refusal::Port);
        }
        match url.literal() {
            Some(address) => self.evaluate(Candidate::literal(address, port)).map(Some),
            None => match &self.allowlist {
                Some(list) if list.excludes(target.host()) => Err(Refusal::NotListed),
                Some(_) | None => self.check_name(target.host()).map(|()| None),
            }
            .and_then(|found| self.check_localhost(target.host()).map(|()| found)),
        }
    }

    /// `localhost` and the names below it never mean another machine (RFC 6761, section 6.3): what
    /// every attempt would find is known before.
    fn check_localhost(&self, host: &str) -> Result<(), Refusal> {
        let name = host.strip_suffix('.').unwrap_or(host);
        let last = name.rsplit('.').next().unwrap_or(name);
        if !last.eq_ignore_ascii_case("localhost") {
            return Ok(());
        }
        // Which of the two it resolves to is only known at the attempt.
        self.admit(host, Ipv4Addr::LOCALHOST.into())
            .or_else(|refusal| {
                let other = self.admit(host, Ipv6Addr::LOCALHOST.into());
                other.map_err(|_| refusal)
            })
    }

    /// Admits an address that the host `name` of a URL resolves to, on any port.
    ///
    /// # Errors
    /// The rule that refuses the address.
    pub fn admit(&self, name: &str, address: IpAddr) -> Result<(), Refusal> {
        self.evaluate_name(name, address).map(drop)
    }

    /// Like [`Guard::admit`], and says why the address is admitted.
    ///
    /// # Errors
    /// The rule that refuses the address.
    pub fn evaluate_name(&self, name: &str, address: IpAddr) -> Result<AdmittedBy<'_>, Refusal> {
        self.evaluate(Candidate::resolved(name, address))
    }

    pub(super) fn evaluate(&self, candidate: Candidate<'_>) -> Result<AdmittedBy<'_>, Refusal> {
        if let Some(list) = &self.allowlist {
            list.admit_candidate(candidate)?;
        }
        if let Some(host) = candidate.host {
            self.check_name(host)?;
        }
        self.check_address(candidate)
    }

    /// Refuses the name of a metadata service, unless a rule names exactly it.
    fn check_name(&self, host: &str) -> Result<(), Refusal> {
        let names_it =
            |rule: &AddressRule| matches!(rule, AddressRule::Host(_)) && rule.matches_host(host);
        match metadata::is_name(host) && !self.allow.rules().any(names_it) {
            true => Err(Refusal::Metadata),
            false => Ok(()),
        }
    }

    fn check_address(&self, candidate: Candidate<'_>) -> Result<AdmittedBy<'_>, Refusal> {
        let Some(refusal) = special_ranges::refusal(candidate.address) else {
            return Ok(AdmittedBy::Public);
        };
        let rule = self.allow.rules().find(|rule| {
            rule.matches(candidate) && (refusal != Refusal::Metadata || rule.is_single_address())
        });
        let rule = rule.ok_or(refusal)?;
        // A rule with address and port is specific enough; a range may cover more than was
        // intended.
        if !matches!(rule, AddressRule::Socket(_)) {
            for carried in embedded::carried(candidate.address, rule.prefix_len()) {
                self.check_address(candidate.with_address(carried.into()))?;
            }
        }
        Ok(AdmittedBy::Rule(rule))
    }
}
