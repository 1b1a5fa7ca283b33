//! Tests of the address policies: no name reaches a metadata service of a cloud.

use super::*;

/// The metadata services of the clouds.
const METADATA: [&str; 4] = [
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
];
const PUBLIC: &str = "203.0.114.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn guarded(allowed: &[&str]) -> AddressPolicy {
    let rules = allowed.iter().map(|rule| rule.parse().unwrap()).collect();
    AddressPolicy::Guarded(Arc::new(Guard::new(rules)))
}

fn admit(policy: &AddressPolicy, addresses: &[&str]) -> Result<(), Refusal> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
    policy.admit("metadata.cloud.test", &addresses)
}

#[test]
fn a_name_that_resolves_to_a_metadata_service_is_refused() {
    let policy = guarded(&[]);
    assert_eq!(admit(&policy, &[PUBLIC]), Ok(()));
    for address in METADATA {
        let result = admit(&policy, &[address]);
        assert_eq!(result, Err(Refusal::Metadata), "{address}");
    }
    assert_eq!(
        admit(&policy, &["::ffff:169.254.169.254"]),
        Err(Refusal::Metadata)
    );
    for translated in ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"] {
        assert!(admit(&policy, &[translated]).is_err(), "{translated}");
    }
}

#[test]
fn one_metadata_service_among_public_addresses_refuses_the_name() {
    let policy = guarded(&[]);
    for address in METADATA {
        for mixed in [
            [PUBLIC, address, PUBLIC],
            [address, PUBLIC, PUBLIC],
            [PUBLIC, PUBLIC, address],
        ] {
            assert_eq!(admit(&policy, &mixed), Err(Refusal::Metadata), "{mixed:?}");
        }
    }
}

#[test]
fn allowing_a_name_or_a_network_does_not_allow_a_metadata_service() {
    let by_name = guarded(&["metadata.cloud.test", "*.cloud.test"]);
    let as_networks = guarded(&["0.0.0.0/0", "169.254.0.0/16", "100.64.0.0/10", "::/0"]);
    for policy in [by_name, as_networks] {
        assert_eq!(admit(&policy, &["10.1.2.3", "127.0.0.1"]), Ok(()));
        for address in METADATA {
            let alone = admit(&policy, &[address]);
            assert_eq!(alone, Err(Refusal::Metadata), "{policy:?}: {address}");
            let beside = admit(&policy, &["10.1.2.3", address]);
            assert_eq!(beside, Err(Refusal::Metadata), "{policy:?}: {address}");
        }
    }
}

#[test]
fn every_address_of_a_callees_name_must_be_on_its_allow_list() {
    let allowed = AllowList::new(vec!["10.1.0.0/16".parse().unwrap()]);
    let policy = AddressPolicy::Registered(Some(Arc::new(allowed)));
    assert_eq!(admit(&policy, &["10.1.2.3", "10.1.2.4"]), Ok(()));
    for mixed in [["10.1.2.3", "10.2.0.1"], ["169.254.169.254", "10.1.2.3"]] {
        assert_eq!(admit(&policy, &mixed), Err(Refusal::NotListed), "{mixed:?}");
    }
}

#[test]
fn a_short_name_is_tried_in_each_search_domain_and_an_absolute_one_alone() {
    let name = |text: &str| DnsName::from_utf8(text).unwrap();
    let search = ["a.test.", "b.test."].map(name);
    let tried = |text: &str, ndots| -> Vec<String> {
        let names = names_to_try(&name(text), &search, ndots);
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(tried("db.", 1), ["db."]);
    assert_eq!(tried("db", 1), ["db.a.test.", "db.b.test.", "db."]);
    assert_eq!(tried("db.x", 1), ["db.x.", "db.x.a.test.", "db.x.b.test."]);
    assert_eq!(tried("db.x", 5), ["db.x.a.test.", "db.x.b.test.", "db.x."]);
}
