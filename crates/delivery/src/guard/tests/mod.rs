//! The guard refuses each range from its first address to its last, and nothing next to it.

mod allowlist;
mod embedded;
mod metadata;
mod properties;
mod rules;

use Refusal::{
    Benchmarking, Broadcast, Documentation, Ipv4InIpv6, LinkLocal, Loopback, Metadata, Multicast,
    Private, Reserved, SharedAddress, Unspecified,
};

use std::net::IpAddr;

use super::candidate::Candidate;
use super::*;
use crate::TargetUrl;

/// A name that is on no list.
pub(super) const HOST: &str = "name.example";

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is not an address"))
}

/// Each refused range by its first and last address.
pub(super) const CLOSED: &[(&str, &str, Refusal)] = &[
    ("0.0.0.0", "0.255.255.255", Unspecified),
    ("10.0.0.0", "10.255.255.255", Private),
    ("100.64.0.0", "100.127.255.255", SharedAddress),
    ("127.0.0.0", "127.255.255.255", Loopback),
    ("169.254.0.0", "169.254.255.255", LinkLocal),
    ("172.16.0.0", "172.31.255.255", Private),
    ("192.0.0.0", "192.0.0.255", Reserved),
    ("192.0.2.0", "192.0.2.255", Documentation),
    ("192.31.196.0", "192.31.196.255", Reserved),
    ("192.52.193.0", "192.52.193.255", Reserved),
    ("192.88.99.0", "192.88.99.255", Reserved),
    ("192.168.0.0", "192.168.255.255", Private),
    ("192.175.48.0", "192.175.48.255", Reserved),
    ("198.18.0.0", "198.19.255.255", Benchmarking),
    ("198.51.100.0", "198.51.100.255", Documentation),
    ("203.0.113.0", "203.0.113.255", Documentation),
    ("224.0.0.0", "239.255.255.255", Multicast),
    ("240.0.0.0", "255.255.255.254", Reserved),
    ("255.255.255.255", "255.255.255.255", Broadcast),
    ("::", "::", Unspecified),
    ("::1", "::1", Loopback),
    ("::2", "::ffff:ffff", Ipv4InIpv6),
    ("::7f00:1", "::127.0.0.1", Ipv4InIpv6),
    ("::1:0:0", "::fffe:ffff:ffff", Reserved),
    ("::ffff:0:0", "::ffff:0.255.255.255", Unspecified),
    ("::ffff:127.0.0.1", "::ffff:7fff:ffff", Loopback),
    ("::ffff:10.0.0.0", "::ffff:10.255.255.255", Private),
    ("::ffff:169.254.169.254", "::ffff:a9fe:a9fe", Metadata),
    ("::ffff:0:0:0", "::ffff:0:255.255.255.255", Ipv4InIpv6),
    ("::ffff:1:0:0", "::ffff:ffff:ffff:ffff", Reserved),
    (
        "::1:0:0:0",
        "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    ("64:ff9b::", "64:ff9b::255.255.255.255", Ipv4InIpv6),
    (
        "64:ff9b::1:0:0",
        "64:ff9b:0:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        Ipv4InIpv6,
    ),
    (
        "64:ff9b:2::",
        "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    ("100::", "100::ffff:ffff:ffff:ffff", Reserved),
    (
        "100:0:0:1::",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Ipv4InIpv6),
    ("2001:1::", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", Reserved),
    (
        "2001:2::",
        "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        Benchmarking,
    ),
    (
        "2001:2:1::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "2001:10::",
        "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        Documentation,
    ),
    (
        "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Ipv4InIpv6,
    ),
    (
        "2620:4f:8000::",
        "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        Documentation,
    ),
    (
        "4000::",
        "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "5f01::",
        "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private),
    (
        "fe00::",
        "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Reserved,
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        LinkLocal,
    ),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Multicast,
    ),
    (
        "2606:4700::5efe:0:0",
        "2606:4700::5efe:255.255.255.255",
        Ipv4InIpv6,
    ),
    (
        "2606:4700::200:5efe:0:0",
        "2606:4700::200:5efe:255.255.255.255",
        Ipv4InIpv6,
    ),
    ("169.254.169.254", "169.254.169.254", Metadata),
    ("169.254.170.2", "169.254.170.2", Metadata),
    ("169.254.170.23", "169.254.170.23", Metadata),
    ("169.254.0.23", "169.254.0.23", Metadata),
    ("100.100.100.200", "100.100.100.200", Metadata),
    ("100.96.0.96", "100.96.0.96", Metadata),
    ("168.63.129.16", "168.63.129.16", Metadata),
    ("192.0.0.192", "192.0.0.192", Metadata),
    ("fd00:ec2::254", "fd00:ec2::254", Metadata),
    ("fd00:ec2::23", "fd00:ec2::23", Metadata),
    ("fd20:ce::254", "fd20:ce::254", Metadata),
    ("169.254.169.252", "169.254.169.252", Metadata),
    ("169.254.42.42", "169.254.42.42", Metadata),
    ("fd00:42::42", "fd00:42::42", Metadata),
    ("fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9fe", Metadata),
    ("fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::1", Metadata),
    ("fd00:100::100:200", "fd00:100::100:200", Metadata),
    ("fe80::a9fe:a9fe", "fe80::a9fe:a9fe", Metadata),
];

/// The last public address before a refused range, and the first one after it.
const OPEN: &[(&str, &str)] = &[
    ("1.0.0.0", "1.1.1.1"),
    ("9.255.255.255", "11.0.0.0"),
    ("100.63.255.255", "100.128.0.0"),
    ("126.255.255.255", "128.0.0.0"),
    ("168.63.129.15", "168.63.129.17"),
    ("169.253.255.255", "169.255.0.0"),
    ("172.15.255.255", "172.32.0.0"),
    ("191.255.255.255", "192.0.1.0"),
    ("192.0.1.255", "192.0.3.0"),
    ("192.31.195.255", "192.31.197.0"),
    ("192.52.192.255", "192.52.194.0"),
    ("192.88.98.255", "192.88.100.0"),
    ("192.167.255.255", "192.169.0.0"),
    ("192.175.47.255", "192.175.49.0"),
    ("198.17.255.255", "198.20.0.0"),
    ("198.51.99.255", "198.51.101.0"),
    ("203.0.112.255", "203.0.114.0"),
    ("8.8.8.8", "223.255.255.255"),
    ("::ffff:9.255.255.255", "::ffff:8.8.8.8"),
    ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2003::", "2400:3200::1"),
    ("2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"),
    ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
    ("2606:4700::5efd:ffff:ffff", "2606:4700::5eff:0:0"),
    ("2606:4700::1:5efe:a00:1", "2606:4700::300:5efe:a00:1"),
    ("2606:4700::1111", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

#[test]
fn every_range_is_refused_from_its_first_address_to_its_last() {
    for &(first, last, refusal) in CLOSED {
        for address in [first, last] {
            assert_eq!(
                Guard::closed().admit(HOST, ip(address)),
                Err(refusal),
                "{address}"
            );
        }
    }
}

#[test]
fn the_addresses_beside_the_ranges_are_public() {
    for &(before, after) in OPEN {
        for address in [before, after] {
            assert_eq!(
                Guard::closed().admit(HOST, ip(address)),
                Ok(()),
                "{address}"
            );
        }
    }
}
