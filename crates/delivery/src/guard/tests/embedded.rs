//! An allowed IPv6 address is judged by the IPv4 address that it carries.

use Refusal::{Ipv4InIpv6, Loopback, Metadata, Private, Unspecified};

use super::*;
use super::{HOST, ip};

fn guard(rules: &[&str]) -> Guard {
    Guard::new(rules.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn each_embedding_is_judged_by_what_it_carries_even_if_all_of_ipv6_is_allowed() {
    let all = guard(&["::/0"]);
    let table = [
        // RFC 4291, IPv4-compatible
        ("::a9fe:a9fe", Err(Metadata)),
        ("::127.0.0.1", Err(Loopback)),
        ("::8.8.8.8", Ok(())),
        // RFC 2765, IPv4-translated
        ("::ffff:0:a9fe:a9fe", Err(Metadata)),
        ("::ffff:0:10.0.0.1", Err(Private)),
        ("::ffff:0:8.8.8.8", Ok(())),
        // RFC 4291, IPv4-mapped: it is the IPv4 address
        ("::ffff:a9fe:a9fe", Err(Metadata)),
        ("::ffff:10.0.0.1", Err(Private)),
        // RFC 6052, NAT64
        ("64:ff9b::a9fe:a9fe", Err(Metadata)),
        ("64:ff9b::", Err(Unspecified)),
        ("64:ff9b::8.8.8.8", Ok(())),
        // RFC 8215, NAT64 inside a network, by every prefix length of RFC 6052
        ("64:ff9b:1::a9fe:a9fe", Err(Metadata)),
        ("64:ff9b:1:a9fe:a9:fe00::", Err(Metadata)),
        ("64:ff9b:1:a9:fe:a9fe::", Err(Metadata)),
        ("64:ff9b:1:0:a9:fea9:fe00:0", Err(Metadata)),
        ("64:ff9b:1:a9fe:a9:fe00:808:808", Err(Metadata)),
        ("64:ff9b:1:a00:0:100::", Err(Private)),
        ("64:ff9b:1::8.8.8.8", Ok(())),
        ("64:ff9b:1:808:8:800::", Ok(())),
        ("64:ff9b:1:8:8:808::", Ok(())),
        ("64:ff9b:1::8:808:800:0", Ok(())),
        ("64:ff9b:1::", Err(Unspecified)),
        // RFC 3056, 6to4
        ("2002:a9fe:a9fe::1", Err(Metadata)),
        ("2002:7f00:1::", Err(Loopback)),
        ("2002:808:808::1", Ok(())),
        // RFC 4380, Teredo: server, and inverted client
        ("2001:0:a9fe:a9fe::f7f7:f7f7", Err(Metadata)),
        ("2001:0:808:808::5601:5601", Err(Metadata)),
        ("2001:0:808:808::80ff:fffe", Err(Loopback)),
        ("2001:0:808:808::f7f7:f7f7", Ok(())),
        // RFC 5214, ISATAP, under public, link-local and unique local prefixes
        ("2606:4700::5efe:a9fe:a9fe", Err(Metadata)),
        ("2606:4700::200:5efe:a9fe:a9fe", Err(Metadata)),
        ("fe80::5efe:a9fe:a9fe", Err(Metadata)),
        ("fd12::200:5efe:10.0.0.1", Err(Private)),
        ("2606:4700::5efe:8.8.8.8", Ok(())),
        // Two at once: 6to4 of a public address, ISATAP of a metadata service
        ("2002:808:808::5efe:a9fe:a9fe", Err(Metadata)),
        ("2002:a9fe:a9fe::5efe:808:808", Err(Metadata)),
        ("2002:808:808::5efe:808:808", Ok(())),
        // Neither
        ("::1", Ok(())),
        ("fd12::1", Ok(())),
        ("64:ff9b:2::a9fe:a9fe", Ok(())),
        ("2606:4700::5eff:a9fe:a9fe", Ok(())),
    ];
    for (address, expected) in table {
        assert_eq!(all.admit(HOST, ip(address)), expected, "{address}");
        let literal = all.evaluate(Candidate::literal(ip(address), 80)).map(drop);
        assert_eq!(literal, expected, "{address} in a URL");
    }
}

#[test]
fn what_an_embedding_carries_may_be_allowed_by_a_rule_of_its_own() {
    let both = guard(&["::/0", "10.0.0.0/8", "169.254.169.254"]);
    for address in [
        "2002:a00:1::",
        "64:ff9b:1::10.0.0.1",
        "2606:4700::5efe:10.0.0.1",
        "::a9fe:a9fe",
    ] {
        assert_eq!(both.admit(HOST, ip(address)), Ok(()), "{address}");
    }
    let without_ipv6 = guard(&["10.0.0.0/8", "169.254.169.254"]);
    assert_eq!(
        without_ipv6.admit(HOST, ip("2002:a00:1::")),
        Err(Ipv4InIpv6)
    );
}

#[test]
fn a_rule_that_fixes_the_translators_prefix_fixes_where_the_address_stands() {
    let precise = guard(&["64:ff9b:1:fffe::/96"]);
    let table = [
        ("64:ff9b:1:fffe::8.8.8.8", Ok(())),
        ("64:ff9b:1:fffe::a9fe:a9fe", Err(Metadata)),
        ("64:ff9b:1:fffe::127.0.0.1", Err(Loopback)),
        ("64:ff9b:1:fffd::8.8.8.8", Err(Ipv4InIpv6)),
    ];
    for (address, expected) in table {
        assert_eq!(precise.admit(HOST, ip(address)), expected, "{address}");
    }
    let single = guard(&["64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1"]);
    for address in ["64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1"] {
        assert_eq!(single.admit(HOST, ip(address)), Err(Metadata), "{address}");
    }
}

#[test]
fn a_rule_with_the_address_and_a_port_is_specific_enough() {
    let socket = guard(&["[64:ff9b::a9fe:a9fe]:80"]);
    let at = |port| {
        socket
            .evaluate(Candidate::literal(ip("64:ff9b::a9fe:a9fe"), port))
            .map(drop)
    };
    assert_eq!(at(80), Ok(()));
    assert_eq!(at(81), Err(Ipv4InIpv6));
    assert_eq!(
        socket.admit(HOST, ip("64:ff9b::a9fe:a9fe")),
        Err(Ipv4InIpv6)
    );
}
