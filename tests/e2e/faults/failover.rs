//! A cluster of three nodes: the first of the URL is down at the start, and a connected one dies.

use tests::{GatewayOptions, GatewayRole, RabbitCluster, Scenario};

use super::{NOTICED, options};

/// One: three nodes and the callers share the machine.
const CALLERS: usize = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_down_at_the_start_and_one_that_dies_later_lose_nothing() {
    let cluster = RabbitCluster::start().await;
    cluster.node(0).kill().await;
    let options = GatewayOptions {
        dispatchers: 2,
        ..options()
    };
    let options = options.with("RINGBACK__BROKER__URL", &cluster.uris());
    // The third node is the one that lives all the time.
    let mut scenario = Scenario::start(cluster.node(2), options).await;
    let roles = [
        GatewayRole::Ingress,
        GatewayRole::Dispatcher(0),
        GatewayRole::Dispatcher(1),
    ];
    for role in roles {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    let callers = scenario.callers(&["/ok", "/flaky/1"], CALLERS, u64::MAX);
    callers.accepted_more(300).await;
    cluster.node(2).flush_declarations().await;

    // Of three nodes two must be there, so that queues have a majority.
    cluster.node(0).restart().await;
    if cluster.node(2).ctl(&["version"]).await.starts_with("3.10.") {
        // Nobody hears from its members of queues that were declared while it was down, until it is
        // restarted once more: see the guide.
        cluster.node(0).kill().await;
        cluster.node(0).restart().await;
    }
    cluster.in_sync(2).await;
    callers.accepted_more(100).await;
    // Ingress publishes through two different nodes, which until now could only be these two.
    cluster.node(1).kill().await;
    callers.accepted_more(300).await;
    for role in roles {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    let delivered = scenario.callee.requests.count();
    callers.accepted_more(100).await;
    let answers = callers.stop().await;
    let audit = scenario.settle(&answers).await;
    println!("{audit}");
    assert!(scenario.callee.requests.count() > delivered);
}
