//! Guard settings of one app or one callee apply to it and to nobody else.
//!
//! These gateways allow nothing by default. A name server of the test resolves the names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use delivery::auth::KeyHash;
use serde_json::{Value, json};
use tests::gateway::GatewayResponse;
use tests::{
    Dns, DnsAnswer, GatewayOptions, SharedGateway, SharedGatewayUse, TestTarget, callback,
    eventually, on_shared_runtime,
};
use tokio::sync::OnceCell;

const IN_TIME: Duration = Duration::from_secs(60);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Ruled {
    fixture: SharedGateway,
    dns: Dns,
}

async fn start() -> Ruled {
    let dns = Dns::start().await;
    let fixture = SharedGateway::start(|callee| {
        let port = callee.address.port();
        let options = GatewayOptions {
            allow: String::new(),
            schedule: vec!["1s"; 19].join(","),
            ..GatewayOptions::default()
        };
        let variables = [
            ("AUTH__MODE", "bearer".to_owned()),
            ("DISPATCHER__DNS_SERVERS", dns.address().to_string()),
            ("GUARD__DENIED_PORTS", "6000-6063".to_owned()),
            ("APPS__inside__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__named__ALLOW", "*.hooks.test".to_owned()),
            ("APPS__listed__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__listed__ALLOWED_HOSTS", "good.listed.test".to_owned()),
            ("APPS__ranged__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__ranged__ALLOWED_HOSTS", "127.0.0.1".to_owned()),
            ("APPS__strict__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__strict__HTTPS_ONLY", "true".to_owned()),
            ("CALLEES__EO001__URL", format!("http://crm.test:{port}/ok")),
            ("CALLEES__EO001__ALLOWED_ADDRESSES", "127.0.0.1".to_owned()),
        ];
        let options = variables.iter().fold(options, |options, (key, value)| {
            options.with(&format!("RINGBACK__{key}"), value)
        });
        let apps = ["inside", "named", "listed", "ranged", "strict", "outside"];
        apps.iter().fold(options, |options, app| {
            let hash = KeyHash::of(app.as_bytes()).to_string();
            options.with_ingress(&format!("RINGBACK__APPS__{app}__KEYS"), &hash)
        })
    });
    let fixture = fixture.await;
    Ruled { fixture, dns }
}

async fn ruled() -> (SharedGatewayUse<'static>, &'static Dns) {
    static RULED: OnceCell<Ruled> = OnceCell::const_new();
    let Ruled { fixture, dns } = RULED.get_or_init(start).await;
    (fixture.in_test(), dns)
}

async fn post(fixture: &SharedGateway, app: &str, mut callback: Value) -> GatewayResponse {
    callback["app_id"] = json!(app);
    let authorization = format!("Bearer {app}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &*authorization),
    ];
    fixture
        .gateway
        .post_raw(callback.to_string(), &headers)
        .await
}

async fn refused(fixture: &SharedGateway, app: &str, url: &str) -> String {
    let answered = post(fixture, app, callback(url)).await;
    assert_eq!(answered.status, 400, "{app} {url}");
    let msg = answered.json()["msg"].as_str().unwrap().to_owned();
    let rule = msg
        .split_once('（')
        .and_then(|(_, rest)| rest.split_once('）'));
    rule.unwrap().0.to_owned()
}

