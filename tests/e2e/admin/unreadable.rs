//! Unreadable messages by command: list, show, requeue, discard.

use std::time::Duration;

use serde_json::Value;
use tests::{GatewayOptions, Process, SharedGateway, eventually, on_shared_runtime};

use crate::fixtures::message;

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

/// Runs `ringback` with these arguments against the gateway: whether it succeeded, and its output.
async fn run(fixture: &SharedGateway, words: &[&str]) -> (bool, String) {
    let admin = fixture.gateway.admin_url();
    let mut words = words.to_vec();
    words.extend(["--admin", &admin]);
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

/// The list, once it has so many messages.
async fn listed(fixture: &SharedGateway, count: usize) -> Vec<Value> {
    eventually(&format!("{count} unreadable messages"), SOON, async || {
        let (succeeded, output) = run(fixture, &["unreadable", "list", "--json"]).await;
        // On a busy machine the first look may come before the broker answers it.
        if !succeeded {
            return Err(output);
        }
        let lines = output.lines().map(serde_json::from_str);
        let found: Vec<Value> = lines.collect::<Result<_, _>>().unwrap();
        (found.len() == count).then_some(found).ok_or(output)
    })
    .await
}

fn id(message: &Value) -> &str {
    message["id"].as_str().unwrap()
}

#[test]
fn unreadable_messages_are_listed_shown_requeued_and_discarded_by_command() {
    on_shared_runtime(async {
        let mut fixture = SharedGateway::start(|_| GatewayOptions::default().with_journal()).await;
        let good = message(&fixture.callee.url("/ok"));
        let text = String::from_utf8(good.encode().to_vec()).unwrap();
        let future = text.replacen(r#"{"v":2,"#, r#"{"v":99,"from":"the future","#, 1);
        let broken = b"\xff\x1b[2J broken".to_vec();
        let bodies = [future.clone().into_bytes(), broken.clone()];
        fixture.gateway.insert_messages("first", &bodies).await;
        let fixture = fixture.in_test();
        let mut found = listed(&fixture, 2).await;
        // A look changes nothing: not the messages, not their order.
        assert_eq!(listed(&fixture, 2).await, found);
        // They were read at the same time: either may be first.
        found.sort_by_key(|message| {
            message["reason"]
                .as_str()
                .unwrap()
                .contains("not a message")
        });
        for (message, body, reason) in [
            (&found[0], &bodies[0], "version 99"),
            (&found[1], &bodies[1], "not a message"),
        ] {
            assert_eq!(message["size"], body.len(), "{message}");
            assert_eq!(message["from"], "first", "{message}");
            assert_eq!(message["readable_now"], false, "{message}");
            assert!(message["quarantined_at"].is_string(), "{message}");
            let why = message["reason"].as_str().unwrap();
            assert!(why.contains(reason), "{message}");
        }
        let (future_id, broken_id) = (id(&found[0]), id(&found[1]));
        let (succeeded, output) = run(&fixture, &["unreadable", "show", broken_id]).await;
        assert!(succeeded, "{output}");
        assert!(output.contains(r"\xff\u{1b}[2J broken"), "{output}");
        let (succeeded, output) = run(&fixture, &["unreadable", "show", "0123456789abcdef"]).await;
        assert!(
            !succeeded && output.contains("0123456789abcdef"),
            "{output}"
        );

        // No version reads it yet: it comes back, unchanged.
        let requeue = ["unreadable", "requeue", future_id, "--reason", "upgraded"];
        let (succeeded, output) = run(&fixture, &requeue).await;
        assert!(succeeded && output.contains("requeued 1"), "{output}");
        let mut again = listed(&fixture, 2).await;
        again.sort_by_key(|message| message["id"] == broken_id);
        assert_eq!((id(&again[0]), id(&again[1])), (future_id, broken_id));
        assert_eq!(again[0]["from"], "retry");

        let discard = ["unreadable", "discard", "--all", "--reason", "not ours"];
        let (succeeded, output) = run(&fixture, &discard).await;
        assert!(!succeeded && output.contains("--yes"), "{output}");
        let dry_run = ["unreadable", "discard", "--all", "--dry-run"];
        let (succeeded, output) = run(&fixture, &dry_run).await;
        assert!(
            succeeded && output.contains("2 unreadable messages would"),
            "{output}"
        );
        let (succeeded, output) = run(&fixture, &[&discard[..], &["--yes"]].concat()).await;
        assert!(succeeded && output.contains("discarded 2"), "{output}");
        listed(&fixture, 0).await;
        let (succeeded, output) = run(&fixture, &requeue).await;
        assert!(
            !succeeded && output.contains(future_id),
            "it is gone: {output}"
        );
        let log = fixture.gateway.admin("/admin/v1/audit", None).await;
        let entries = log["items"].as_array().unwrap().iter();
        let entries: Vec<_> = entries.map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(
            entries,
            ["discard_unreadable", "requeue_unreadable", "look"],
            "{log}"
        );
    });
}

#[test]
fn requeued_messages_that_can_be_read_now_are_delivered() {
    on_shared_runtime(async {
        let mut fixture = SharedGateway::start(|_| GatewayOptions::default().with_journal()).await;
        let [first, second] = [(); 2].map(|()| message(&fixture.callee.url("/ok")));
        let bodies = [&first, &second].map(|message| message.encode().to_vec());
        // As after an upgrade: what lies there can be read now.
        fixture.gateway.insert_messages("unreadable", &bodies).await;
        let fixture = fixture.in_test();
        let found = listed(&fixture, 2).await;
        assert!(
            found.iter().all(|it| it["readable_now"] == true),
            "{found:?}"
        );
        let requeue = [
            "unreadable",
            "requeue",
            "--all",
            "--reason",
            "upgraded",
            "--yes",
        ];
        let (succeeded, output) = run(&fixture, &requeue).await;
        assert!(succeeded && output.contains("requeued 2"), "{output}");
        for message in [&first, &second] {
            let id = message.request_id.to_string();
            let received = fixture.received(&id, 1).await;
            assert_eq!(received[0].attempt, Some(1));
        }
        listed(&fixture, 0).await;
    });
}
