//! The SSRF guard: no address is called that it has not admitted.
//!
//! - this file: literal addresses, `localhost`, registered callees, proxies
//! - `names.rs`: names and what a name server says about them
//! - `apps.rs`: rules of one app or one callee
//! - `narrowed.rs`: a reload that removes an address

mod apps;
mod names;
mod narrowed;

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    GatewayOptions, SharedGateway, SharedGatewayUse, TestTarget, callback, eventually,
    on_shared_runtime,
};
use tokio::sync::OnceCell;

use crate::fixtures::message;

/// A gateway whose guard allows nothing, with a proxy in its environment. `EO001` is the callee by
/// the name `localhost`, `EO002` by its address.
struct Closed {
    fixture: SharedGateway,
    proxy: TestTarget,
}

async fn closed() -> (SharedGatewayUse<'static>, &'static TestTarget) {
    static CLOSED: OnceCell<Closed> = OnceCell::const_new();
    let closed = CLOSED.get_or_init(start).await;
    (closed.fixture.in_test(), &closed.proxy)
}

/// These options, with a proxy for everything in the environment.
fn recommend(proxy: &TestTarget, options: GatewayOptions) -> GatewayOptions {
    let url = format!("http://{}", proxy.address());
    ["http_proxy", "https_proxy", "all_proxy"]
        .iter()
        .fold(options, |options, name| {
            options.with(name, &url).with(&name.to_uppercase(), &url)
        })
        .with("no_proxy", "")
        .with("NO_PROXY", "")
}

async fn start() -> Closed {
    let proxy = TestTarget::silent();
    let fixture = SharedGateway::start(|callee| {
        let options = GatewayOptions {
            allow: String::new(),
            schedule: "1s".to_owned(),
            ..GatewayOptions::default()
        };
        let by_name = format!("http://localhost:{}/ok/by-name", callee.address.port());
        recommend(&proxy, options)
            .with("RINGBACK__CALLEES__EO001__URL", &by_name)
            .with(
                "RINGBACK__CALLEES__EO002__URL",
                &callee.url("/ok/by-address"),
            )
    });
    Closed {
        fixture: fixture.await,
        proxy,
    }
}

fn to_callee(no: &str) -> Value {
    let mut by_number = callback("");
    by_number.as_object_mut().unwrap().remove("callback_url");
    by_number["callee_no"] = json!(no);
    by_number
}

#[test]
fn a_literal_address_is_rejected_by_the_ingress() {
    on_shared_runtime(async {
        let (fixture, _) = closed().await;
        let port = fixture.callee.address.port();
        for (host, rule) in [
            ("127.0.0.1", "loopback"),
            ("127.1", "loopback"),
            ("2130706433", "loopback"),
            ("0x7f000001", "loopback"),
            ("0177.0.0.1", "loopback"),
            ("[::1]", "loopback"),
            ("[::ffff:127.0.0.1]", "loopback"),
            ("[::ffff:7f00:1]", "loopback"),
            ("[64:ff9b::7f00:1]", "ipv4_in_ipv6"),
            ("[2002:7f00:1::]", "ipv4_in_ipv6"),
            ("0.0.0.0", "unspecified"),
            ("169.254.169.254", "metadata"),
            ("169.254.1.1", "link_local"),
            ("[fe80::1]", "link_local"),
            ("[fd00::1]", "private"),
            ("172.16.0.1", "private"),
            ("224.0.0.1", "multicast"),
        ] {
            let url = format!("http://{host}:{port}/ok/literal");
            let answered = fixture.gateway.post(&callback(&url)).await;
            let msg = format!("参数callback_url格式错误: 不允许访问该地址（{rule}）");
            let seen = (answered.status, answered.request_id(), answered.json());
            let expected = (400, None, json!({"code": "400", "msg": msg}));
            assert_eq!(seen, expected, "{url}");
        }
    });
}

#[test]
fn localhost_is_rejected_by_the_ingress() {
    on_shared_runtime(async {
        let (fixture, _) = closed().await;
        let forbidden = TestTarget::silent();
        let port = forbidden.address().port();
        let msg = "参数callback_url格式错误: 不允许访问该地址（loopback）";
        for host in ["localhost", "LOCALHOST", "localhost.", "a.localhost"] {
            let url = format!("http://{host}:{port}/");
            let answered = fixture.gateway.post(&callback(&url)).await;
            let expected = (400, json!({"code": "400", "msg": msg}));
            assert_eq!((answered.status, answered.json()), expected, "{host}");
        }
        assert_eq!(forbidden.contacts(), (0, 0));
    });
}

