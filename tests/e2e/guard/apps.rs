//! Does an operator's word for one app or one callee hold for it, and for nobody else?
//!
//! In these gateways nothing is open to all. Names are answered by the test's own server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use delivery::callers::KeyHash;
use serde_json::{Value, json};
use tests::gateway::Answered;
use tests::{Dns, GatewayOptions, Says, Trap, Visit, World, callback, eventually, together};
use tokio::sync::OnceCell;

const IN_TIME: Duration = Duration::from_secs(60);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Ruled {
    world: World,
    dns: Dns,
}

async fn start() -> Ruled {
    let dns = Dns::start().await;
    let world = World::start(|callee| {
        let port = callee.address.port();
        let options = GatewayOptions {
            allow: String::new(),
            schedule: vec!["1s"; 19].join(","),
            ..GatewayOptions::default()
        };
        let variables = [
            ("AUTH__MODE", "bearer".to_owned()),
            ("DISPATCHER__DNS_SERVERS", dns.address().to_string()),
            ("GUARD__CLOSED_PORTS", "6000-6063".to_owned()),
            ("APPS__inside__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__named__ALLOW", "*.hooks.test".to_owned()),
            ("APPS__listed__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__listed__ONLY", "good.listed.test".to_owned()),
            ("APPS__ranged__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__ranged__ONLY", "127.0.0.1".to_owned()),
            ("APPS__strict__ALLOW", "127.0.0.0/8".to_owned()),
            ("APPS__strict__HTTPS_ONLY", "true".to_owned()),
            ("CALLEES__EO001__URL", format!("http://crm.test:{port}/ok")),
            ("CALLEES__EO001__ONLY", "127.0.0.1".to_owned()),
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
    let world = world.await;
    Ruled { world, dns }
}

async fn ruled() -> (Visit<'static>, &'static Dns) {
    static RULED: OnceCell<Ruled> = OnceCell::const_new();
    let Ruled { world, dns } = RULED.get_or_init(start).await;
    (world.visit(), dns)
}

async fn post(world: &World, app: &str, mut callback: Value) -> Answered {
    callback["app_id"] = json!(app);
    let authorization = format!("Bearer {app}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &*authorization),
    ];
    world.gateway.post_raw(callback.to_string(), &headers).await
}

async fn refused(world: &World, app: &str, url: &str) -> String {
    let answered = post(world, app, callback(url)).await;
    assert_eq!(answered.status, 400, "{app} {url}");
    let msg = answered.json()["msg"].as_str().unwrap().to_owned();
    let rule = msg
        .split_once('（')
        .and_then(|(_, rest)| rest.split_once('）'));
    rule.unwrap().0.to_owned()
}

#[test]
fn what_is_open_to_one_app_is_closed_to_the_others() {
    together(async {
        let (world, dns) = ruled().await;
        dns.set("a.hooks.test", Says::Addresses(vec![HERE]));
        let port = world.callee.address.port();
        let literal = world.callee.url("/ok");
        let named = format!("http://a.hooks.test:{port}/ok");
        for (app, url) in [("inside", &literal), ("inside", &named), ("named", &named)] {
            let id = post(&world, app, callback(url)).await.accepted();
            assert_eq!(
                world.received(&id, 1).await[0].status,
                Some(200),
                "{app} {url}"
            );
        }
        for app in ["outside", "named"] {
            assert_eq!(refused(&world, app, &literal).await, "loopback", "{app}");
        }
        // The connections to it that the others have opened are there, and serve nobody else.
        let id = post(&world, "outside", callback(&named)).await.accepted();
        assert_eq!(world.dead_letter(&id).await.reason(), "address_refused");
        assert!(world.callee.book.for_id(&id).is_empty());
        // A name that is not the one that was opened.
        let other = "http://a.hooks.test.other.test/";
        dns.set("a.hooks.test.other.test", Says::Addresses(vec![HERE]));
        let id = post(&world, "named", callback(other)).await.accepted();
        assert_eq!(world.dead_letter(&id).await.reason(), "address_refused");
    });
}

#[test]
fn an_app_with_a_list_calls_what_is_on_it_and_nothing_else() {
    together(async {
        let (world, dns) = ruled().await;
        let port = world.callee.address.port();
        dns.set("good.listed.test", Says::Addresses(vec![HERE]));
        dns.set("range.listed.test", Says::Addresses(vec![HERE]));
        let url = format!("http://good.listed.test:{port}/ok");
        let id = post(&world, "listed", callback(&url)).await.accepted();
        world.received(&id, 1).await;
        for url in [
            world.callee.url("/ok"),
            "http://bad.listed.test/".to_owned(),
            "https://8.8.8.8/".to_owned(),
        ] {
            assert_eq!(refused(&world, "listed", &url).await, "not_listed", "{url}");
        }
        let url = format!("http://range.listed.test:{port}/ok");
        let id = post(&world, "ranged", callback(&url)).await.accepted();
        world.received(&id, 1).await;
    });
}

#[test]
fn a_closed_port_and_plain_http_where_https_is_asked_for_are_refused_at_the_door() {
    together(async {
        let (world, _) = ruled().await;
        for url in ["http://127.0.0.1:6000/", "https://hooks.example:6063/"] {
            assert_eq!(refused(&world, "inside", url).await, "closed_port", "{url}");
        }
        let plain = world.callee.url("/ok");
        assert_eq!(refused(&world, "strict", &plain).await, "scheme");
        let id = post(&world, "inside", callback(&plain)).await.accepted();
        world.received(&id, 1).await;
    });
}

#[test]
fn a_callee_that_has_moved_off_its_list_is_not_called_and_its_callbacks_wait() {
    together(async {
        let Ruled { world, dns } = start().await;
        let world = world.visit();
        let port = world.callee.address.port();
        let trap = Trap::start_on(SocketAddr::from((ELSEWHERE, port))).await;
        dns.set("crm.test", Says::Addresses(vec![ELSEWHERE]));
        let mut by_number = callback("");
        by_number.as_object_mut().unwrap().remove("callback_url");
        by_number["callee_no"] = json!("EO001");
        let id = post(&world, "outside", by_number).await.accepted();
        let asked = dns.asked("crm.test");
        eventually("two attempts", IN_TIME, async || {
            // Each attempt asks for A and AAAA.
            (dns.asked("crm.test") >= asked + 4).then_some(())
        })
        .await;
        assert!(world.callee.book.for_id(&id).is_empty());
        // The operator mends the name (or the list), and what has waited arrives.
        dns.set("crm.test", Says::Addresses(vec![HERE]));
        let received = world.received(&id, 1).await;
        assert!(received[0].attempt > Some(1), "{:?}", received[0].attempt);
        assert_eq!(trap.caught(), (0, 0));
    });
}
