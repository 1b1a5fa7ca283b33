//! A rule allows what it says, and nothing else.

use Refusal::{Ipv4InIpv6, Loopback, Metadata, Private};

use std::net::SocketAddr;

use super::*;
use super::{CLOSED, HOST, ip};

fn guard(rules: &[&str]) -> Guard {
    Guard::new(rules.iter().map(|text| text.parse().unwrap()).collect())
}

fn socket(guard: &Guard, address: IpAddr, port: u16) -> Result<(), Refusal> {
    guard.evaluate(Candidate::literal(address, port)).map(drop)
}

#[test]
fn a_rule_admits_its_range_and_nothing_beside_it() {
    let guard = guard(&["10.1.2.0/24", "192.168.1.9", "fd12::/16"]);
    let table = [
        ("10.1.2.0", Ok(())),
        ("10.1.2.255", Ok(())),
        ("10.1.1.255", Err(Private)),
        ("10.1.3.0", Err(Private)),
        ("192.168.1.9", Ok(())),
        ("192.168.1.8", Err(Private)),
        ("192.168.1.10", Err(Private)),
        ("fd12::1", Ok(())),
        ("fd13::1", Err(Private)),
        ("127.0.0.1", Err(Loopback)),
        ("8.8.8.8", Ok(())),
    ];
    for (address, expected) in table {
        assert_eq!(guard.admit(HOST, ip(address)), expected, "{address}");
        assert_eq!(
            socket(&guard, ip(address), 80),
            expected,
            "{address} port 80"
        );
    }
}

#[test]
fn an_ipv4_rule_admits_the_mapped_form_and_no_other_embedding() {
    let guard = guard(&["127.0.0.0/8"]);
    let table = [
        ("127.0.0.1", Ok(())),
        ("::ffff:127.0.0.1", Ok(())),
        ("::127.0.0.1", Err(Ipv4InIpv6)),
        ("::ffff:0:127.0.0.1", Err(Ipv4InIpv6)),
        ("64:ff9b::127.0.0.1", Err(Ipv4InIpv6)),
        ("2002:7f00:1::", Err(Ipv4InIpv6)),
        ("2606:4700::5efe:127.0.0.1", Err(Ipv4InIpv6)),
        ("::1", Err(Loopback)),
    ];
    for (address, expected) in table {
        assert_eq!(guard.admit(HOST, ip(address)), expected, "{address}");
    }
}

#[test]
fn a_mapped_rule_is_the_ipv4_rule_that_it_spells() {
    let nets = guard(&["::ffff:10.0.0.0/104", "[::ffff:127.0.0.1]:80"]);
    assert_eq!(nets.admit(HOST, ip("10.255.0.1")), Ok(()));
    assert_eq!(nets.admit(HOST, ip("::ffff:10.0.0.1")), Ok(()));
    assert_eq!(nets.admit(HOST, ip("11.0.0.1")), Ok(()));
    assert_eq!(nets.admit(HOST, ip("172.16.0.1")), Err(Private));
    assert_eq!(socket(&nets, ip("127.0.0.1"), 80), Ok(()));
    // All of IPv6 is not IPv4.
    assert_eq!(
        guard(&["::/0"]).admit(HOST, ip("::ffff:127.0.0.1")),
        Err(Loopback)
    );
    assert_eq!(guard(&["::/0"]).admit(HOST, ip("::1")), Ok(()));
}

#[test]
fn a_socket_rule_admits_one_address_on_one_port() {
    let guard = guard(&["127.0.0.1:5107", "[::1]:80"]);
    let table = [
        ("127.0.0.1", 5_107, Ok(())),
        ("::ffff:127.0.0.1", 5_107, Ok(())),
        ("127.0.0.1", 5_106, Err(Loopback)),
        ("127.0.0.2", 5_107, Err(Loopback)),
        ("::1", 80, Ok(())),
        ("::1", 5_107, Err(Loopback)),
        ("8.8.8.8", 1, Ok(())),
    ];
    for (address, port, expected) in table {
        assert_eq!(
            socket(&guard, ip(address), port),
            expected,
            "{address} {port}"
        );
    }
    assert_eq!(guard.admit(HOST, ip("127.0.0.1")), Err(Loopback));
}

#[test]
fn a_metadata_service_is_allowed_by_its_own_address_alone() {
    let wide = guard(&["0.0.0.0/0", "::/0"]);
    assert_eq!(wide.admit(HOST, ip("169.254.1.1")), Ok(()));
    for &(address, _, refusal) in CLOSED.iter().filter(|(_, _, refusal)| *refusal == Metadata) {
        assert_eq!(wide.admit(HOST, ip(address)), Err(refusal), "{address}");
        let address = ip(address).to_canonical();
        assert_eq!(guard(&[&address.to_string()]).admit(HOST, address), Ok(()));
        let text = SocketAddr::new(address, 80).to_string();
        assert_eq!(socket(&guard(&[&text]), address, 80), Ok(()));
        assert_eq!(socket(&guard(&[&text]), address, 81), Err(Metadata));
    }
}

