//! Callbacks that have ended: replayed while their messages are kept, and erased.

use serde_json::{Value, json};
use tests::eventually;

use super::{BulkRun, in_time, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_is_replayed_while_its_message_is_kept_though_its_command_is_killed() {
    let options = options().with("RINGBACK__JOURNAL__KEEP_DELIVERED", "1h");
    let run = BulkRun::send(&["/ok"], options).await;
    let path = "/admin/v1/callbacks/replay";
    eventually("all delivered in the journal", in_time(), async || {
        let filter = json!({"filter": {"status": "delivered"}});
        let counted = run.matched(path, filter).await;
        (counted == super::callbacks())
            .then_some(())
            .ok_or(counted.to_string())
    })
    .await;
    let begun = now();
    let filter = json!({"filter": {"status": "delivered", "updated_before": begun}});
    let before = begun.to_string();
    let words = [
        "callback",
        "replay",
        "--status",
        "delivered",
        "--updated-before",
        &before,
        "--reason",
        "lost there",
        "--yes",
    ];
    run.killed_in_the_middle(&words, (path, filter.clone()))
        .await;
    run.done(&[&words[..], &["--rate", "1000"]].concat()).await;
    let twice = super::callbacks() * 2;
    eventually("each delivered a second time", in_time(), async || {
        let received = run.scenario.callee.requests.count();
        (received == twice)
            .then_some(())
            .ok_or(received.to_string())
    })
    .await;
    let audit = run.audit().await;
    // The first attempt of either generation.
    assert_eq!(
        (audit.delivered, audit.max_per_attempt),
        (run.count(), 2),
        "{audit}"
    );
    assert_eq!(audit.repeats, run.count(), "{audit}");
    assert_eq!(run.audited("replay").await, (super::callbacks(), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_what_is_not_kept_is_refused_in_words() {
    let run = BulkRun::send(&["/ok"], options()).await;
    run.all_delivered().await;
    let words = ["callback", "replay", "--status", "delivered", "--dry-run"];
    eventually("a refusal", in_time(), async || {
        let (succeeded, output) = run.run(&words).await;
        let refused = !succeeded && output.contains("journal.keep_delivered says for how long");
        refused.then_some(()).ok_or(output)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apps_personal_data_is_erased_and_its_rows_stay() {
    let run = BulkRun::start("/status/503", options()).await;
    let refused = run
        .run(&[
            "erase",
            "--app",
            "callers",
            "--reason",
            "asked",
            "--dry-run",
        ])
        .await;
    let sentence = format!(
        "{} not touched: not ended: cancel them first",
        run.failing()
    );
    assert!(refused.0 && refused.1.contains(&sentence), "{}", refused.1);
    let words = [
        "erase", "--app", "callers", "--cancel", "--reason", "asked", "--yes",
    ];
    let rate = (super::callbacks() / 30).to_string();
    let mut killed = run.command(&[&words[..], &["--rate", &rate]].concat());
    let erased = async || {
        let page = run
            .scenario
            .admin("/admin/v1/callbacks?limit=1000", None)
            .await;
        let items = page["items"].as_array().unwrap().clone();
        let without = |it: &&Value| it.get("callback_url").is_none();
        items.iter().filter(without).count()
    };
    eventually("some erased", in_time(), async || {
        (run.audited("erase").await.0 > 0).then_some(())
    })
    .await;
    killed.kill9();
    run.done(&[&words[..], &["--rate", "1000"]].concat()).await;
    assert_eq!(erased().await, run.count().min(1_000));
    assert_eq!(run.retryable().await, 0);
    let (count, commands) = run.audited("erase").await;
    assert_eq!((count, commands), (super::callbacks(), 2));
}

fn now() -> u64 {
    crate::fixtures::unix_ms()
}
