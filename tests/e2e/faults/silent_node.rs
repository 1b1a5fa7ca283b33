//! One node of a cluster of three is stopped under load: the other two serve.

use std::time::{Duration, Instant};

use tests::callers::CallerAnswer;
use tests::{GatewayOptions, GatewayRole, RabbitCluster, Scenario};

use super::{NOTICED, PUBLISH_DEADLINE, SLACK, options};

const CALLERS: usize = 16;
/// Longer than the gateway and RabbitMQ need to go around the node.
const STOPPED: Duration = Duration::from_secs(32);
/// What is aimed at is 10 s on an idle machine: RabbitMQ elects new leaders after 7 to 9 s.
const GAP: Duration = Duration::from_secs(25);

/// The longest time without an accepted callback between two moments.
fn longest_gap(answers: &[CallerAnswer], from: Instant, to: Instant) -> Duration {
    let accepted = answers.iter().filter(|answer| answer.accepted());
    let mut moments: Vec<Instant> = accepted
        .map(|answer| answer.began + answer.took)
        .filter(|moment| (from..to).contains(moment))
        .chain([from, to])
        .collect();
    moments.sort_unstable();
    let gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

/// The longest time without an accept while the leader of a queue is stopped, and the whole story.
async fn gap_while_stopped(of: &str) -> (Duration, String) {
    let cluster = RabbitCluster::start().await;
    let options = GatewayOptions {
        dispatchers: 2,
        ..options()
    };
    let options = options.with("RINGBACK__BROKER__URL", &cluster.uris());
    let mut scenario = Scenario::start(cluster.node(0), options).await;
    let callers = scenario.callers(&["/ok", "/flaky/1"], CALLERS, u64::MAX);
    callers.accepted_more(300).await;
    let stopped = cluster.leader_of(&scenario.name(of)).await;
    cluster.stop_silently(stopped);
    let began = Instant::now();
    tokio::time::sleep(STOPPED).await;
    let ended = Instant::now();
    cluster.go_on(stopped);
    callers.accepted_more(100).await;
    for role in [
        GatewayRole::Ingress,
        GatewayRole::Dispatcher(0),
        GatewayRole::Dispatcher(1),
    ] {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    let answers = callers.stop().await;
    let gap = longest_gap(&answers, began, ended);
    let slowest = answers.iter().map(|answer| answer.took).max();
    assert!(slowest <= Some(PUBLISH_DEADLINE + SLACK), "{slowest:?}");
    let audit = scenario.settle(&answers).await;
    let story = format!("node {stopped} (leads {of}) stopped: {gap:?} without an accept; {audit}");
    (gap, story)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_of_three_does_not_stop_the_intake_for_long() {
    let (gap, story) = gap_while_stopped("first").await;
    println!("{story}");
    assert!(gap < GAP, "{gap:?} without an accept");
}
