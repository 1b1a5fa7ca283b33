//! What all processes of a gateway say together, whoever is asked: instances, targets, apps, and who
//! holds a callback.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{
    BrokerKind, Callee, GatewayOptions, GatewayRole, Process, SharedGateway, eventually, http,
    on_shared_runtime,
};

/// Upper bound for something that only the machine's load delays.
pub(super) const SOON: Duration = Duration::from_secs(60);

async fn fixture(dispatchers: usize, more: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|callee: &Callee| {
        let options = GatewayOptions {
            dispatchers,
            ..GatewayOptions::default()
        };
        let options = options.with("RINGBACK__CALLEES__EO001__URL", &callee.url("/status/400"));
        let options = more
            .iter()
            .fold(options, |options, (key, value)| options.with(key, value));
        options.with_journal()
    })
    .await
}

fn is_rabbitmq() -> bool {
    BrokerKind::chosen() == BrokerKind::RabbitMq
}

/// What the operators' API at this address says.
pub(super) async fn ask(admin: SocketAddr, path: &str) -> Result<Value, String> {
    let response = http::client().get(format!("http://{admin}{path}")).send();
    let response = response.await.map_err(|error| error.to_string())?;
    let body = response.bytes().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// The output of `ringback` with these words, asking this address.
async fn run(admin: SocketAddr, words: &[&str]) -> String {
    let url = format!("http://{admin}");
    let words: Vec<&str> = words.iter().copied().chain(["--admin", &url]).collect();
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    assert!(process.wait_exit(SOON).await.success(), "{}", process.log());
    process.log()
}

/// Role and process id of those that answered.
fn answering(instances: &Value) -> Vec<(String, u64)> {
    let items = instances["items"].as_array().unwrap().iter();
    let answering = items.filter(|it| it["answered"] == true);
    let mut found: Vec<(String, u64)> = answering
        .map(|it| {
            (
                it["role"].as_str().unwrap().to_owned(),
                it["pid"].as_u64().unwrap(),
            )
        })
        .collect();
    found.sort();
    found
}

async fn sees(admin: SocketAddr, expected: &[(String, u64)]) -> Value {
    eventually("the instances", SOON, async || {
        let found = ask(admin, "/admin/v1/instances").await?;
        match answering(&found) == expected {
            true => Ok(found),
            false => Err(found.to_string()),
        }
    })
    .await
}

#[test]
fn every_process_is_listed_a_frozen_one_is_silent_and_a_killed_one_vanishes() {
    on_shared_runtime(async {
        let fixture = fixture(2, &[]).await;
        let fixture = fixture.in_test();
        let gateway = &fixture.gateway;
        let named = |instance: &tests::gateway::Instance| {
            (
                instance.role().to_owned(),
                u64::from(instance.process.pid()),
            )
        };
        if !is_rabbitmq() {
            let alone = sees(gateway.ingress.admin, &[named(&gateway.ingress)]).await;
            assert_eq!(
                alone["seen_by"],
                json!({"answered": 1, "silent": [], "complete": true})
            );
            assert_eq!(alone["warnings"], json!([]));
            return;
        }
        // They run on one clock; half the way of question and answer is the error.
        eventually("the clocks to be compared", SOON, async || {
            let page = gateway.metrics(GatewayRole::Dispatcher(0)).await;
            let mut lines = page.lines();
            let series = "ringback_clock_spread_seconds{} ";
            let spread = lines.find_map(|line| line.strip_prefix(series));
            let spread: f64 = spread
                .ok_or(page.clone())?
                .parse()
                .map_err(|_| page.clone())?;
            (spread < 1.0).then_some(()).ok_or(page.clone())
        })
        .await;
        let mut second = gateway.start_instance("ingress").await;
        let mut leaving = gateway.start_instance("recorder").await;
        let admin = gateway.start_instance("admin").await;
        let mut all: Vec<_> = gateway.instances().map(named).collect();
        all.extend([named(&second), named(&leaving), named(&admin)]);
        all.sort();
        for asked in [
            admin.admin,
            gateway.dispatchers[0].admin,
            gateway.dispatchers[1].admin,
        ] {
            let found = sees(asked, &all).await;
            assert_eq!(
                found["warnings"],
                json!([]),
                "clocks and settings are the same"
            );
        }
        // One that stops in order is gone, not silent.
        leaving.process.sigterm();
        leaving.process.wait_exit(SOON).await;
        let left = named(&leaving);
        all.retain(|it| *it != left);
        let found = sees(admin.admin, &all).await;
        assert_eq!(found["seen_by"]["silent"], json!([]), "{found}");

        let frozen = &gateway.dispatchers[1].process;
        let name = format!(":{}", frozen.pid());
        frozen.freeze();
        let begun = Instant::now();
        let found = ask(admin.admin, "/admin/v1/instances").await.unwrap();
        let took = begun.elapsed();
        let words = run(admin.admin, &["instances"]).await;
        let targets = ask(admin.admin, "/admin/v1/targets").await.unwrap();
        frozen.thaw();
        assert!(took < Duration::from_secs(1), "{took:?}");
        let silent = found["seen_by"]["silent"].as_array().unwrap();
        let is_frozen = |it: &Value| it["process"].as_str().unwrap().ends_with(&name);
        assert!(silent.iter().any(is_frozen), "{found}");
        assert!(words.contains("does not answer (heard "), "{words}");
        assert!(
            targets["seen_by"]["silent"]
                .as_array()
                .unwrap()
                .iter()
                .any(is_frozen),
            "{targets}"
        );
        sees(admin.admin, &all).await;

        second.process.kill9();
        let killed = named(&second);
        all.retain(|it| *it != killed);
        eventually("the killed one to vanish", SOON, async || {
            let found = ask(admin.admin, "/admin/v1/instances").await?;
            let gone =
                answering(&found) == all && found["items"].as_array().unwrap().len() == all.len();
            gone.then_some(()).ok_or(found.to_string())
        })
        .await;
    });
}

#[test]
fn figures_of_targets_add_up_over_all_dispatchers_and_400_is_no_success() {
    on_shared_runtime(async {
        let dispatchers = if is_rabbitmq() { 2 } else { 1 };
        let fixture = fixture(dispatchers, &[]).await;
        let fixture = fixture.in_test();
        let (mut delivered, mut rejected) = (0_u64, 0_u64);
        for _ in 0..40 {
            let id = fixture.send(&fixture.callback("/ok")).await;
            fixture.received(&id, 1).await;
            delivered += 1;
        }
        for _ in 0..25 {
            let mut body = fixture.callback("/ok");
            body.as_object_mut().unwrap().remove("callback_url");
            body["callee_no"] = json!("EO001");
            let id = fixture.send(&body).await;
            fixture.received(&id, 1).await;
            rejected += 1;
        }
        let target = format!("http://{}", fixture.callee.address);
        let mut asked: Vec<SocketAddr> = fixture
            .gateway
            .dispatchers
            .iter()
            .map(|it| it.admin)
            .collect();
        let mut admin = None;
        if is_rabbitmq() {
            admin = Some(fixture.gateway.start_instance("admin").await);
        } else {
            asked.push(fixture.gateway.ingress.admin);
        }
        asked.extend(admin.as_ref().map(|it| it.admin));
        for admin in asked {
            eventually("the figures of both dispatchers", SOON, async || {
                let found = ask(admin, "/admin/v1/targets").await?;
                let items = found["items"].as_array().unwrap();
                let figures = |field: &str, name: &str| {
                    let item = items.iter().find(|it| it[field] == name);
                    item.map(|it| {
                        let calls = &it["since_start"];
                        (
                            calls["delivered"].as_u64().unwrap(),
                            calls["rejected"]["4xx"].as_u64().unwrap_or(0),
                            it["success_ratio"].as_f64(),
                            it["unfinished"]["count"].as_u64(),
                        )
                    })
                };
                let same = figures("target", &target) == Some((delivered, 0, Some(1.0), Some(0)))
                    && figures("callee_no", "EO001") == Some((0, rejected, Some(0.0), Some(0)));
                same.then_some(()).ok_or(found.to_string())
            })
            .await;
            let words = run(admin, &["targets"]).await;
            let line = words
                .lines()
                .find(|line| line.starts_with("乐居新房 EO001"));
            let line = line.unwrap_or_else(|| panic!("{words}"));
            for part in ["25 4xx", "0.0 %", "answered_4xx 400"] {
                assert!(line.contains(part), "{part}\n{words}");
            }
        }
    });
}

#[test]
fn what_waits_for_a_failing_target_is_counted_with_its_age() {
    on_shared_runtime(async {
        let fixture = fixture(1, &[("RINGBACK__RETRY__SCHEDULE", "1h")]).await;
        let fixture = fixture.in_test();
        for _ in 0..7 {
            let id = fixture.send(&fixture.callback("/status/503")).await;
            fixture.received(&id, 1).await;
        }
        let target = format!("http://{}", fixture.callee.address);
        eventually("seven that wait", SOON, async || {
            let found = fixture.gateway.admin("/admin/v1/targets", None).await;
            let items = found["items"].as_array().unwrap();
            let item = items
                .iter()
                .find(|it| it["target"] == *target)
                .ok_or("no target")?;
            let unfinished = &item["unfinished"];
            let known = unfinished["count"] == 7
                && unfinished["oldest_accepted_at"].is_string()
                && unfinished["next_attempt_at"].is_string();
            let failed = item["last_5_min"]["rejected"]["5xx"] == 7
                && item["last_error"]["http_status"] == 503;
            (known && failed).then_some(()).ok_or(found.to_string())
        })
        .await;
    });
}

#[test]
fn the_app_that_floods_the_gateway_is_first() {
    on_shared_runtime(async {
        let limit = ("RINGBACK__APPS__flooder__RATE", "2");
        let dispatchers = if is_rabbitmq() { 2 } else { 1 };
        let fixture = fixture(dispatchers, &[limit]).await;
        let fixture = fixture.in_test();
        for app in std::iter::repeat_n("flooder", 60).chain(["shop"; 3]) {
            let mut body = fixture.callback("/ok");
            body["app_id"] = json!(app);
            let _ = fixture.gateway.post(&body).await;
        }
        let found = eventually("the flooder first", SOON, async || {
            let found = fixture.gateway.admin("/admin/v1/apps", None).await;
            let first = &found["items"][0];
            let limited = first["limited"].as_u64().unwrap_or(0);
            let sum = limited + first["accepted"].as_u64().unwrap_or(0);
            let is_first = first["app_id"] == "flooder" && limited > 0 && sum == 60;
            is_first.then_some(()).ok_or(found.to_string())?;
            let items = found["items"].as_array().unwrap();
            let shop = items.iter().find(|it| it["app_id"] == "shop");
            let finished = shop.is_some_and(|it| it["accepted"] == 3 && it["unfinished"] == 0);
            let quiet = found["warnings"] == json!([]);
            (finished && quiet).then_some(()).ok_or(found.to_string())
        });
        found.await;
        let log = fixture.gateway.ingress.process.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("a request of an app is refused"));
        let count = lines.clone().count();
        assert!(
            lines
                .clone()
                .all(|line| line.contains("flooder") && line.contains("429")),
            "{log}"
        );
        assert!((1..=30).contains(&count), "{count} lines");
    });
}

