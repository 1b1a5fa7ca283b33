//! Can an operator find what was given up, bring it back, and put away what nobody wants, by
//! command?

mod door;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tests::{Callee, GatewayOptions, Process, World, eventually, together};

/// How long a fact may take that nothing but the machine's load holds up.
const SOON: Duration = Duration::from_secs(60);

/// Two attempts a life, and a journal on either ground.
async fn world() -> World {
    World::start(|_: &Callee| {
        let options = GatewayOptions {
            schedule: "1s".to_owned(),
            ..GatewayOptions::default()
        };
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

/// The dead letters that these conditions find.
async fn dead(world: &World, conditions: &[&str]) -> Vec<Value> {
    let mut words = vec!["dead", "list", "--json"];
    words.extend(conditions);
    let (well, said) = run(world, &words).await;
    assert!(well, "{said}");
    let lines = said.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

async fn send(world: &World, app: &str, path: &str) -> String {
    let mut callback = world.callback(path);
    callback["app_id"] = app.into();
    world.send(&callback).await
}

async fn depth_of_dead(world: &World, expected: u32) {
    eventually(&format!("{expected} in the dead queue"), SOON, async || {
        let depth = world.gateway.queue_depth("dead").await;
        if depth == expected {
            Ok(())
        } else {
            Err(depth.to_string())
        }
    })
    .await;
}

#[test]
fn what_was_given_up_is_found_replayed_and_discarded_by_command() {
    together(async {
        let world = world().await;
        let world = world.visit();
        let ids = join_all((0..5).map(|_| send(&world, "crm", "/status/503"))).await;
        let other = send(&world, "erp", "/status/400").await;
        eventually("all dead letters in the journal", SOON, async || {
            let all = dead(&world, &[]).await;
            if all.len() == 6 {
                Ok(())
            } else {
                Err(format!("{all:?}"))
            }
        })
        .await;
        let found = dead(&world, &["--app", "crm", "--given-up-for", "exhausted"]).await;
        assert_eq!(found.len(), 5);
        assert_eq!(dead(&world, &["--given-up-for", "rejected"]).await.len(), 1);
        assert_eq!(dead(&world, &["--until", "1h"]).await.len(), 0);

        let crm = ["--app", "crm"];
        let replay = ["dead", "replay", "--app", "crm", "--reason", "mended"];
        let (well, said) = run(
            &world,
            &[&["dead", "replay", "--dry-run"], &crm[..]].concat(),
        )
        .await;
        assert!(
            well && said.contains("5 dead letters would be replayed"),
            "{said}"
        );
        let (well, said) = run(&world, &replay).await;
        assert!(
            !well && said.contains("--yes"),
            "nobody is there to be asked: {said}"
        );
        let (well, said) = run(&world, &[&replay[..], &["--yes", "--rate", "2"]].concat()).await;
        assert!(well && said.contains("replayed 5 dead letters"), "{said}");

        // The target still fails: each dies once more, under its own id, in its next life.
        for id in &ids {
            let received = world.received(id, 4).await;
            let numbers: Vec<_> = received.iter().map(|it| it.attempt).collect();
            assert_eq!(numbers, [Some(1), Some(2), Some(1), Some(2)], "{id}");
        }
        eventually("all dead again", SOON, async || {
            let all = dead(&world, &crm).await;
            let again = all.iter().filter(|it| it["generation"] == 1).count();
            if again == 5 {
                Ok(())
            } else {
                Err(format!("{all:?}"))
            }
        })
        .await;
        // The sweep has let the copies of the first life go.
        depth_of_dead(&world, 6).await;

        let (well, told) = run(&world, &["callback", "show", &ids[0]]).await;
        assert!(well, "{told}");
        for words in [
            "replayed (replay 1)",
            "attempt 2: answered_5xx 503",
            "ringback dead replay",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let (well, told) = run(&world, &["dead", "show", &other]).await;
        assert!(well && told.contains(r#"message: {"field1":1}"#), "{told}");

        let discard = [
            "dead", "discard", "--app", "crm", "--reason", "test", "--yes",
        ];
        let (well, said) = run(&world, &discard).await;
        assert!(well && said.contains("discarded 5"), "{said}");
        let left = dead(&world, &[]).await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["request_id"], *other);
        depth_of_dead(&world, 1).await;

        let letter = world.dead_letter(&other).await;
        assert_eq!(letter.reason(), "rejected", "put back as it was");
        let history = letter.taken.header("ringback-history").unwrap_or_default();
        assert!(history.starts_with("1: answered_4xx 400 in "), "{history}");

        let (well, log) = run(&world, &["dead", "audit"]).await;
        assert!(well, "{log}");
        for words in ["night-shift@", "replay", "discard", "app_id crm", "mended"] {
            assert!(log.contains(words), "{words}: {log}");
        }
    });
}

#[test]
fn one_dead_letter_is_replayed_by_its_id_and_delivered_when_its_target_is_well() {
    together(async {
        let world = world().await;
        let world = world.visit();
        // Fails twice, then succeeds: dead after one life, delivered in the next.
        let id = send(&world, "crm", "/flaky/2").await;
        let found = eventually("its dead letter", SOON, async || {
            dead(&world, &[]).await.pop()
        })
        .await;
        assert_eq!(found["request_id"], *id);
        let (well, said) = run(&world, &["dead", "replay", &id, "--reason", "x", "--yes"]).await;
        assert!(well && said.contains("replayed 1 dead letter"), "{said}");
        eventually("its delivery in the journal", SOON, async || {
            let (_, told) = run(&world, &["callback", "show", &id]).await;
            if told.contains("status  delivered") {
                Ok(())
            } else {
                Err(told)
            }
        })
        .await;
        let (well, said) = run(&world, &["dead", "replay", &id, "--reason", "x", "--yes"]).await;
        assert!(well && said.contains("no dead letter matches"), "{said}");
        depth_of_dead(&world, 0).await;
    });
}
