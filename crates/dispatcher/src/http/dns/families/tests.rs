//! What two answers mean together, and what is remembered of silence.

use std::io;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Answer {
    Answer::Addresses(texts.iter().map(|text| ip(text)).collect())
}

fn failed(words: &str) -> Answer {
    Answer::Failed(words.into())
}

fn name(text: &str) -> Name {
    Name::from_utf8(text).unwrap()
}

#[test]
fn the_addresses_of_one_family_suffice() {
    let (four, six) = (addresses(&["203.0.114.1"]), addresses(&["2001:db8::1"]));
    let both = vec![ip("2001:db8::1"), ip("203.0.114.1")];
    assert_eq!(combine(four.clone(), six.clone()), Ok(both));
    for other in [failed("busy"), Answer::NoAddress, Answer::NoName] {
        let only = combine(four.clone(), other.clone());
        assert_eq!(only, Ok(vec![ip("203.0.114.1")]), "{other:?}");
        let only = combine(other.clone(), six.clone());
        assert_eq!(only, Ok(vec![ip("2001:db8::1")]), "{other:?}");
    }
}

#[test]
fn without_an_address_the_failed_question_is_named_in_the_resolvers_words() {
    use Answer::{NoAddress, NoName};
    use LookupError::NotFound;
    let error = |lookup, words: &str| LookupError::Failed(lookup, words.into());
    for (ipv4, ipv6, expected) in [
        (failed("x"), failed("x"), error(FailedLookup::Both, "x")),
        (
            failed("x"),
            failed("y"),
            error(FailedLookup::Both, "IPv4: x; IPv6: y"),
        ),
        (failed("x"), NoAddress, error(FailedLookup::Ipv4, "x")),
        // Some servers say so of every name without an IPv6 address.
        (failed("x"), NoName, error(FailedLookup::Ipv4, "x")),
        (NoAddress, failed("y"), error(FailedLookup::Ipv6, "y")),
        (NoName, failed("y"), NotFound),
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
fn a_failure_is_told_in_the_words_of_the_resolver_or_as_the_servers_answer() {
    let refused = io::Error::from_raw_os_error(111);
    for (error, expected) in [
        (NetError::Timeout, "request timed out"),
        (
            NetError::from(refused),
            "io error: Connection refused (os error 111)",
        ),
        (
            NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)),
            "the name server answered Server Failure",
        ),
    ] {
        assert_eq!(Answer::of(Err(error)), failed(expected));
    }
}

#[test]
fn what_suffices_waits_for_the_other_family_only_briefly() {
    let found = addresses(&["203.0.114.1"]);
    for (answer, ipv4, ipv6) in [
        (found, true, true),
        (Answer::NoName, true, false),
        (Answer::NoAddress, false, false),
        (failed("busy"), false, false),
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