#[test]
fn an_allowed_nat64_admits_what_the_ipv4_inside_would_be() {
    let nat64 = guard(&["64:ff9b::/96"]);
    assert_eq!(nat64.admit(HOST, ip("64:ff9b::8.8.8.8")), Ok(()));
    assert_eq!(nat64.admit(HOST, ip("64:ff9b::127.0.0.1")), Err(Loopback));
    assert_eq!(
        nat64.admit(HOST, ip("64:ff9b::169.254.169.254")),
        Err(Metadata)
    );
    let both = guard(&["64:ff9b::/96", "10.0.0.0/8"]);
    assert_eq!(both.admit(HOST, ip("64:ff9b::10.0.0.1")), Ok(()));
}

#[test]
fn a_literal_in_a_url_is_judged_and_a_name_is_left_to_resolution() {
    let guard = guard(&["127.0.0.1:5107", "[::1]:443"]);
    let table = [
        ("http://127.0.0.1:5107/x", Ok(())),
        ("http://2130706433:5107/x", Ok(())),
        ("http://[::ffff:7f00:1]:5107/", Ok(())),
        ("http://127.0.0.1/", Err(Loopback)),
        ("https://[::1]/", Ok(())),
        ("http://[::1]/", Err(Loopback)),
        ("http://0x0a000001/", Err(Private)),
        ("http://[::ffff:a9fe:a9fe]/latest", Err(Metadata)),
        ("http://[2002:7f00:1::]/", Err(Ipv4InIpv6)),
        ("http://localhost:5107/", Err(Loopback)),
        ("https://example.com/", Ok(())),
        ("https://1.1.1.1/", Ok(())),
    ];
    for (text, expected) in table {
        assert_eq!(
            guard.admit_url(&TargetUrl::parse(text).unwrap()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn localhost_is_judged_as_loopback_before_it_is_resolved() {
    let names = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "a.localhost.",
    ];
    let judge = |rules: &[&str], name: &str| {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let url = TargetUrl::parse(&format!("http://{name}:7001/")).unwrap();
        Guard::new(rules).admit_url(&url)
    };
    for name in names {
        assert_eq!(judge(&[], name), Err(Loopback), "{name}");
        assert_eq!(judge(&["127.0.0.1:7001"], name), Err(Loopback), "{name}");
        assert_eq!(judge(&["127.0.0.0/8"], name), Ok(()), "{name}");
        assert_eq!(judge(&["::1"], name), Ok(()), "{name}");
        assert_eq!(judge(&["localhost", "*.localhost"], name), Ok(()), "{name}");
    }
    for name in ["localhost.example.com", "notlocalhost", "localhosts"] {
        assert_eq!(judge(&[], name), Ok(()), "{name}");
    }
}

#[test]
fn a_rule_is_parsed_as_it_is_written_or_refused_in_one_sentence() {
    for text in [
        "127.0.0.0/8",
        "10.1.2.3/32",
        "127.0.0.1:5107",
        "[::1]:80",
        "fd00::/8",
        "::/0",
        "localhost",
        "hooks.internal",
        "*.hooks.internal",
        "*.internal",
        "a_b.internal",
    ] {
        assert_eq!(text.parse::<AddressRule>().unwrap().to_string(), text);
    }
    assert_eq!("10.1.2.3".parse(), "10.1.2.3/32".parse::<AddressRule>());
    assert_eq!(" ::1 ".parse(), "::1/128".parse::<AddressRule>());
    let malformed = |text: &str| AddressRuleError::Malformed(text.to_owned());
    let bad = [
        "",
        "*",
        "*.",
        "*.*.internal",
        "a.*.internal",
        "a b.internal",
        "a..internal",
        "*.10.0.0.1",
        "http://hooks.internal",
        "10.0.0.0/33",
        "10.1",
        "010.0.0.1",
        "::1:80:",
        "1.2.3.4:99999",
        "a b.internal:80",
    ];
    for text in bad {
        assert_eq!(text.parse::<AddressRule>(), Err(malformed(text)));
    }
    assert_eq!(
        "[::1]:0".parse::<AddressRule>(),
        Err(AddressRuleError::Port("[::1]:0".to_owned()))
    );
    for (text, name) in [
        ("localhost:7001", "localhost"),
        ("*.internal:80", "*.internal"),
    ] {
        let refusal = text.parse::<AddressRule>().unwrap_err();
        let advice = format!("a rule for a name allows every port, write {name}, or");
        assert!(refusal.to_string().contains(&advice), "{refusal}");
    }
    assert_eq!(
        "10.1.2.3/8".parse::<AddressRule>().unwrap_err().to_string(),
        "\"10.1.2.3/8\" has bits beyond its prefix: write 10.0.0.0/8 for the whole range"
    );
}