#[test]
fn the_process_that_holds_a_callback_says_so() {
    on_shared_runtime(async {
        let fixture = fixture(1, &[]).await;
        let fixture = fixture.in_test();
        let id = fixture.send(&fixture.callback("/slow/4000")).await;
        let path = format!("/admin/v1/callbacks/{id}/holders");
        let pid = match is_rabbitmq() {
            true => fixture.gateway.dispatchers[0].process.pid(),
            false => fixture.gateway.ingress.process.pid(),
        };
        eventually("the holder", SOON, async || {
            let found = fixture.gateway.admin(&path, None).await;
            let holder = &found["items"][0];
            let name = holder["process"].as_str().unwrap_or_default();
            let held = name.ends_with(&format!(":{pid}"))
                && holder["in_flight"] == true
                && holder["attempt"] == 1
                && holder["queue"] == "first";
            held.then_some(()).ok_or(found.to_string())
        })
        .await;
        eventually("nobody to hold it", SOON, async || {
            let found = fixture.gateway.admin(&path, None).await;
            (found["items"] == json!([]))
                .then_some(())
                .ok_or(found.to_string())
        })
        .await;
    });
}

#[test]
fn a_refused_reload_is_named_with_its_process() {
    on_shared_runtime(async {
        let temp = tests::cleanup::TempDirectory::new("refused-reload");
        let file = temp.path().join("settings.toml");
        std::fs::write(&file, "[ingress]\nbody_timeout = \"9s\"\n").unwrap();
        let variable = ("RINGBACK_CONFIG", &*file.display().to_string());
        let fixture = fixture(1, &[variable]).await;
        let fixture = fixture.in_test();
        std::fs::write(&file, "[ingress]\nbody_timeout = \"many\"\n").unwrap();
        let admin = match is_rabbitmq() {
            true => fixture.gateway.dispatchers[0].admin,
            false => fixture.gateway.ingress.admin,
        };
        eventually("the refusal", SOON, async || {
            let words = run(admin, &["instances"]).await;
            let names = words.matches("refused its new settings at").count();
            let expected = if is_rabbitmq() { 2 } else { 1 };
            let all = names == expected && words.contains("ingress.body_timeout");
            all.then_some(()).ok_or(words)
        })
        .await;
    });
}
