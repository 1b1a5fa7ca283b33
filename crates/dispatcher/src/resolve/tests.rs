//! May a name be dialled that stands for a cloud's metadata service?

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

fn guarded(open: &[&str]) -> Policy {
    let entries = open.iter().map(|it| it.parse().unwrap()).collect();
    Policy::Guarded(Arc::new(Guard::new(entries)))
}

fn judged(policy: &Policy, addresses: &[&str]) -> Result<(), Refusal> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|it| ip(it)).collect();
    policy.admit("metadata.cloud.test", &addresses)
}

#[test]
fn a_name_that_stands_for_a_metadata_service_is_refused() {
    let policy = guarded(&[]);
    assert_eq!(judged(&policy, &[PUBLIC]), Ok(()));
    for address in METADATA {
        let judged = judged(&policy, &[address]);
        assert_eq!(judged, Err(Refusal::Metadata), "{address}");
    }
    assert_eq!(
        judged(&policy, &["::ffff:169.254.169.254"]),
        Err(Refusal::Metadata)
    );
    for dressed in ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"] {
        assert!(judged(&policy, &[dressed]).is_err(), "{dressed}");
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
            assert_eq!(judged(&policy, &mixed), Err(Refusal::Metadata), "{mixed:?}");
        }
    }
}

#[test]
fn what_is_opened_by_name_or_as_a_network_opens_no_metadata_service() {
    let by_name = guarded(&["metadata.cloud.test", "*.cloud.test"]);
    let as_networks = guarded(&["0.0.0.0/0", "169.254.0.0/16", "100.64.0.0/10", "::/0"]);
    for policy in [by_name, as_networks] {
        assert_eq!(judged(&policy, &["10.1.2.3", "127.0.0.1"]), Ok(()));
        for address in METADATA {
            let alone = judged(&policy, &[address]);
            assert_eq!(alone, Err(Refusal::Metadata), "{policy:?}: {address}");
            let beside = judged(&policy, &["10.1.2.3", address]);
            assert_eq!(beside, Err(Refusal::Metadata), "{policy:?}: {address}");
        }
    }
}

#[test]
fn the_only_places_of_a_callee_hold_for_every_address_of_its_name() {
    let only = AllowList::new(vec!["10.1.0.0/16".parse().unwrap()]);
    let policy = Policy::Registered(Some(Arc::new(only)));
    assert_eq!(judged(&policy, &["10.1.2.3", "10.1.2.4"]), Ok(()));
    for mixed in [["10.1.2.3", "10.2.0.1"], ["169.254.169.254", "10.1.2.3"]] {
        assert_eq!(
            judged(&policy, &mixed),
            Err(Refusal::NotListed),
            "{mixed:?}"
        );
    }
}
