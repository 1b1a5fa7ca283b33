//! The ranges of addresses that are not public machines.
//!
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (every block, also those
//! marked globally reachable: no callee is at an anycast sink), the IPv6 address space registry
//! (global unicast is 2000::/3 only). A network's own NAT64 prefix (RFC 6052) looks like any public
//! range and cannot be known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::embedded::{
    COMPATIBLE, LOCAL_NAT64, NAT64, SIX_TO_FOUR, TEREDO, TRANSLATED, is_isatap, v6,
};
use super::metadata;
use super::refusal::Refusal::{
    self, Benchmarking, Broadcast, Documentation, Ipv4InIpv6, LinkLocal, Loopback, Metadata,
    Multicast, Private, Reserved, SharedAddress, Unspecified,
};

/// The first match counts.
const V4: [(Ipv4Net, Refusal); 19] = [
    (v4([0, 0, 0, 0], 8), Unspecified), // RFC 791; Linux calls itself by 0.0.0.0
    (v4([10, 0, 0, 0], 8), Private),    // RFC 1918
    (v4([100, 64, 0, 0], 10), SharedAddress), // RFC 6598
    (v4([127, 0, 0, 0], 8), Loopback),  // RFC 1122
    (v4([169, 254, 0, 0], 16), LinkLocal), // RFC 3927
    (v4([172, 16, 0, 0], 12), Private), // RFC 1918
    (v4([192, 0, 0, 0], 24), Reserved), // RFC 6890, protocol assignments
    (v4([192, 0, 2, 0], 24), Documentation), // RFC 5737
    (v4([192, 31, 196, 0], 24), Reserved), // RFC 7535, AS112
    (v4([192, 52, 193, 0], 24), Reserved), // RFC 7450, AMT
    (v4([192, 88, 99, 0], 24), Reserved), // RFC 7526, the old 6to4 relays
    (v4([192, 168, 0, 0], 16), Private), // RFC 1918
    (v4([192, 175, 48, 0], 24), Reserved), // RFC 7534, AS112
    (v4([198, 18, 0, 0], 15), Benchmarking), // RFC 2544
    (v4([198, 51, 100, 0], 24), Documentation), // RFC 5737
    (v4([203, 0, 113, 0], 24), Documentation), // RFC 5737
    (v4([224, 0, 0, 0], 4), Multicast), // RFC 1112
    (v4([255, 255, 255, 255], 32), Broadcast), // RFC 919
    (v4([240, 0, 0, 0], 4), Reserved),  // RFC 1112
];

/// The first match counts. IPv4-mapped addresses are converted to IPv4 before.
const V6: [(Ipv6Net, Refusal); 17] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Unspecified), // RFC 4291
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Loopback),    // RFC 4291
    (COMPATIBLE, Ipv4InIpv6),
    (TRANSLATED, Ipv4InIpv6),
    (NAT64, Ipv4InIpv6),
    (LOCAL_NAT64, Ipv4InIpv6),
    (TEREDO, Ipv4InIpv6),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Benchmarking), // RFC 5180
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Reserved),     // RFC 2928, ORCHID and others
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Documentation), // RFC 3849
    (SIX_TO_FOUR, Ipv4InIpv6),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), Reserved), // RFC 7534, AS112
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Documentation),    // RFC 9637
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Private),           // RFC 4193
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LinkLocal),        // RFC 4291
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Private),          // RFC 3879, site-local
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Multicast),         // RFC 4291
];

/// The range that IANA allocates to machines. Outside are the rest of ::/8, 100::/64 (RFC 6666),
/// 5f00::/16 (RFC 9602) and all unallocated ranges.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// The rule that refuses a canonical address (not an IPv4-mapped one); `None` for a public one.
pub(super) fn refusal(address: IpAddr) -> Option<Refusal> {
    if metadata::is_address(address) {
        return Some(Metadata);
    }
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<Refusal> {
    V4.iter()
        .find(|(net, _)| net.contains(&address))
        .map(|&(_, refusal)| refusal)
}

fn refusal_v6(address: Ipv6Addr) -> Option<Refusal> {
    if let Some(&(_, refusal)) = V6.iter().find(|(net, _)| net.contains(&address)) {
        return Some(refusal);
    }
    if !GLOBAL_UNICAST.contains(&address) {
        return Some(Reserved);
    }
    is_isatap(address).then_some(Ipv4InIpv6)
}
