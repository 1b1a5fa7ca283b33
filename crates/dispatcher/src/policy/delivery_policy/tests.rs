//! Tests of the client cache: which apps and callees share connections.

use super::*;
use crate::http::connections::TargetConnections;
use crate::http::dns::Resolver;
use delivery::Guard;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;

fn callees() -> BTreeMap<String, CalleeConfig> {
    let url = "http://crm.internal/";
    serde_json::from_value(json!({
        "EO001": { "url": url },
        "EO002": { "url": url },
        "EO003": { "url": url, "allowed_addresses": ["10.0.0.0/8"] },
    }))
    .unwrap()
}

/// `a` and `b` allow the same addresses, `c` others, all other apps none.
fn guards(of_c: &str) -> Guards {
    let guard = |allowed: &str| Guard::new(vec![allowed.parse().unwrap()]);
    let apps = [("a", "10.0.0.0/8"), ("b", "10.0.0.0/8"), ("c", of_c)];
    let apps = apps.map(|(id, allowed)| (id.to_owned(), guard(allowed)));
    Guards::new(Guard::closed(), apps)
}

fn registry(callees: &BTreeMap<String, CalleeConfig>) -> Arc<CalleeRegistry> {
    let all = callees.iter();
    let all = all.map(|(no, callee)| (no.clone(), callee.name.clone(), callee.url.clone()));
    Arc::new(CalleeRegistry::new(all).unwrap())
}

#[tokio::test]
async fn a_client_is_shared_under_one_guard_only_and_survives_a_reload_that_does_not_change_it() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dispatcher = DispatcherConfig::default();
    let (retry, limits) = (RetryConfig::default(), LimitsConfig::default());
    let callees = callees();
    let config = PolicyConfig {
        dispatcher: &dispatcher,
        retry: &retry,
        limits: &limits,
        callees: &callees,
        app_signing_secrets: BTreeMap::new(),
        app_in_flight: BTreeMap::from([("a", 7)]),
    };
    let server = [([127, 0, 0, 1], 9).into()];
    let resolver = Resolver::new(&server, Duration::from_secs(1)).unwrap();
    let connections = TargetConnections::new(100, 1, Gauge::default(), Counter::default());
    let factory = ClientFactory::new(&dispatcher, resolver, connections);
    let registry = registry(&callees);
    let handle =
        PolicyHandle::new(&config, Arc::clone(&registry), &guards("fd00::/8"), factory).unwrap();
    let client = |policy: &DeliveryPolicy, app: &str| Arc::clone(&policy.app(app).client);
    let policy = handle.get();
    let callee = |no: &str| Arc::clone(&policy.callees[no].client);
    let [a, b, c, other] = ["a", "b", "c", "other"].map(|app| client(&policy, app));
    assert!(Arc::ptr_eq(&a, &b));
    assert!(Arc::ptr_eq(&callee("EO001"), &callee("EO002")));
    let all = [&a, &c, &other, &callee("EO001"), &callee("EO003")];
    for (index, one) in all.iter().enumerate() {
        for another in &all[index + 1..] {
            assert!(!Arc::ptr_eq(one, another));
        }
    }
    let next = handle.prepare(&config, registry, &guards("172.16.0.0/12"));
    let next = next.unwrap();
    assert!(Arc::ptr_eq(&a, &client(&next, "a")));
    assert!(Arc::ptr_eq(&other, &client(&next, "unknown")));
    assert!(!Arc::ptr_eq(&c, &client(&next, "c")));
    assert!(Arc::ptr_eq(&callee("EO003"), &next.callees["EO003"].client));
    let elsewhere = json!({
        "EO001": { "url": "http://10.1.2.3/", "allowed_addresses": ["10.2.0.0/16"] },
    });
    let elsewhere = serde_json::from_value(elsewhere).unwrap();
    let config = PolicyConfig {
        callees: &elsewhere,
        ..config
    };
    let refused = handle.prepare(&config, self::registry(&elsewhere), &guards("fd00::/8"));
    let refused = refused.err().unwrap().to_string();
    assert_eq!(
        refused,
        "callees.EO001.url: its host is not in allowed_addresses"
    );
}
