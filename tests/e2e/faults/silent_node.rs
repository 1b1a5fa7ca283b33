//! One node of a cluster of three is stopped or cut off under load: the other two serve.

use std::time::{Duration, Instant};

use tests::callers::CallerAnswer;
use tests::{GatewayOptions, GatewayRole, RabbitCluster, Scenario};

use super::{NOTICED, PUBLISH_DEADLINE, SLACK, options};

const CALLERS: usize = 16;
/// Longer than the gateway and RabbitMQ need to go around the node.
const STOPPED: Duration = Duration::from_secs(32);
/// Longer than RabbitMQ needs to notice the partition.
const CUT_OFF: Duration = Duration::from_secs(60);
/// RabbitMQ elects new leaders after 7 to 9 s; the rest is for a busy machine.
const GAP: Duration = Duration::from_secs(12);
/// What a consumer on the silent node held is redelivered when RabbitMQ notices that the node is gone.
const REQUEST_GAP: Duration = Duration::from_secs(30);

/// The longest time between two moments in which nothing happened.
fn longest_gap(moments: impl Iterator<Item = Instant>, from: Instant, to: Instant) -> Duration {
    let within = moments.filter(|moment| (from..to).contains(moment));
    let mut moments: Vec<Instant> = within.chain([from, to]).collect();
    moments.sort_unstable();
    let gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

/// What callers were told in each second: accepted, refused, unknown.
fn by_second(answers: &[CallerAnswer], from: Instant, to: Instant) -> Vec<[usize; 3]> {
    let seconds = usize::try_from((to - from).as_secs()).unwrap() + 1;
    let mut counts = vec![[0; 3]; seconds];
    for answer in answers {
        let ended = answer.began + answer.took;
        if (from..to).contains(&ended) {
            let second = usize::try_from((ended - from).as_secs()).unwrap();
            let kind = match (answer.accepted(), answer.refused()) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            counts[second][kind] += 1;
        }
    }
    counts
}

/// How a node falls silent.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// Its process is stopped.
    Stopped,
    /// Its network carries nothing.
    CutOff,
}

/// The longest times without an accept and without a request to the target, while the leader of a
/// queue is silent.
struct Gaps {
    accepts: Duration,
    requests: Duration,
    /// All that was seen.
    story: String,
}

/// `uris`: the nodes that the gateway knows.
async fn gaps_while_silent(
    cluster: RabbitCluster,
    uris: String,
    silence: Silence,
    of: &str,
    time: Duration,
) -> Gaps {
    let options = GatewayOptions {
        dispatchers: 2,
        ..options()
    };
    let options = options.with("RINGBACK__BROKER__URL", &uris);
    let mut scenario = Scenario::start(cluster.node(0), options).await;
    let callers = scenario.callers(&["/ok", "/flaky/1"], CALLERS, u64::MAX);
    callers.accepted_more(300).await;
    let silent = cluster.leader_of(&scenario.name(of)).await;
    match silence {
        Silence::Stopped => cluster.stop_silently(silent),
        Silence::CutOff => cluster.cut_off(silent),
    }
    let began = Instant::now();
    let mut deliveries = Vec::new();
    let mut delivered = scenario.callee.requests.count();
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let count = scenario.callee.requests.count();
        if count > delivered {
            delivered = count;
            deliveries.push(Instant::now());
        }
    }
    let ended = Instant::now();
    match silence {
        Silence::Stopped => cluster.go_on(silent),
        Silence::CutOff => cluster.join_again(silent),
    }
    callers.accepted_more(100).await;
    for role in [
        GatewayRole::Ingress,
        GatewayRole::Dispatcher(0),
        GatewayRole::Dispatcher(1),
    ] {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    let answers = callers.stop().await;
    let accepted = answers.iter().filter(|answer| answer.accepted());
    let accepts = longest_gap(accepted.map(|it| it.began + it.took), began, ended);
    let requests = longest_gap(deliveries.into_iter(), began, ended);
    let counts = by_second(&answers, began, ended);
    let slowest = answers.iter().map(|answer| answer.took).max();
    assert!(slowest <= Some(PUBLISH_DEADLINE + SLACK), "{slowest:?}");
    let audit = scenario.settle(&answers).await;
    let story = format!(
        "node {silent}, which leads {of}, is silent ({silence:?}): {accepts:?} without an accept, \
         {requests:?} without a request; {audit}; accepted, refused, unknown in each second: \
         {counts:?}"
    );
    Gaps {
        accepts,
        requests,
        story,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_of_three_does_not_stop_the_intake_for_long() {
    let cluster = RabbitCluster::start().await;
    // Queues are led by the node on which they were declared: ingress is connected to the leader, and
    // to the one other node that it knows.
    let uris = [cluster.node(0).uri(), cluster.node(1).uri()].join(",");
    let gaps = gaps_while_silent(cluster, uris, Silence::Stopped, "first", STOPPED).await;
    println!("{}", gaps.story);
    assert!(gaps.accepts < GAP, "{:?} without an accept", gaps.accepts);
    let requests = gaps.requests;
    assert!(requests < REQUEST_GAP, "{requests:?} without a request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_three_that_is_cut_off_does_not_stop_the_intake_for_long() {
    let cluster = match RabbitCluster::start_in_networks().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: no network namespaces can be made here: {reason}");
            return;
        }
    };
    let uris = cluster.uris();
    let gaps = gaps_while_silent(cluster, uris, Silence::CutOff, "first", CUT_OFF).await;
    println!("{}", gaps.story);
    assert!(gaps.accepts < GAP, "{:?} without an accept", gaps.accepts);
    let requests = gaps.requests;
    assert!(requests < REQUEST_GAP, "{requests:?} without a request");
}
