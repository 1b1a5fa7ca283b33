//! A RabbitMQ node's data directory, copied while it is stopped, and its definitions.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::callers::accepted_ids;
use tests::{GatewayOptions, RabbitMq, Scenario, eventually};

use super::SOON;

const CALLBACKS: u64 = 40;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_survive_in_a_copy_of_the_data_directory_of_a_stopped_node() {
    let rabbit = RabbitMq::start().await;
    // Nobody takes what is accepted.
    let options = GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default()
    };
    let mut scenario = Scenario::start(&rabbit, options).await;
    let answers = scenario.callers(&["/ok"], 4, CALLBACKS).done().await;
    assert_eq!(accepted_ids(&answers).count() as u64, CALLBACKS);

    rabbit.stop().await;
    let data = rabbit.directory().join("data");
    let backup = rabbit.directory().join("backup");
    copy(&data, &backup);
    fs::remove_dir_all(&data).unwrap();
    rabbit.restart().await;
    eventually("a node without messages", SOON, async || {
        // The gateway declares its queues again.
        let left = scenario.depths().await?.values().sum::<u32>();
        (left == 0).then_some(()).ok_or(left.to_string())
    })
    .await;
    rabbit.stop().await;
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    rabbit.restart().await;
    scenario.gateway.add_dispatcher().await;
    scenario.all_delivered(&answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_definitions_make_the_topology_and_the_users_on_an_empty_node() {
    let rabbit = RabbitMq::start().await;
    let mut scenario = Scenario::start(&rabbit, GatewayOptions::default()).await;
    rabbit.ctl(&["add_user", "ringback", "secret"]).await;
    let rights = ["set_permissions", "ringback", "^ringback", ".*", ".*"];
    rabbit.ctl(&rights).await;
    let file = rabbit.directory().join("definitions.json");
    let file = file.to_str().unwrap();
    // Queues of a connection are no definitions.
    let durable = async |node: &RabbitMq| {
        let columns = ["list_queues", "name", "durable", "arguments"];
        let listed = node.ctl(&columns).await;
        let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
        lines.retain(|line| line.contains("\ttrue\t") && !line.contains(".reply."));
        lines.sort();
        lines
    };
    let expected = durable(&rabbit).await;
    assert!(expected.len() > 20, "{expected:?}");
    // Not dropped: that deletes its queues.
    scenario.ingress.process.kill9();
    scenario.dispatchers[0].process.kill9();
    // As the guide says: RabbitMQ 4 exports the bindings of the roles' reply queues.
    eventually("no reply queue", SOON, async || {
        let queues = rabbit.ctl(&["list_queues", "name"]).await;
        (!queues.contains(".reply.")).then_some(()).ok_or(queues)
    })
    .await;
    rabbit.ctl(&["export_definitions", file]).await;

    let empty = RabbitMq::start().await;
    empty.ctl(&["import_definitions", file]).await;
    assert_eq!(durable(&empty).await, expected);
    let users = empty.ctl(&["list_permissions"]).await;
    assert!(users.contains("ringback\t^ringback"), "{users}");
}
