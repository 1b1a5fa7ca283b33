//! Who shares connections with whom?

use super::*;
use crate::resolve::Names;
use delivery::Guard;

fn settings() -> Settings {
    let variables = [
        ("CALLEES__EO001__URL", "http://crm.internal/"),
        ("CALLEES__EO002__URL", "http://crm.internal/"),
        ("CALLEES__EO003__URL", "http://crm.internal/"),
        ("CALLEES__EO003__ONLY", "10.0.0.0/8"),
    ];
    let variables = variables.map(|(key, value)| (format!("RINGBACK__{key}"), value.to_owned()));
    Settings::load(None, variables.into_iter()).unwrap()
}

/// `a` and `b` have the same openings, `c` others, everybody else none.
fn guards(of_c: &str) -> Guards {
    let guard = |open: &str| Guard::new(vec![open.parse().unwrap()]);
    let apps = [("a", "10.0.0.0/8"), ("b", "10.0.0.0/8"), ("c", of_c)];
    let apps = apps.map(|(id, open)| (id.to_owned(), guard(open)));
    Guards::new(Guard::closed(), apps)
}

fn parties(settings: &Settings) -> Arc<Parties> {
    let all = settings.callees.iter();
    let all = all.map(|(no, callee)| (no.clone(), callee.name.clone(), callee.url.clone()));
    Arc::new(Parties::new(all).unwrap())
}

#[tokio::test]
async fn a_client_is_shared_only_under_one_guard_and_outlives_a_reload_that_leaves_it_alone() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = settings();
    let server = [([127, 0, 0, 1], 9).into()];
    let names = Names::new(&server, Duration::from_secs(1)).unwrap();
    let lines = Lines::new(&settings.dispatcher, names);
    let parties = parties(&settings);
    let policies =
        Policies::new(&settings, Arc::clone(&parties), &guards("fd00::/8"), lines).unwrap();
    let of = |policy: &Policy, app: &str| Arc::clone(&policy.app(app).line);
    let policy = policies.get();
    let callee = |no: &str| Arc::clone(&policy.callees[no].line);
    let [a, b, c, other] = ["a", "b", "c", "somebody else"].map(|app| of(&policy, app));
    assert!(Arc::ptr_eq(&a, &b));
    assert!(Arc::ptr_eq(&callee("EO001"), &callee("EO002")));
    let all = [&a, &c, &other, &callee("EO001"), &callee("EO003")];
    for (place, one) in all.iter().enumerate() {
        for another in &all[place + 1..] {
            assert!(!Arc::ptr_eq(one, another));
        }
    }
    let next = policies.prepare(&settings, parties, &guards("172.16.0.0/12"));
    let next = next.unwrap();
    assert!(Arc::ptr_eq(&a, &of(&next, "a")));
    assert!(Arc::ptr_eq(&other, &of(&next, "nobody")));
    assert!(!Arc::ptr_eq(&c, &of(&next, "c")));
    assert!(Arc::ptr_eq(&callee("EO003"), &next.callees["EO003"].line));
}
