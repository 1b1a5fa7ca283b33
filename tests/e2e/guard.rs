//! Is no address called that the guard has not admitted? Here literals, `localhost`, registered
//! callees and proxies; names in `guard/names.rs`, a reload in `guard/narrowed.rs`.

mod apps;
mod names;
mod narrowed;

use std::time::Duration;

use serde_json::json;
use tests::{GatewayOptions, Trap, Visit, World, callback, eventually, together};
use tokio::sync::OnceCell;

use crate::shared::message;

/// A gateway whose guard opens nothing, beside a proxy that the environment recommends. `EO001` is
/// the callee by the name `localhost`, `EO002` by its address.
struct Closed {
    world: World,
    proxy: Trap,
}

async fn closed() -> (Visit<'static>, &'static Trap) {
    static CLOSED: OnceCell<Closed> = OnceCell::const_new();
    let closed = CLOSED.get_or_init(start).await;
    (closed.world.visit(), &closed.proxy)
}

/// These options, in an environment that recommends a proxy for everything.
fn recommend(proxy: &Trap, options: GatewayOptions) -> GatewayOptions {
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
    let proxy = Trap::start().await;
    let world = World::start(|callee| {
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
        world: world.await,
        proxy,
    }
}

#[test]
fn a_literal_address_is_refused_at_the_door() {
    together(async {
        let (world, _) = closed().await;
        let port = world.callee.address.port();
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
            let answered = world.gateway.post(&callback(&url)).await;
            let msg = format!("参数callback_url格式错误: 不允许访问该地址（{rule}）");
            let seen = (answered.status, answered.request_id(), answered.json());
            let expected = (400, None, json!({"code": "400", "msg": msg}));
            assert_eq!(seen, expected, "{url}");
        }
    });
}

#[test]
fn a_name_that_means_this_machine_is_refused_at_the_attempt() {
    together(async {
        let (world, _) = closed().await;
        let trap = Trap::start().await;
        let port = trap.address().port();
        for host in ["localhost", "LOCALHOST", "localhost.", "a.localhost"] {
            let id = world
                .send(&callback(&format!("http://{host}:{port}/")))
                .await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.reason(), "address_refused", "{host}");
            assert_eq!(letter.outcomes(), ["address_refused"], "{host}");
        }
        assert_eq!(trap.caught(), (0, 0));
    });
}

#[test]
fn a_literal_that_slipped_past_the_door_is_refused_at_the_attempt() {
    together(async {
        let mut world = start().await.world;
        let trap = Trap::start().await;
        let port = trap.address().port();
        let hosts = ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"];
        let messages = hosts.map(|host| message(&format!("http://{host}:{port}/")));
        let bodies = messages.each_ref().map(|message| message.encode().to_vec());
        world.gateway.plant("first", &bodies).await;
        for (host, message) in hosts.iter().zip(&messages) {
            let letter = world.dead_letter(&message.request_id.to_string()).await;
            assert_eq!(letter.reason(), "address_refused", "{host}");
        }
        assert_eq!(trap.caught(), (0, 0));
    });
}

#[test]
fn a_registered_callee_inside_is_called_and_opens_nothing_to_callers() {
    together(async {
        let (world, _) = closed().await;
        for no in ["EO001", "EO002"] {
            let mut by_number = callback("");
            by_number.as_object_mut().unwrap().remove("callback_url");
            by_number["callee_no"] = json!(no);
            let id = world.send(&by_number).await;
            assert_eq!(world.received(&id, 1).await[0].status, Some(200));
        }
        // Its connection is pooled now, and the host is the same.
        let port = world.callee.address.port();
        let same_host = format!("http://localhost:{port}/ok/by-name");
        for label in [json!(null), json!("EO001")] {
            let mut by_url = callback(&same_host);
            by_url["callee_no"] = label;
            let id = world.send(&by_url).await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.reason(), "address_refused");
            assert_eq!(world.callee.book.for_id(&id).len(), 0);
        }
        let by_url = callback(&world.callee.url("/ok/by-address"));
        assert_eq!(world.gateway.post(&by_url).await.status, 400);
    });
}

#[test]
fn a_proxy_in_the_environment_is_ignored() {
    together(async {
        let (world, proxy) = closed().await;
        for no in ["EO001", "EO002"] {
            let mut by_number = callback("");
            by_number.as_object_mut().unwrap().remove("callback_url");
            by_number["callee_no"] = json!(no);
            let id = world.send(&by_number).await;
            world.received(&id, 1).await;
        }
        assert_eq!(proxy.caught(), (0, 0));
    });
}

#[test]
fn a_proxy_in_the_environment_is_ignored_for_a_callers_url_too() {
    together(async {
        let (proxy, silent) = (Trap::start().await, Trap::start().await);
        let world = World::start(|_| {
            let options = GatewayOptions {
                allow: "127.0.0.0/8,localhost".to_owned(),
                ..GatewayOptions::default()
            };
            recommend(&proxy, options)
        })
        .await;
        let world = world.visit();
        let port = world.callee.address.port();
        for host in ["127.0.0.1", "localhost"] {
            let id = world
                .send(&callback(&format!("http://{host}:{port}/ok")))
                .await;
            world.received(&id, 1).await;
            // A client would ask its proxy to CONNECT; without one the target hears its hello.
            let before = silent.caught();
            let mut secret = callback(&format!("https://{host}:{}/", silent.address().port()));
            secret["options"] = json!({ "max_attempts": 1, "timeout_seconds": 2 });
            let id = world.send(&secret).await;
            world.dead_letter(&id).await;
            // What was said to it may lie unread for a while.
            eventually(host, Duration::from_secs(30), async || {
                let now = silent.caught();
                let heard = now.0 > before.0 && now.1 > before.1;
                heard.then_some(()).ok_or(format!("{now:?}"))
            })
            .await;
        }
        assert_eq!(proxy.caught(), (0, 0));
    });
}
