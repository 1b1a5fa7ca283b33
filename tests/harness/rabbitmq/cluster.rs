//! A cluster of three private RabbitMQ nodes on this machine.

use std::fs;
use std::time::Duration;

use super::network::{ClusterNetwork, NodeHost};
use super::node::{self, Ports};
use super::{RabbitMq, START_TIMEOUT};
use crate::ports::free_port;
use crate::{cleanup, eventually};

const SOON: Duration = Duration::from_secs(60);

/// Notices a silent node within 15 to 20 s, as the guide advises, and not within a minute.
const NET_TICKTIME: u32 = 15;

/// Three nodes with a common cookie and epmd. Removed when dropped.
#[derive(Debug)]
pub struct RabbitCluster {
    nodes: Vec<RabbitMq>,
    /// Unless all are on 127.0.0.1. Dropped after the nodes.
    network: Option<ClusterNetwork>,
}

const NODES: usize = 3;

/// How many nodes the tests share: 1 (the default) or 3.
pub(super) const NODES_VARIABLE: &str = "RINGBACK_E2E_NODES";

impl RabbitCluster {
    /// Starts the nodes and waits until they have joined.
    ///
    /// # Panics
    /// As [`RabbitMq::start`].
    pub async fn start() -> Self {
        Self::start_at(None).await
    }

    /// The same, each node in a network of its own that can be cut off.
    ///
    /// # Errors
    /// The reason why no networks can be made here: most often, the test does not run as root.
    ///
    /// # Panics
    /// As [`RabbitMq::start`].
    pub async fn start_in_networks() -> Result<Self, String> {
        let network = ClusterNetwork::start(NODES).await?;
        Ok(Self::start_at(Some(network)).await)
    }

    async fn start_at(network: Option<ClusterNetwork>) -> Self {
        let place = |node| {
            let network = network.as_ref();
            network.map_or_else(NodeHost::loopback, |network| network.place(node))
        };
        let first = RabbitMq::start_in_cluster(place(0), Ports::free(), None).await;
        let ports = || Ports {
            epmd: first.ports.epmd,
            amqp: free_port(),
            distribution: free_port(),
            ..Ports::free()
        };
        let second = RabbitMq::start_in_cluster(place(1), ports(), Some(&first)).await;
        let third = RabbitMq::start_in_cluster(place(2), ports(), Some(&first)).await;
        let cluster = Self {
            nodes: vec![first, second, third],
            network,
        };
        eventually("three running nodes", START_TIMEOUT, async || {
            let running = "length(rabbit_mnesia:cluster_nodes(running)).";
            let shown = cluster.nodes[0].ctl(&["eval", running]).await;
            (shown.trim() == "3").then_some(()).ok_or(shown)
        })
        .await;
        cluster
    }

    /// The node at this position.
    pub fn node(&self, position: usize) -> &RabbitMq {
        &self.nodes[position]
    }

    /// The addresses of all nodes, as in `broker.url`.
    pub fn uris(&self) -> String {
        let uris: Vec<String> = self.nodes.iter().map(RabbitMq::uri).collect();
        uris.join(",")
    }

    /// The position of the node that leads a quorum queue.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn leader_of(&self, queue: &str) -> usize {
        let lookup = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             element(2, amqqueue:get_pid(Q))."
        );
        let shown = self.nodes[0].ctl(&["eval", &lookup]).await;
        let is_leader = |node: &RabbitMq| shown.contains(&node.node);
        self.nodes.iter().position(is_leader).expect("a leader")
    }

    /// Waits until no queue is led from a minority and every member of a queue runs on every node, as
    /// the node at this position sees it.
    ///
    /// # Panics
    /// When that takes long.
    pub async fn in_sync(&self, position: usize) {
        let running = "length(rabbit_mnesia:cluster_nodes(running)).";
        let critical = "length(rabbit_quorum_queue:list_with_minimum_quorum()).";
        eventually("members that have caught up", SOON, async || {
            let node = &self.nodes[position];
            let running = node.ctl(&["eval", running]).await;
            let critical = node.ctl(&["eval", critical]).await;
            let in_sync = running.trim() == "3" && critical.trim() == "0";
            in_sync
                .then_some(())
                .ok_or(format!("{running} running, {critical} critical"))
        })
        .await;
    }

    /// Stops a node without a word (SIGSTOP): its connections stay open, and nothing answers.
    pub fn stop_silently(&self, position: usize) {
        cleanup::signal(self.nodes[position].pid(), "STOP");
    }

    /// Cuts a node off the network: its connections stay open, and nothing passes.
    ///
    /// # Panics
    /// When the nodes have no networks of their own.
    pub fn cut_off(&self, position: usize) {
        self.network.as_ref().expect("networks").cut(position);
    }

    /// Joins a node again that was cut off.
    ///
    /// # Panics
    /// When the nodes have no networks of their own.
    pub fn join_again(&self, position: usize) {
        self.network.as_ref().expect("networks").join(position);
    }

    /// Lets a stopped node go on.
    pub fn go_on(&self, position: usize) {
        cleanup::signal(self.nodes[position].pid(), "CONT");
    }
}

impl Drop for RabbitCluster {
    fn drop(&mut self) {
        // A stopped process is killed all the same, but its children would wait for it.
        for node in &self.nodes {
            let file = fs::read_to_string(node.temp.path().join("pid"));
            if let Some(pid) = file.ok().and_then(|text| text.trim().parse().ok()) {
                cleanup::signal(pid, "CONT");
            }
        }
    }
}

/// More lines of a node's settings; `join`: the node that it joins.
pub(super) fn settings(place: &NodeHost, ports: &Ports, join: Option<&RabbitMq>) -> String {
    let join = join.map(|join| {
        // RabbitMQ 4 joins nobody when the list does not name the node itself.
        format!(
            "cluster_formation.peer_discovery_backend = classic_config\n\
             cluster_formation.classic_config.nodes.1 = {}\n\
             cluster_formation.classic_config.nodes.2 = {}\n",
            join.node,
            node::name(place, ports)
        )
    });
    // As the guide advises.
    let settings = "cluster_partition_handling = pause_minority\n".to_owned();
    settings + &join.unwrap_or_default()
}

/// The kernel's part of `advanced.config`.
pub(super) fn kernel() -> String {
    format!("{{kernel, [{{net_ticktime, {NET_TICKTIME}}}]}}")
}
