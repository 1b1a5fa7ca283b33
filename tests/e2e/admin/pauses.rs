//! Pausing a callee, a target, an app or a message type: nothing is delivered, and everything arrives after it is resumed.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    BrokerKind, Callee, GatewayOptions, Process, SharedGateway, eventually, on_shared_runtime,
};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

async fn fixture(dispatchers: usize, more: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|callee: &Callee| {
        let mut options = GatewayOptions {
            dispatchers,
            schedule: "1s,1s,1s".to_owned(),
            ..GatewayOptions::default()
        };
        options = options.with("RINGBACK__CALLEES__EO001__URL", &callee.url("/ok/eo001"));
        for (key, value) in more {
            options = options.with(key, value);
        }
        options.with_journal()
    })
    .await
}

/// Runs `ringback` with these arguments against the gateway: whether it succeeded, and its output.
async fn run(fixture: &SharedGateway, words: &[&str]) -> (bool, String) {
    let admin = fixture.gateway.admin_url();
    let mut words = words.to_vec();
    words.extend(["--admin", &admin]);
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

/// Waits until every dispatcher knows this many pauses: within 2 s, plus 2 s for the metrics.
async fn known(fixture: &SharedGateway, dispatchers: usize, count: u64) {
    for place in 0..dispatchers {
        eventually(
            "the pauses to be known",
            Duration::from_secs(15),
            async || {
                let series = "ringback_paused_targets";
                let seen = fixture
                    .metric(tests::GatewayRole::Dispatcher(place), series)
                    .await;
                if seen == count {
                    Ok(())
                } else {
                    Err(seen.to_string())
                }
            },
        )
        .await;
    }
}

async fn waits_paused(fixture: &SharedGateway, id: &str) {
    eventually("the callback to be deferred", SOON, async || {
        let url = format!("{}/admin/v1/callbacks/{id}", fixture.gateway.admin_url());
        // The journal has it within a second, not at once.
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        let shown: Value = serde_json::from_slice(&body).unwrap();
        if shown["deferred_reason"] == "paused" {
            Ok(())
        } else {
            Err(shown.to_string())
        }
    })
    .await;
}

fn for_callee(fixture: &SharedGateway) -> Value {
    let mut callback = fixture.callback("/ok");
    let members = callback.as_object_mut().unwrap();
    members.remove("callback_url");
    members.insert("callee_no".to_owned(), json!("EO001"));
    callback
}

#[test]
fn a_paused_callee_gets_nothing_until_it_is_resumed() {
    let dispatchers = if BrokerKind::chosen() == BrokerKind::RabbitMq {
        2
    } else {
        1
    };
    on_shared_runtime(async move {
        let fixture = fixture(dispatchers, &[]).await;
        let fixture = fixture.in_test();
        let (succeeded, output) = run(&fixture, &["pause", "NOBODY", "--reason", "x"]).await;
        assert!(
            !succeeded && output.contains("no callee NOBODY"),
            "{output}"
        );
        let (succeeded, output) = run(&fixture, &["pause", "EO001", "--reason", "they move"]).await;
        assert!(succeeded && output.contains("EO001 is paused"), "{output}");
        known(&fixture, dispatchers, 1).await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(fixture.send(&for_callee(&fixture)).await);
        }
        for id in &ids {
            waits_paused(&fixture, id).await;
        }
        // The host of the callee is not paused.
        let other = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&other, 1).await;
        for id in &ids {
            assert_eq!(fixture.callee.requests.for_id(id).len(), 0, "{id}");
        }
        // The deferred message returns now and then, and is in flight at that time.
        eventually("a pause in its story", SOON, async || {
            let (succeeded, output) = run(&fixture, &["callback", "show", &ids[0]]).await;
            (succeeded && output.contains("(paused)"))
                .then_some(())
                .ok_or(output)
        })
        .await;
        let (succeeded, output) = run(&fixture, &["pauses"]).await;
        assert!(
            succeeded && output.contains("EO001") && output.contains("they move"),
            "{output}"
        );
        let (succeeded, output) = run(&fixture, &["resume", "EO001", "--reason", "moved"]).await;
        assert!(succeeded && output.contains("resumed"), "{output}");
        for id in &ids {
            let received = fixture.received(id, 1).await;
            assert_eq!(received[0].attempt, Some(1), "the attempt was not spent");
        }
        let (succeeded, output) = run(&fixture, &["resume", "EO001", "--reason", "again"]).await;
        assert!(!succeeded && output.contains("not paused"), "{output}");
        let log = fixture.gateway.admin("/admin/v1/audit", None).await;
        let actions: Vec<_> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["action"])
            .collect();
        assert_eq!(actions, ["resume", "pause"], "{log}");
    });
}

