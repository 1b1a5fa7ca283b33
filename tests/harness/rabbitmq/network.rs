//! A network of its own for each node of a cluster, which can be cut off.
//!
//! One more network namespace holds the bridge to which all are joined, and this machine. A process
//! in each keeps it; when the processes end, however the test ends, all of it is gone.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cleanup::{ChildGroup, TempDirectory};
use crate::eventually;

/// Namespaces are made within milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// Where a node listens.
#[derive(Clone, Debug)]
pub(super) struct NodeHost {
    /// Its address, or a name of it.
    pub(super) host: String,
    /// A process in its network namespace, unless it is that of the test.
    pub(super) keeper: Option<u32>,
}

impl NodeHost {
    /// The loopback interface of this machine.
    pub(super) fn loopback() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            keeper: None,
        }
    }

    /// A command that runs there.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self.keeper {
            None => Command::new(program),
            Some(keeper) => {
                let mut command = enter(keeper);
                command.arg(program);
                command
            }
        }
    }

    /// The part of a node's name behind the `@`.
    pub(super) fn host_in_name(&self) -> &str {
        match self.keeper {
            None => "localhost",
            Some(_) => &self.host,
        }
    }

    /// The address as Erlang writes it.
    pub(super) fn erlang_address(&self) -> String {
        format!("{{{}}}", self.host.replace('.', ","))
    }
}

/// A bridge with a network namespace for each node.
#[derive(Debug)]
pub(super) struct ClusterNetwork {
    temp: TempDirectory,
    /// The process that keeps the bridge; then those of the nodes.
    keepers: Vec<ChildGroup>,
    /// The first three numbers of all addresses.
    prefix: String,
}

impl ClusterNetwork {
    /// Makes a network for this many nodes; the reason where that is not permitted.
    pub(super) async fn start(nodes: usize) -> Result<Self, String> {
        run(&mut Command::new("unshare"), &["--net", "true"])?;
        let own = std::process::id();
        let temp = TempDirectory::new("network");
        let mut network = Self {
            keepers: Vec::new(),
            // Of this process alone, as far as that is possible.
            prefix: format!("10.{}.{}", 128 + own / 250 % 100, own % 250),
            temp,
        };
        let hub = network.keep().await?;
        let in_hub = |script: &str| run(&mut enter(hub), &["sh", "-ec", script]);
        in_hub("ip link add br0 type bridge; ip link set br0 up")?;
        let outside = format!("rb{own}");
        let create = format!(
            "ip link add {outside} type veth peer name outside netns {hub}; \
             ip addr add {}.254/24 dev {outside}; ip link set {outside} up",
            network.prefix
        );
        run(&mut Command::new("sh"), &["-ec", &create])?;
        in_hub("ip link set outside master br0 up")?;
        for node in 0..nodes {
            let keeper = network.keep().await?;
            in_hub(&format!(
                "ip link add node{node} type veth peer name eth0 netns {keeper}; \
                 ip link set node{node} master br0 up"
            ))?;
            let address = network.address(node);
            let up = format!(
                "ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up"
            );
            run(&mut enter(keeper), &["sh", "-ec", &up])?;
        }
        Ok(network)
    }

    /// Where the node at this position runs.
    pub(super) fn place(&self, node: usize) -> NodeHost {
        NodeHost {
            host: self.address(node),
            keeper: Some(self.keepers[node + 1].leader.id()),
        }
    }

    /// Cuts a node off: its link stays up, and nothing passes.
    pub(super) fn cut(&self, node: usize) {
        self.link(node, "nomaster");
    }

    /// Joins it again.
    pub(super) fn join(&self, node: usize) {
        self.link(node, "master br0");
    }

    fn link(&self, node: usize, change: &str) {
        let script = format!("ip link set node{node} {change}");
        let hub = self.keepers[0].leader.id();
        run(&mut enter(hub), &["sh", "-ec", &script]).expect("a link of the bridge");
    }

    fn address(&self, node: usize) -> String {
        format!("{}.{}", self.prefix, node + 1)
    }

    /// Starts a process in a new network namespace.
    async fn keep(&mut self) -> Result<u32, String> {
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "sleep", "infinity"]);
        let keeper = self.temp.start("keeper", &keeper);
        let id = keeper.leader.id();
        self.keepers.push(keeper);
        let namespace = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net")).ok();
        let own = namespace("self");
        eventually("a network namespace", SOON, async || {
            let of_keeper = namespace(&id.to_string());
            (of_keeper.is_some() && of_keeper != own).then_some(())
        })
        .await;
        Ok(id)
    }
}

impl Drop for ClusterNetwork {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            self.temp.kill(keeper);
        }
    }
}

fn enter(keeper: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &keeper.to_string(), "--net", "--"]);
    command
}

fn run(command: &mut Command, arguments: &[&str]) -> Result<(), String> {
    let command = command.args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
