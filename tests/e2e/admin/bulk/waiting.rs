//! Callbacks that wait: retried now, cancelled, expedited.

use serde_json::json;

use super::{BulkRun, options};

const RETRY_NOW: (&str, &str) = ("callback", "retry-now");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_retried_now_once_though_its_command_is_killed() {
    let run = BulkRun::start("/flaky/1", options()).await;
    let failing = run.failing();
    let dry_run = [RETRY_NOW.0, RETRY_NOW.1, "--all", "--dry-run"];
    let planned = run.done(&dry_run).await;
    let sentence = format!("{failing} callbacks would be retried");
    assert!(planned.contains(&sentence), "{planned}");
    assert!(
        planned.contains("at 100 per second they are published within"),
        "{planned}"
    );

    let words = [
        RETRY_NOW.0,
        RETRY_NOW.1,
        "--all",
        "--reason",
        "back",
        "--yes",
    ];
    let path = "/admin/v1/callbacks/retry-now";
    run.killed_in_the_middle(&words, (path, json!({"filter": {}})))
        .await;
    let left = run.retryable().await;
    let done = run.done(&[&words[..], &["--rate", "1000"]].concat()).await;
    assert!(done.contains(&format!("retried {left} callback")), "{done}");
    run.all_delivered().await;
    assert_eq!(run.retryable().await, 0);
    let audit = run.audit().await;
    assert_eq!(audit.delivered, run.count(), "{audit}");
    assert_eq!((audit.repeats, audit.max_per_attempt), (0, 1), "{audit}");
    assert_eq!(run.audited("retry_now").await, (failing, 2));
    let nothing = run.done(&words).await;
    assert!(nothing.contains("no callback matches"), "{nothing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_cancelled_though_its_command_is_killed() {
    let run = BulkRun::start("/status/503", options()).await;
    let failing = run.failing();
    let words = [
        "callback",
        "cancel",
        "--status",
        "retrying",
        "--http-status",
        "503",
        "--reason",
        "wrong",
        "--yes",
    ];
    let path = "/admin/v1/callbacks/cancel";
    let filter = json!({"filter": {"status": "retrying"}});
    run.killed_in_the_middle(&words, (path, filter.clone()))
        .await;
    let left = run.matched(path, filter.clone()).await;
    let done = run.done(&[&words[..], &["--rate", "1000"]].concat()).await;
    assert!(
        done.contains(&format!("cancelled {left} callback")),
        "{done}"
    );
    assert_eq!(run.matched(path, filter).await, 0);
    assert_eq!(run.audited("cancel").await, (failing, 2));
    let cancelled = run
        .scenario
        .admin("/admin/v1/callbacks?status=cancelled&limit=1000", None)
        .await;
    let items = cancelled["items"].as_array().unwrap();
    assert_eq!(items.len() as u64, failing.min(1_000));
    // Nobody was called a second time.
    let received = run.scenario.callee.requests.count();
    assert_eq!(received, super::callbacks());
    let unknown = run
        .run(&["callback", "cancel", "--status", "gone", "--dry-run"])
        .await;
    assert!(
        !unknown.0 && unknown.1.contains("known: queued"),
        "{}",
        unknown.1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_is_back_gets_all_that_waits_at_once() {
    let mut run = BulkRun::empty(options()).await;
    // The first call is answered 429 with a Retry-After, which holds all others.
    run.post(&["/retry-after/800"], 1).await;
    run.waiting(1).await;
    run.post(&["/ok"], super::callbacks() - 1).await;
    run.waiting(super::callbacks()).await;
    assert_eq!(run.scenario.callee.requests.count(), 1);

    // A retry alone would be deferred again.
    let target = run.scenario.callee.url("/any");
    let words = ["expedite", &target, "--reason", "back", "--yes"];
    let done = run.done(&[&words[..], &["--rate", "1000"]].concat()).await;
    let sentence = format!("retried {} callbacks", super::callbacks());
    assert!(done.contains(&sentence), "{done}");
    assert!(done.contains("no Retry-After holds it"), "{done}");
    run.all_delivered().await;
    let audit = run.audit().await;
    assert_eq!((audit.repeats, audit.max_per_attempt), (0, 1), "{audit}");
    assert_eq!(run.audited("expedite").await, (super::callbacks(), 1));
}
