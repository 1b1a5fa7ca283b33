//! Metadata services stay closed whatever range or name is opened.

use Refusal::{LinkLocal, Metadata, NotListed};

use super::*;
use super::{HOST, ip};

fn guard(rules: &[&str]) -> Guard {
    Guard::new(rules.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn a_range_that_holds_metadata_services_opens_what_is_beside_them_alone() {
    let table = [
        ("169.254.0.0/16", "169.254.169.254", "169.254.169.253"),
        ("169.254.0.0/16", "169.254.169.252", "169.254.169.251"),
        ("169.254.0.0/16", "169.254.42.42", "169.254.42.43"),
        ("169.254.0.0/16", "169.254.0.23", "169.254.0.22"),
        ("169.254.170.0/24", "169.254.170.2", "169.254.170.3"),
        ("169.254.170.0/24", "169.254.170.23", "169.254.170.24"),
        ("100.64.0.0/10", "100.100.100.200", "100.100.100.201"),
        ("100.64.0.0/10", "100.96.0.96", "100.96.0.97"),
        ("192.0.0.0/24", "192.0.0.192", "192.0.0.191"),
        ("168.63.0.0/16", "168.63.129.16", "168.63.129.17"),
        ("fc00::/7", "fd00:ec2::254", "fd00:ec2::253"),
        ("fc00::/7", "fd00:ec2::23", "fd00:ec2::24"),
        ("fc00::/7", "fd20:ce::254", "fd20:ce::255"),
        ("fc00::/7", "fd00:42::42", "fd00:42::43"),
        ("fc00::/7", "fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9ff"),
        ("fc00::/7", "fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::2"),
        ("fd00::/8", "fd00:100::100:200", "fd00:100::100:201"),
        ("fe80::/10", "fe80::a9fe:a9fe", "fe80::a9fe:a9fd"),
    ];
    for (range, service, beside) in table {
        let opened = guard(&[range]);
        assert_eq!(opened.admit(HOST, ip(service)), Err(Metadata), "{service}");
        assert_eq!(opened.admit(HOST, ip(beside)), Ok(()), "{beside}");
        let named = guard(&["*.internal"]);
        let found = named.admit("hooks.internal", ip(service));
        assert_eq!(found, Err(Metadata), "a name that resolves to {service}");
    }
}

#[test]
fn the_name_of_a_metadata_service_is_refused_before_it_is_resolved() {
    let opened = guard(&["*.internal", "*.com", "10.0.0.0/8"]);
    for host in [
        "metadata.google.internal",
        "METADATA.Google.Internal.",
        "metadata.goog",
        "metadata",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "api.metadata.cloud.ibm.com",
        "metadata.platformequinix.com",
        "data-server",
    ] {
        let url = TargetUrl::parse(&format!("http://{host}/x")).unwrap();
        for guard in [&opened, &Guard::closed()] {
            assert_eq!(guard.admit_url(&url), Err(Metadata), "{host}");
            assert_eq!(guard.admit(host, ip("10.0.0.1")), Err(Metadata), "{host}");
            assert_eq!(guard.admit(host, ip("8.8.8.8")), Err(Metadata), "{host}");
        }
    }
    for host in [
        "metadata.example",
        "my-metadata.google.internal",
        "metadata.hooks.internal",
    ] {
        let url = TargetUrl::parse(&format!("http://{host}/x")).unwrap();
        assert_eq!(opened.admit_url(&url), Ok(()), "{host}");
    }
}

#[test]
fn a_metadata_name_is_allowed_by_a_rule_for_exactly_it_and_its_address_by_another() {
    let name = "metadata.google.internal";
    let named = guard(&[name]);
    let url = TargetUrl::parse(&format!("http://{name}/x")).unwrap();
    assert_eq!(named.admit_url(&url), Ok(()));
    assert_eq!(named.admit(name, ip("10.0.0.1")), Ok(()));
    assert_eq!(named.admit(name, ip("169.254.169.254")), Err(Metadata));
    let both = guard(&[name, "169.254.169.254"]);
    assert_eq!(both.admit(name, ip("169.254.169.254")), Ok(()));
    let address_alone = guard(&["169.254.169.254"]);
    assert_eq!(address_alone.admit_url(&url), Err(Metadata));
    assert_eq!(address_alone.admit(HOST, ip("169.254.169.254")), Ok(()));
    assert_eq!(
        address_alone.admit(HOST, ip("169.254.169.253")),
        Err(LinkLocal)
    );
}

#[test]
fn a_metadata_name_beside_an_apps_list_is_not_listed_and_on_it_still_refused() {
    let list = |rule: &str| Guard::closed().allowlist(vec![rule.parse().unwrap()]);
    let url = TargetUrl::parse("http://metadata.goog/x").unwrap();
    assert_eq!(list("hooks.example").admit_url(&url), Err(NotListed));
    assert_eq!(list("metadata.goog").admit_url(&url), Err(Metadata));
}
