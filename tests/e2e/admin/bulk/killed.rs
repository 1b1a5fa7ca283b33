//! The process that was asked is killed in the middle of a command.

use tests::{BrokerKind, GatewayOptions, eventually};

use super::{BulkRun, in_time, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_whose_process_is_killed_loses_nothing_and_is_finished_by_the_same_command() {
    let options = GatewayOptions {
        dispatchers: 2,
        ..options()
    };
    let mut run = BulkRun::start("/flaky/1", options).await;
    let failing = run.failing();
    let words = [
        "callback",
        "retry-now",
        "--all",
        "--reason",
        "back",
        "--yes",
    ];
    let rate = (failing / 10).max(1).to_string();
    let mut command = run.command(&[&words[..], &["--rate", &rate]].concat());
    eventually("the middle of the command", in_time(), async || {
        let left = run.retryable().await;
        (left < failing).then_some(()).ok_or(left.to_string())
    })
    .await;
    run.scenario.gateway.dispatching_instances()[0]
        .process
        .kill9();
    let ended = command.wait_exit(in_time()).await;
    let output = command.log();
    assert!(!ended.success(), "{output}");
    assert!(
        output.contains("run the same command again for the rest"),
        "{output}"
    );
    match BrokerKind::chosen() {
        BrokerKind::RabbitMq => drop(run.scenario.gateway.dispatchers.remove(0)),
        BrokerKind::Embedded => run.scenario.gateway.restart_ingress().await,
    }
    run.done(&[&words[..], &["--rate", "1000"]].concat()).await;
    // What was taken and not published is published after a minute, by whoever is left.
    eventually("all delivered", in_time() * 2, async || {
        let received = run.scenario.callee.requests.received();
        let mut ids: Vec<_> = received
            .iter()
            .filter(|it| it.status == Some(200))
            .filter_map(|it| it.id.as_deref())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        (ids.len() == run.count())
            .then_some(())
            .ok_or(ids.len().to_string())
    })
    .await;
    let audit = run.audit().await;
    assert_eq!(audit.delivered, run.count(), "{audit}");
    // An attempt in flight at the kill is made again, under the same id and number.
    assert!(audit.max_per_attempt <= 2, "{audit}");
}
