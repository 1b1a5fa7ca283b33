//! The rules by which the guard refuses a URL or an address.

use std::fmt;

/// Why the guard refuses a URL or an address. It names the rule, never the address: a caller must
/// not learn what a name resolves to in a private network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// "This network": many systems route it to localhost.
    Unspecified,
    /// This machine.
    Loopback,
    /// A private network, or IPv6 unique local and site-local.
    Private,
    /// The local link.
    LinkLocal,
    /// A cloud's metadata service, which hands out credentials.
    Metadata,
    /// Shared by a provider's customers (carrier-grade NAT).
    SharedAddress,
    /// A group of machines.
    Multicast,
    /// Every machine on the link.
    Broadcast,
    /// Reserved by IANA for protocols or later use, or not allocated.
    Reserved,
    /// For examples in documentation.
    Documentation,
    /// For tests of network devices.
    Benchmarking,
    /// An IPv4 address embedded in IPv6: a network gateway decides which machine answers.
    Ipv4InIpv6,
    /// Only `https` is allowed.
    Scheme,
    /// The port is denied.
    Port,
    /// An allowlist is set, and neither the host nor the address is on it.
    NotListed,
}

impl Refusal {
    /// A name for logs, metrics, records and callers: `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::SharedAddress => "shared_address",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Ipv4InIpv6 => "ipv4_in_ipv6",
            Self::Scheme => "scheme",
            Self::Port => "closed_port",
            Self::NotListed => "not_listed",
        }
    }

    /// The setting by which such a target may be called. `None`: metadata services, which nobody
    /// should be invited to open.
    #[must_use]
    pub const fn setting(self) -> Option<&'static str> {
        match self {
            Self::Metadata => None,
            Self::Scheme => Some("guard.https_only"),
            Self::Port => Some("guard.denied_ports"),
            Self::NotListed => Some("apps.ID.allowed_hosts"),
            Self::Unspecified
            | Self::Loopback
            | Self::Private
            | Self::LinkLocal
            | Self::SharedAddress
            | Self::Multicast
            | Self::Broadcast
            | Self::Reserved
            | Self::Documentation
            | Self::Benchmarking
            | Self::Ipv4InIpv6 => Some("guard.allow"),
        }
    }
}

impl fmt::Display for Refusal {
    /// One sentence, without a full stop.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unspecified => "the address is unspecified (this network)",
            Self::Loopback => "the address is a loopback address",
            Self::Private => "the address is in a private network",
            Self::LinkLocal => "the address is link-local",
            Self::Metadata => "the address is a cloud metadata service",
            Self::SharedAddress => "the address is in the shared (carrier-grade NAT) range",
            Self::Multicast => "the address is a multicast address",
            Self::Broadcast => "the address is the broadcast address",
            Self::Reserved => "the address is in a reserved range",
            Self::Documentation => "the address is in a documentation range",
            Self::Benchmarking => "the address is in a benchmarking range",
            Self::Ipv4InIpv6 => "the address is an IPv4 address embedded in IPv6",
            Self::Scheme => "the URL is not https, and https is asked for",
            Self::Port => "the port is closed",
            Self::NotListed => "neither host nor address is on the list of what may be called",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_its_own_name_and_sentence() {
        let all = [
            Refusal::Unspecified,
            Refusal::Loopback,
            Refusal::Private,
            Refusal::LinkLocal,
            Refusal::Metadata,
            Refusal::SharedAddress,
            Refusal::Multicast,
            Refusal::Broadcast,
            Refusal::Reserved,
            Refusal::Documentation,
            Refusal::Benchmarking,
            Refusal::Ipv4InIpv6,
            Refusal::Scheme,
            Refusal::Port,
            Refusal::NotListed,
        ];
        let names: BTreeSet<_> = all.iter().map(|refusal| refusal.as_str()).collect();
        let sentences: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!((names.len(), sentences.len()), (all.len(), all.len()));
        let snake = |name: &str| {
            name.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        assert!(names.iter().all(|name| snake(name)), "{names:?}");
    }
}