#[test]
fn an_address_allowed_to_one_app_is_denied_to_the_others() {
    on_shared_runtime(async {
        let (fixture, dns) = ruled().await;
        dns.set("a.hooks.test", DnsAnswer::Addresses(vec![HERE]));
        let port = fixture.callee.address.port();
        let literal = fixture.callee.url("/ok");
        let named = format!("http://a.hooks.test:{port}/ok");
        for (app, url) in [("inside", &literal), ("inside", &named), ("named", &named)] {
            let id = post(&fixture, app, callback(url)).await.accepted();
            assert_eq!(
                fixture.received(&id, 1).await[0].status,
                Some(200),
                "{app} {url}"
            );
        }
        for app in ["outside", "named"] {
            assert_eq!(refused(&fixture, app, &literal).await, "loopback", "{app}");
        }
        // The others have open connections to it, which must not be used.
        let id = post(&fixture, "outside", callback(&named)).await.accepted();
        assert_eq!(fixture.dead_letter(&id).await.reason(), "address_refused");
        assert!(fixture.callee.requests.for_id(&id).is_empty());
        // A name that only begins like an allowed one.
        let other = "http://a.hooks.test.other.test/";
        dns.set("a.hooks.test.other.test", DnsAnswer::Addresses(vec![HERE]));
        let id = post(&fixture, "named", callback(other)).await.accepted();
        assert_eq!(fixture.dead_letter(&id).await.reason(), "address_refused");
    });
}

#[test]
fn an_app_with_a_list_calls_listed_hosts_alone() {
    on_shared_runtime(async {
        let (fixture, dns) = ruled().await;
        let port = fixture.callee.address.port();
        dns.set("good.listed.test", DnsAnswer::Addresses(vec![HERE]));
        dns.set("range.listed.test", DnsAnswer::Addresses(vec![HERE]));
        let url = format!("http://good.listed.test:{port}/ok");
        let id = post(&fixture, "listed", callback(&url)).await.accepted();
        fixture.received(&id, 1).await;
        for url in [
            fixture.callee.url("/ok"),
            "http://bad.listed.test/".to_owned(),
            "https://8.8.8.8/".to_owned(),
        ] {
            assert_eq!(
                refused(&fixture, "listed", &url).await,
                "not_listed",
                "{url}"
            );
        }
        let url = format!("http://range.listed.test:{port}/ok");
        let id = post(&fixture, "ranged", callback(&url)).await.accepted();
        fixture.received(&id, 1).await;
    });
}

#[test]
fn a_denied_port_and_plain_http_with_https_only_are_rejected_by_the_ingress() {
    on_shared_runtime(async {
        let (fixture, _) = ruled().await;
        for url in ["http://127.0.0.1:6000/", "https://hooks.example:6063/"] {
            assert_eq!(
                refused(&fixture, "inside", url).await,
                "closed_port",
                "{url}"
            );
        }
        let plain = fixture.callee.url("/ok");
        assert_eq!(refused(&fixture, "strict", &plain).await, "scheme");
        let id = post(&fixture, "inside", callback(&plain)).await.accepted();
        fixture.received(&id, 1).await;
    });
}

#[test]
fn a_callee_outside_its_list_is_not_called_and_its_callbacks_wait() {
    on_shared_runtime(async {
        let Ruled { fixture, dns } = start().await;
        let fixture = fixture.in_test();
        let port = fixture.callee.address.port();
        let forbidden = TestTarget::silent_on(SocketAddr::from((ELSEWHERE, port)));
        dns.set("crm.test", DnsAnswer::Addresses(vec![ELSEWHERE]));
        let mut by_number = callback("");
        by_number.as_object_mut().unwrap().remove("callback_url");
        by_number["callee_no"] = json!("EO001");
        let id = post(&fixture, "outside", by_number).await.accepted();
        let asked = dns.asked("crm.test");
        eventually("two attempts", IN_TIME, async || {
            // Each attempt queries A and AAAA.
            (dns.asked("crm.test") >= asked + 4).then_some(())
        })
        .await;
        assert!(fixture.callee.requests.for_id(&id).is_empty());
        // The operator corrects the name (or the list), and the waiting callback is delivered.
        dns.set("crm.test", DnsAnswer::Addresses(vec![HERE]));
        let received = fixture.received(&id, 1).await;
        assert!(received[0].attempt > Some(1), "{:?}", received[0].attempt);
        assert_eq!(forbidden.contacts(), (0, 0));
    });
}
