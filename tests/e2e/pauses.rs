//! Is a paused callee or target left alone, and does everything arrive after it is resumed?

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Callee, GatewayOptions, Kind, Process, World, eventually, together};

/// How long a fact may take that nothing but the machine's load holds up.
const SOON: Duration = Duration::from_secs(60);

async fn world(dispatchers: usize, more: &[(&str, &str)]) -> World {
    World::start(|callee: &Callee| {
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

/// Runs `ringback` with these words against the gateway: whether it succeeded, and what it said.
async fn run(world: &World, words: &[&str]) -> (bool, String) {
    let admin = world.gateway.operators_url();
    let mut words = words.to_vec();
    words.extend(["--admin", &admin]);
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

/// Waits until every dispatcher knows of so many pauses: not longer than 2 s, and the metrics' 2 s.
async fn known(world: &World, dispatchers: usize, count: u64) {
    for place in 0..dispatchers {
        eventually(
            "the pauses to be known",
            Duration::from_secs(15),
            async || {
                let series = "ringback_pauses";
                let seen = world.metric(tests::Role::Dispatcher(place), series).await;
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

async fn waits_paused(world: &World, id: &str) {
    eventually("the callback to be parked", SOON, async || {
        let url = format!("{}/api/callbacks/{id}", world.gateway.operators_url());
        // The journal hears of it within a second, not at once.
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        let shown: Value = serde_json::from_slice(&body).unwrap();
        if shown["waiting_for"] == "paused" {
            Ok(())
        } else {
            Err(shown.to_string())
        }
    })
    .await;
}

fn for_callee(world: &World) -> Value {
    let mut callback = world.callback("/ok");
    let members = callback.as_object_mut().unwrap();
    members.remove("callback_url");
    members.insert("callee_no".to_owned(), json!("EO001"));
    callback
}

#[test]
fn a_paused_callee_gets_nothing_and_everything_after_it_is_resumed() {
    let dispatchers = if Kind::chosen() == Kind::RabbitMq {
        2
    } else {
        1
    };
    together(async move {
        let world = world(dispatchers, &[]).await;
        let world = world.visit();
        let (well, said) = run(&world, &["pause", "NOBODY", "--reason", "x"]).await;
        assert!(!well && said.contains("no callee NOBODY"), "{said}");
        let (well, said) = run(&world, &["pause", "EO001", "--reason", "they move"]).await;
        assert!(well && said.contains("EO001 is paused"), "{said}");
        known(&world, dispatchers, 1).await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(world.send(&for_callee(&world)).await);
        }
        for id in &ids {
            waits_paused(&world, id).await;
        }
        // Its host is another matter than the callee.
        let other = world.send(&world.callback("/ok")).await;
        world.received(&other, 1).await;
        for id in &ids {
            assert_eq!(world.callee.book.for_id(id).len(), 0, "{id}");
        }
        // It comes back for a look now and then, and is under way at that moment.
        eventually("a pause in its story", SOON, async || {
            let (well, said) = run(&world, &["callback", "show", &ids[0]]).await;
            (well && said.contains("(paused)"))
                .then_some(())
                .ok_or(said)
        })
        .await;
        let (well, said) = run(&world, &["pauses"]).await;
        assert!(
            well && said.contains("EO001") && said.contains("they move"),
            "{said}"
        );
        let (well, said) = run(&world, &["resume", "EO001", "--reason", "moved"]).await;
        assert!(well && said.contains("resumed"), "{said}");
        for id in &ids {
            let received = world.received(id, 1).await;
            assert_eq!(received[0].attempt, Some(1), "the attempt was not spent");
        }
        let (well, said) = run(&world, &["resume", "EO001", "--reason", "again"]).await;
        assert!(!well && said.contains("not paused"), "{said}");
        let log = world.gateway.operators("/api/audit", None).await;
        let actions: Vec<_> = log["entries"]
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
    together(async {
        let mut world = world(1, &[]).await;
        let target = world.callee.url("/any?x=y");
        let body = json!({"target": target, "who": "me", "reason": "quiet"});
        let paused = world.gateway.operators("/api/pauses", Some(&body)).await;
        let name = format!("http://{}", world.callee.address);
        assert_eq!(paused, json!({"paused": name, "new": true}));
        if Kind::chosen() == Kind::Embedded {
            world.gateway.restart_ingress().await;
        } else {
            world.gateway.restart_dispatcher(0).await;
        }
        // A dispatcher does not wait for ever for a journal that is slow.
        known(&world, 1, 1).await;
        let id = world.send(&world.callback("/ok")).await;
        waits_paused(&world, &id).await;
        assert_eq!(world.callee.book.for_id(&id).len(), 0);
        let (well, said) = run(&world, &["resume", &target, "--reason", "loud again"]).await;
        assert!(well, "{said}");
        world.received(&id, 1).await;
    });
}

#[test]
fn a_target_that_is_gone_is_paused_where_that_is_set_alone() {
    together(async {
        let off = world(1, &[]).await;
        let on = world(1, &[("RINGBACK__AUTO_PAUSE__ON_GONE", "true")]).await;
        for world in [&off, &on] {
            let id = world.send(&world.callback("/status/410")).await;
            world.received(&id, 1).await;
        }
        known(&on, 1, 1).await;
        let waiting = on.send(&on.callback("/ok")).await;
        waits_paused(&on, &waiting).await;
        let pauses = on.gateway.operators("/api/pauses", None).await;
        assert_eq!(pauses["pauses"][0]["who"], "auto", "{pauses}");
        let goes = off.send(&off.callback("/ok")).await;
        off.received(&goes, 1).await;
    });
}

#[test]
fn the_targets_show_an_open_breaker() {
    together(async {
        let breaker = ("RINGBACK__LIMITS__BREAKER_CALLS", "20");
        let world = world(1, &[breaker]).await;
        let world = world.visit();
        for _ in 0..30 {
            world.send(&world.callback("/status/500")).await;
        }
        eventually("an open breaker", SOON, async || {
            let (well, said) = run(&world, &["targets"]).await;
            let name = format!("http://{}", world.callee.address);
            let line = said.lines().find(|line| line.starts_with(&name));
            let open =
                line.is_some_and(|line| line.contains(" open ") && line.contains("probes in"));
            if well && open { Ok(()) } else { Err(said) }
        })
        .await;
    });
}
