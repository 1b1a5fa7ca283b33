//! Names, allowlists, schemes and ports allow and refuse what they say, and nothing else.

use Refusal::{Loopback, Metadata, NotListed, Port, Private, Scheme};

use super::ip;
use super::*;

fn rules(texts: &[&str]) -> Vec<AddressRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn url(text: &str) -> TargetUrl {
    TargetUrl::parse(text).unwrap()
}

#[test]
fn a_name_allows_what_it_resolves_to_and_no_other_name_does() {
    let guard = Guard::new(rules(&[
        "hooks.internal",
        "*.svc.example",
        "Bücher.internal",
    ]));
    let table = [
        ("hooks.internal", Ok(())),
        ("hooks.internal.", Ok(())),
        ("HOOKS.internal", Ok(())),
        ("a.hooks.internal", Err(Private)),
        ("ahooks.internal", Err(Private)),
        ("internal", Err(Private)),
        ("a.svc.example", Ok(())),
        ("a.b.svc.example.", Ok(())),
        ("svc.example", Err(Private)),
        (".svc.example", Err(Private)),
        ("asvc.example", Err(Private)),
        ("svc.example.evil.example", Err(Private)),
        ("xn--bcher-kva.internal", Ok(())),
        ("", Err(Private)),
    ];
    for (name, expected) in table {
        assert_eq!(guard.admit(name, ip("10.1.2.3")), expected, "{name}");
        assert_eq!(guard.admit(name, ip("8.8.8.8")), Ok(()), "{name}");
    }
}

#[test]
fn a_name_never_allows_a_metadata_service_or_a_literal() {
    let guard = Guard::new(rules(&["hooks.internal"]));
    let metadata = guard.admit("hooks.internal", ip("169.254.169.254"));
    assert_eq!(metadata, Err(Metadata));
    let nat64 = guard.admit("hooks.internal", ip("64:ff9b::169.254.169.254"));
    assert_eq!(nat64, Err(Metadata));
    assert_eq!(guard.admit_url(&url("http://10.0.0.1/")), Err(Private));
}

#[test]
fn the_rule_that_admits_an_address_is_named() {
    let guard = Guard::new(rules(&["10.0.0.0/8", "hooks.internal"]));
    let by = |name: &str, address: &str| {
        guard.evaluate_name(name, ip(address)).map(|by| match by {
            AdmittedBy::Public => "public".to_owned(),
            AdmittedBy::Rule(rule) => rule.to_string(),
        })
    };
    assert_eq!(by("a.example", "10.0.0.1").unwrap(), "10.0.0.0/8");
    assert_eq!(by("hooks.internal", "127.0.0.1").unwrap(), "hooks.internal");
    assert_eq!(by("hooks.internal", "8.8.8.8").unwrap(), "public");
    assert_eq!(by("a.example", "127.0.0.1"), Err(Loopback));
}

#[test]
fn an_allowlist_refuses_all_else_and_allows_nothing() {
    let guard = Guard::new(rules(&["10.0.0.0/8"])).allowlist(rules(&[
        "*.partner.example",
        "203.0.114.0/24",
        "10.9.0.0/16",
        "127.0.0.1:80",
    ]));
    let table = [
        ("a.partner.example", "8.8.8.8", Ok(())),
        ("a.partner.example", "10.1.1.1", Ok(())),
        ("a.partner.example", "192.168.0.1", Err(Private)),
        ("partner.example", "8.8.8.8", Err(NotListed)),
        ("b.example", "203.0.114.7", Ok(())),
        ("b.example", "203.0.115.7", Err(NotListed)),
        ("b.example", "10.9.1.1", Ok(())),
        ("b.example", "10.8.1.1", Err(NotListed)),
        ("b.example", "::ffff:10.9.1.1", Ok(())),
    ];
    for (name, address, expected) in table {
        assert_eq!(guard.admit(name, ip(address)), expected, "{name} {address}");
    }
    for (text, expected) in [
        ("https://203.0.114.9/", Ok(())),
        ("https://8.8.8.8/", Err(NotListed)),
        ("http://127.0.0.1/", Err(Loopback)),
        ("http://127.0.0.1:81/", Err(NotListed)),
        // Judged by its addresses, which are not known yet.
        ("https://b.example/", Ok(())),
    ] {
        assert_eq!(guard.admit_url(&url(text)), expected, "{text}");
    }
}

#[test]
fn an_allowlist_of_names_refuses_other_names_before_they_are_resolved() {
    let guard =
        Guard::closed().allowlist(rules(&["hooks.example", "*.partner.example", "1.1.1.1:80"]));
    for (text, expected) in [
        ("https://hooks.example/", Ok(())),
        ("https://hooks.example./", Ok(())),
        ("https://a.partner.example/", Ok(())),
        ("https://partner.example/", Err(NotListed)),
        ("http://1.1.1.1/", Ok(())),
        ("http://1.1.1.1:81/", Err(NotListed)),
    ] {
        assert_eq!(guard.admit_url(&url(text)), expected, "{text}");
    }
    let everything = Guard::closed().allowlist(Vec::new());
    assert_eq!(everything, Guard::closed());
}

#[test]
fn a_callees_list_judges_its_url_and_its_addresses() {
    let list = AllowList::new(rules(&["10.2.0.0/16"]));
    assert_eq!(list.admit("crm.internal", ip("10.2.3.4")), Ok(()));
    assert_eq!(list.admit("crm.internal", ip("10.3.3.4")), Err(NotListed));
    assert_eq!(list.admit_url(&url("http://10.2.0.1/")), Ok(()));
    assert_eq!(list.admit_url(&url("http://10.3.0.1/")), Err(NotListed));
    assert_eq!(list.admit_url(&url("http://crm.internal/")), Ok(()));
}

#[test]
fn a_denied_port_and_a_wrong_scheme_are_refused_even_on_an_allowed_address() {
    let ports = ["25".parse().unwrap(), "6000-6063".parse().unwrap()];
    let guard = Guard::new(rules(&["127.0.0.1:25", "10.0.0.0/8"])).denied_ports(ports.to_vec());
    let strict = guard.clone().https_only(true);
    for (text, expected, strictly) in [
        ("http://127.0.0.1:25/", Err(Port), Err(Scheme)),
        ("https://hooks.example:6000/", Err(Port), Err(Port)),
        ("https://10.0.0.1:6064/", Ok(()), Ok(())),
        ("http://hooks.example/", Ok(()), Err(Scheme)),
        ("https://hooks.example/", Ok(()), Ok(())),
    ] {
        assert_eq!(guard.admit_url(&url(text)), expected, "{text}");
        assert_eq!(strict.admit_url(&url(text)), strictly, "{text}");
    }
}

#[test]
fn an_app_has_its_own_guard_and_all_others_the_default_one() {
    let own = ("shop".to_owned(), Guard::new(rules(&["10.0.0.0/8"])));
    let guards = Guards::new(Guard::closed(), [own]);
    let admit = |app: &str| guards.for_app(app).admit("a.example", ip("10.0.0.1"));
    assert_eq!(admit("shop"), Ok(()));
    for other in ["Shop", "shop ", "", "all"] {
        assert_eq!(admit(other), Err(Private), "{other:?}");
    }
}
