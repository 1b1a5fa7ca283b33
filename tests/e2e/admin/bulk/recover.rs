//! A broker that lost its messages gets back what waits.

use std::fs;
use std::path::Path;

use serde_json::json;
use tests::{BrokerKind, eventually};

use super::{BulkRun, in_time, options};

/// Takes all messages away, as a lost volume does.
async fn lose_everything(run: &mut BulkRun) {
    match BrokerKind::chosen() {
        BrokerKind::RabbitMq => drop(run.scenario.take_all().await),
        BrokerKind::Embedded => {
            run.scenario.gateway.ingress.process.kill9();
            let directory = &run.scenario.variables()["RINGBACK__BROKER__DATA_DIR"];
            for file in fs::read_dir(Path::new(directory)).unwrap() {
                let file = file.unwrap();
                if file.file_name().to_string_lossy().starts_with("queue.db") {
                    fs::remove_file(file.path()).unwrap();
                }
            }
            run.scenario.gateway.restart_ingress().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_recovered_with_its_due_time_though_its_command_is_killed() {
    let mut run = BulkRun::start("/flaky/1", options()).await;
    let words = ["recover", "--reason", "the volume is gone"];
    eventually("the depth of the queues", in_time(), async || {
        let dry_run = json!({"filter": {}, "dry_run": true});
        let counted = run
            .scenario
            .admin("/admin/v1/recover", Some(&dry_run))
            .await;
        let queued = counted["queued"].as_u64();
        (queued >= Some(run.failing()))
            .then_some(())
            .ok_or(counted.to_string())
    })
    .await;
    let (succeeded, output) = run.run(&[&words[..], &["--yes"]].concat()).await;
    let refused = output.contains("recover is for a broker that lost its data");
    assert!(!succeeded && refused, "{output}");
    lose_everything(&mut run).await;
    let planned = eventually("empty queues", in_time(), async || {
        let planned = run.done(&words).await;
        let empty = planned.contains("the queues hold 0 messages");
        empty.then_some(planned.clone()).ok_or(planned)
    });
    let planned = planned.await;
    let sentence = format!("{} callbacks would be recovered", run.failing());
    assert!(planned.contains(&sentence), "{planned}");
    assert!(
        planned.contains("nothing was done: --yes does it"),
        "{planned}"
    );

    let yes = [&words[..], &["--yes"]].concat();
    let rate = (run.failing() / 10).max(1).to_string();
    let mut killed = run.command(&[&yes[..], &["--rate", &rate]].concat());
    eventually("the middle of the command", in_time(), async || {
        (run.audited("recover").await.0 > 0).then_some(())
    })
    .await;
    killed.kill9();
    assert!(run.audited("recover").await.0 < run.failing());
    let done = run.done(&[&yes[..], &["--rate", "1000"]].concat()).await;
    assert!(
        done.contains("continues the recovery that began at"),
        "{done}"
    );
    assert_eq!(run.audited("recover").await.0, run.failing());
    // They wait as before, and are delivered once they are retried.
    assert_eq!(run.retryable().await, run.failing());
    let retry = [
        "callback",
        "retry-now",
        "--all",
        "--reason",
        "back",
        "--yes",
        "--rate",
        "1000",
    ];
    run.done(&retry).await;
    run.all_delivered().await;
    let audit = run.audit().await;
    assert_eq!(
        (audit.delivered, audit.max_per_attempt),
        (run.count(), 1),
        "{audit}"
    );
    let path = "/admin/v1/recover";
    // The records of the last deliveries may be on their way.
    eventually("nothing left to recover", in_time(), async || {
        let left = run.matched(path, json!({"filter": {}})).await;
        (left == 0).then_some(()).ok_or(left.to_string())
    })
    .await;
}