#[test]
fn a_pause_of_a_target_survives_a_restart() {
    on_shared_runtime(async {
        let mut fixture = fixture(1, &[]).await;
        let target = fixture.callee.url("/any?x=y");
        let body = json!({"target": target, "actor": "me", "reason": "quiet"});
        let paused = fixture.gateway.admin("/admin/v1/pauses", Some(&body)).await;
        let name = format!("http://{}", fixture.callee.address);
        let expected = json!({"paused": name, "new": true, "scope": "all_processes"});
        assert_eq!(paused, expected);
        if BrokerKind::chosen() == BrokerKind::Embedded {
            fixture.gateway.restart_ingress().await;
        } else {
            fixture.gateway.restart_dispatcher(0).await;
        }
        // A dispatcher does not wait for a slow journal for ever.
        known(&fixture, 1, 1).await;
        let id = fixture.send(&fixture.callback("/ok")).await;
        waits_paused(&fixture, &id).await;
        assert_eq!(fixture.callee.requests.for_id(&id).len(), 0);
        let (succeeded, output) =
            run(&fixture, &["resume", &target, "--reason", "loud again"]).await;
        assert!(succeeded, "{output}");
        fixture.received(&id, 1).await;
    });
}

#[test]
fn a_gone_target_is_paused_only_when_configured() {
    on_shared_runtime(async {
        let off = fixture(1, &[]).await;
        let on = fixture(1, &[("RINGBACK__AUTO_PAUSE__ON_GONE", "true")]).await;
        for fixture in [&off, &on] {
            let id = fixture.send(&fixture.callback("/status/410")).await;
            fixture.received(&id, 1).await;
        }
        known(&on, 1, 1).await;
        let waiting = on.send(&on.callback("/ok")).await;
        waits_paused(&on, &waiting).await;
        let pauses = on.gateway.admin("/admin/v1/pauses", None).await;
        assert_eq!(pauses["items"][0]["actor"], "auto", "{pauses}");
        let goes = off.send(&off.callback("/ok")).await;
        off.received(&goes, 1).await;
    });
}

#[test]
fn the_list_of_targets_shows_an_open_breaker() {
    on_shared_runtime(async {
        let breaker = ("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "20");
        let fixture = fixture(1, &[breaker]).await;
        let fixture = fixture.in_test();
        for _ in 0..30 {
            fixture.send(&fixture.callback("/status/500")).await;
        }
        eventually("an open breaker", SOON, async || {
            let (succeeded, output) = run(&fixture, &["targets"]).await;
            let name = format!("http://{}", fixture.callee.address);
            let line = output.lines().find(|line| line.starts_with(&name));
            let open = line.is_some_and(|line| {
                line.contains("breaker open for the app ") && line.contains("probes in")
            });
            if succeeded && open {
                Ok(())
            } else {
                Err(output)
            }
        })
        .await;
    });
}

#[test]
fn a_paused_app_and_a_paused_type_wait_and_all_others_are_delivered() {
    on_shared_runtime(async {
        let fixture = fixture(1, &[]).await;
        let fixture = fixture.in_test();
        let callback = |app: &str, message_type: &str| {
            let mut callback = fixture.callback("/ok");
            callback["app_id"] = app.into();
            callback["message_type"] = message_type.into();
            callback
        };
        let reason = ["--reason", "they asked"];
        for (paused, shown) in [
            (["--app", "crm"], "app crm is paused"),
            (["--type", "order.refund"], "message type order.refund is"),
        ] {
            let words = [&["pause"], &paused[..], &reason].concat();
            let (succeeded, output) = run(&fixture, &words).await;
            assert!(succeeded && output.contains(shown), "{output}");
        }
        for series in ["ringback_paused_apps", "ringback_paused_message_types"] {
            eventually("the pauses to be known", SOON, async || {
                let role = tests::GatewayRole::Dispatcher(0);
                let seen = fixture.metric(role, series).await;
                (seen == 1).then_some(()).ok_or(seen.to_string())
            })
            .await;
        }
        let by_app = fixture.send(&callback("crm", "order.paid")).await;
        let by_type = fixture.send(&callback("erp", "order.refund")).await;
        for (id, sentence) in [
            (&by_app, "App crm is paused by night-shift"),
            (
                &by_type,
                "Message type order.refund is paused by night-shift",
            ),
        ] {
            waits_paused(&fixture, id).await;
            let (succeeded, output) = run(&fixture, &["callback", "show", id]).await;
            assert!(succeeded && output.contains(sentence), "{output}");
            assert!(output.contains("they asked"), "{output}");
        }
        // Another app and another type go, to the same target.
        let other = fixture.send(&callback("erp", "order.paid")).await;
        fixture.received(&other, 1).await;
        for id in [&by_app, &by_type] {
            assert_eq!(fixture.callee.requests.for_id(id).len(), 0, "{id}");
        }
        let (succeeded, output) = run(&fixture, &["pauses"]).await;
        assert!(succeeded, "{output}");
        for words in ["message type", "order.refund", "crm", "they asked"] {
            assert!(output.contains(words), "{output}");
        }
        for paused in [["--app", "crm"], ["--type", "order.refund"]] {
            let words = [&["resume"], &paused[..], &reason].concat();
            let (succeeded, output) = run(&fixture, &words).await;
            assert!(succeeded, "{output}");
        }
        for id in [&by_app, &by_type] {
            let received = fixture.received(id, 1).await;
            assert_eq!(received[0].attempt, Some(1), "the attempt was not spent");
        }
    });
}
