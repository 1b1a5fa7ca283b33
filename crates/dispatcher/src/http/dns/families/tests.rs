//! What two answers mean together, and what is remembered of silence.

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Answer {
    Answer::Addresses(texts.iter().map(|text| ip(text)).collect())
}

fn name(text: &str) -> Name {
    Name::from_utf8(text).unwrap()
}

#[test]
fn the_addresses_of_one_family_suffice() {
    let (four, six) = (addresses(&["203.0.114.1"]), addresses(&["2001:db8::1"]));
    let both = vec![ip("2001:db8::1"), ip("203.0.114.1")];
    assert_eq!(combine(four.clone(), six.clone()), Ok(both));
    for other in [Answer::Failed, Answer::NoAddress, Answer::NoName] {
        let only = combine(four.clone(), other.clone());
        assert_eq!(only, Ok(vec![ip("203.0.114.1")]), "{other:?}");
        let only = combine(other.clone(), six.clone());
        assert_eq!(only, Ok(vec![ip("2001:db8::1")]), "{other:?}");
    }
}

#[test]
fn without_an_address_the_failed_question_is_named() {
    use Answer::{Failed, NoAddress, NoName};
    use LookupError::NotFound;
    for (ipv4, ipv6, expected) in [
        (Failed, Failed, LookupError::Failed(FailedLookup::Both)),
        (Failed, NoAddress, LookupError::Failed(FailedLookup::Ipv4)),
        // Some servers say so of every name without an IPv6 address.
        (Failed, NoName, LookupError::Failed(FailedLookup::Ipv4)),
        (NoAddress, Failed, LookupError::Failed(FailedLookup::Ipv6)),
        (NoName, Failed, NotFound),
        (NoAddress, NoAddress, NotFound),
        (NoName, NoName, NotFound),
        (NoName, NoAddress, NotFound),
        (NoAddress, NoName, NotFound),
    ] {
        let what = format!("{ipv4:?}, {ipv6:?}");
        assert_eq!(combine(ipv4, ipv6), Err(expected), "{what}");
    }
}

#[test]
fn what_suffices_waits_for_the_other_family_only_briefly() {
    let found = addresses(&["203.0.114.1"]);
    for (answer, ipv4, ipv6) in [
        (found, true, true),
        (Answer::NoName, true, false),
        (Answer::NoAddress, false, false),
        (Answer::Failed, false, false),
    ] {
        let suffices = (answer.suffices(Family::Ipv4), answer.suffices(Family::Ipv6));
        assert_eq!(suffices, (ipv4, ipv6), "{answer:?}");
    }
}

#[test]
fn this_machine_has_a_route_to_itself() {
    assert!(addresses(&["127.0.0.1"]).has_route());
    assert!(Answer::NoName.has_route());
    assert!(!addresses(&[]).has_route());
}

#[tokio::test(start_paused = true)]
async fn silence_is_remembered_for_a_while_and_for_a_bounded_number_of_names() {
    let silent = SilentFamilies::default();
    let (one, two) = (name("one.test."), name("two.test."));
    assert!(!silent.contains(&one, Family::Ipv6));
    assert!(silent.insert(&one, Family::Ipv6));
    assert!(!silent.insert(&one, Family::Ipv6), "one task each");
    assert!(silent.contains(&one, Family::Ipv6));
    assert!(!silent.contains(&one, Family::Ipv4));
    assert!(!silent.contains(&two, Family::Ipv6));
    tokio::time::advance(SILENCE_REMEMBERED).await;
    assert!(!silent.contains(&one, Family::Ipv6));
    assert!(silent.insert(&one, Family::Ipv6));
    silent.remove(&one, Family::Ipv6);
    assert!(!silent.contains(&one, Family::Ipv6));

    for index in 0..2 * MAX_SILENT {
        silent.insert(&name(&format!("name{index}.test.")), Family::Ipv6);
    }
    assert_eq!(silent.lock().len(), MAX_SILENT);
    assert!(!silent.insert(&one, Family::Ipv6));
    tokio::time::advance(SILENCE_REMEMBERED).await;
    assert!(silent.insert(&one, Family::Ipv6));
    assert_eq!(silent.lock().len(), 1);
}