#[test]
fn a_literal_that_bypassed_the_ingress_is_refused_at_the_attempt() {
    on_shared_runtime(async {
        let mut fixture = start().await.fixture;
        let forbidden = TestTarget::silent();
        let port = forbidden.address().port();
        let hosts = [
            "127.0.0.1",
            "2130706433",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
        ];
        let messages = hosts.map(|host| message(&format!("http://{host}:{port}/")));
        let bodies = messages.each_ref().map(|message| message.encode().to_vec());
        fixture.gateway.insert_messages("first", &bodies).await;
        for (host, message) in hosts.iter().zip(&messages) {
            let letter = fixture.dead_letter(&message.request_id.to_string()).await;
            assert_eq!(letter.reason(), "address_refused", "{host}");
            assert_eq!(letter.outcomes(), ["address_refused"], "{host}");
        }
        assert_eq!(forbidden.contacts(), (0, 0));
        // A registered callee's connection to the same host is pooled, and not used.
        let id = fixture.send(&to_callee("EO001")).await;
        assert_eq!(fixture.received(&id, 1).await[0].status, Some(200));
        let port = fixture.callee.address.port();
        let same_host = message(&format!("http://localhost:{port}/ok/by-name"));
        let body = same_host.encode().to_vec();
        fixture.gateway.insert_messages("first", &[body]).await;
        let id = same_host.request_id.to_string();
        assert_eq!(fixture.dead_letter(&id).await.reason(), "address_refused");
        assert_eq!(fixture.callee.requests.for_id(&id).len(), 0);
    });
}

#[test]
fn a_registered_internal_callee_is_called_and_allows_callers_nothing() {
    on_shared_runtime(async {
        let (fixture, _) = closed().await;
        for no in ["EO001", "EO002"] {
            let id = fixture.send(&to_callee(no)).await;
            assert_eq!(fixture.received(&id, 1).await[0].status, Some(200));
        }
        let port = fixture.callee.address.port();
        let same_host = format!("http://localhost:{port}/ok/by-name");
        for label in [json!(null), json!("EO001")] {
            let mut by_url = callback(&same_host);
            by_url["callee_no"] = label;
            assert_eq!(fixture.gateway.post(&by_url).await.status, 400);
        }
        let by_url = callback(&fixture.callee.url("/ok/by-address"));
        assert_eq!(fixture.gateway.post(&by_url).await.status, 400);
    });
}

#[test]
fn a_proxy_in_the_environment_is_ignored() {
    on_shared_runtime(async {
        let (fixture, proxy) = closed().await;
        for no in ["EO001", "EO002"] {
            let id = fixture.send(&to_callee(no)).await;
            fixture.received(&id, 1).await;
        }
        assert_eq!(proxy.contacts(), (0, 0));
    });
}

#[test]
fn a_proxy_in_the_environment_is_ignored_for_a_callers_url_too() {
    on_shared_runtime(async {
        let (proxy, silent) = (TestTarget::silent(), TestTarget::silent());
        let fixture = SharedGateway::start(|_| {
            let options = GatewayOptions {
                allow: "127.0.0.0/8,localhost".to_owned(),
                ..GatewayOptions::default()
            };
            recommend(&proxy, options)
        })
        .await;
        let fixture = fixture.in_test();
        let port = fixture.callee.address.port();
        for host in ["127.0.0.1", "localhost"] {
            let id = fixture
                .send(&callback(&format!("http://{host}:{port}/ok")))
                .await;
            fixture.received(&id, 1).await;
            // A client would send CONNECT to its proxy; without one the target receives a TLS
            // hello.
            let before = silent.contacts();
            let mut secret = callback(&format!("https://{host}:{}/", silent.address().port()));
            secret["options"] = json!({ "max_attempts": 1, "timeout_seconds": 2 });
            let id = fixture.send(&secret).await;
            fixture.dead_letter(&id).await;
            // The bytes may stay unread for a while.
            eventually(host, Duration::from_secs(30), async || {
                let now = silent.contacts();
                let contacted = now.0 > before.0 && now.1 > before.1;
                contacted.then_some(()).ok_or(format!("{now:?}"))
            })
            .await;
        }
        assert_eq!(proxy.contacts(), (0, 0));
    });
}
