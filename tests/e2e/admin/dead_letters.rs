//! Dead letters by command: list, show, replay, discard.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tests::{Callee, GatewayOptions, Process, SharedGateway, eventually, on_shared_runtime};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

/// Two attempts per generation, and a journal on either broker.
async fn fixture() -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions {
            schedule: "1s".to_owned(),
            ..GatewayOptions::default()
        };
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

/// The dead letters that match these conditions.
async fn dead(fixture: &SharedGateway, conditions: &[&str]) -> Vec<Value> {
    let mut words = vec!["dead-letters", "list", "--json"];
    words.extend(conditions);
    let (succeeded, output) = run(fixture, &words).await;
    assert!(succeeded, "{output}");
    let lines = output.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

async fn send(fixture: &SharedGateway, app: &str, path: &str) -> String {
    let mut callback = fixture.callback(path);
    callback["app_id"] = app.into();
    fixture.send(&callback).await
}

async fn depth_of_dead(fixture: &SharedGateway, expected: u32) {
    eventually(&format!("{expected} in the dead queue"), SOON, async || {
        let depth = fixture.gateway.queue_depth("dead").await;
        if depth == expected {
            Ok(())
        } else {
            Err(depth.to_string())
        }
    })
    .await;
}

#[test]
fn dead_letters_are_listed_replayed_and_discarded_by_command() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let ids = join_all((0..5).map(|_| send(&fixture, "crm", "/status/503"))).await;
        let other = send(&fixture, "erp", "/status/400").await;
        eventually("all dead letters in the journal", SOON, async || {
            let all = dead(&fixture, &[]).await;
            if all.len() == 6 {
                Ok(())
            } else {
                Err(format!("{all:?}"))
            }
        })
        .await;
        let found = dead(
            &fixture,
            &["--app", "crm", "--dead-letter-reason", "exhausted"],
        )
        .await;
        assert_eq!(found.len(), 5);
        assert_eq!(
            dead(&fixture, &["--dead-letter-reason", "rejected"])
                .await
                .len(),
            1
        );
        assert_eq!(dead(&fixture, &["--until", "1h"]).await.len(), 0);

        let crm = ["--app", "crm"];
        let replay = [
            "dead-letters",
            "replay",
            "--app",
            "crm",
            "--reason",
            "repaired",
        ];
        let (succeeded, output) = run(
            &fixture,
            &[&["dead-letters", "replay", "--dry-run"], &crm[..]].concat(),
        )
        .await;
        assert!(
            succeeded && output.contains("5 dead letters would be replayed"),
            "{output}"
        );
        let (succeeded, output) = run(&fixture, &replay).await;
        assert!(
            !succeeded && output.contains("--yes"),
            "nobody is there to be asked: {output}"
        );
        let (succeeded, output) =
            run(&fixture, &[&replay[..], &["--yes", "--rate", "2"]].concat()).await;
        assert!(
            succeeded && output.contains("replayed 5 dead letters"),
            "{output}"
        );

        // The target still fails: each is dead-lettered again under the same id, in its next
        // generation.
        for id in &ids {
            let received = fixture.received(id, 4).await;
            let numbers: Vec<_> = received.iter().map(|it| it.attempt).collect();
            assert_eq!(numbers, [Some(1), Some(2), Some(1), Some(2)], "{id}");
        }
        eventually("all dead again", SOON, async || {
            let all = dead(&fixture, &crm).await;
            let again = all.iter().filter(|it| it["generation"] == 1).count();
            if again == 5 {
                Ok(())
            } else {
                Err(format!("{all:?}"))
            }
        })
        .await;
        // Reconciling has removed the copies of the first generation.
        depth_of_dead(&fixture, 6).await;

        let (succeeded, output) = run(&fixture, &["callback", "show", &ids[0]]).await;
        assert!(succeeded, "{output}");
        for words in [
            "replayed (replay 1)",
            "attempt 2: answered_5xx 503",
            "ringback dead-letters replay",
        ] {
            assert!(output.contains(words), "{words}: {output}");
        }
        let show = ["dead-letters", "show", &other, "--payload"];
        let (succeeded, output) = run(&fixture, &show).await;
        assert!(
            succeeded && output.contains(r#"message: {"field1":1}"#),
            "{output}"
        );

        let discard = [
            "dead-letters",
            "discard",
            "--app",
            "crm",
            "--reason",
            "test",
            "--yes",
        ];
        let (succeeded, output) = run(&fixture, &discard).await;
        assert!(succeeded && output.contains("discarded 5"), "{output}");
        let left = dead(&fixture, &[]).await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["request_id"], *other);
        depth_of_dead(&fixture, 1).await;

        let letter = fixture.dead_letter(&other).await;
        assert_eq!(letter.reason(), "rejected", "put back as it was");
        let history = letter.taken.header("ringback-history").unwrap_or_default();
        assert!(history.starts_with("1: answered_4xx 400 in "), "{history}");

        let (succeeded, log) = run(&fixture, &["audit"]).await;
        assert!(succeeded, "{log}");
        for words in [
            "night-shift@",
            "replay",
            "discard",
            "app_id crm",
            "repaired",
        ] {
            assert!(log.contains(words), "{words}: {log}");
        }
        // The replay took three steps.
        let entries = log.lines().filter(|line| line.contains("repaired"));
        assert_eq!(entries.count(), 1, "{log}");
    });
}

#[test]
fn one_dead_letter_is_replayed_by_its_id_and_delivered() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        // Fails twice, then succeeds: dead-lettered in one generation, delivered in the next.
        let id = send(&fixture, "crm", "/flaky/2").await;
        let found = eventually("its dead letter", SOON, async || {
            dead(&fixture, &[]).await.pop()
        })
        .await;
        assert_eq!(found["request_id"], *id);
        let (succeeded, output) = run(
            &fixture,
            &["dead-letters", "replay", &id, "--reason", "x", "--yes"],
        )
        .await;
        assert!(
            succeeded && output.contains("replayed 1 dead letter"),
            "{output}"
        );
        eventually("its delivery in the journal", SOON, async || {
            let (_, output) = run(&fixture, &["callback", "show", &id]).await;
            if output.contains("status  delivered") {
                Ok(())
            } else {
                Err(output)
            }
        })
        .await;
        let (succeeded, output) = run(
            &fixture,
            &["dead-letters", "replay", &id, "--reason", "x", "--yes"],
        )
        .await;
        assert!(
            succeeded && output.contains("no dead letter matches"),
            "{output}"
        );
        depth_of_dead(&fixture, 0).await;
    });
}
