//! A private RabbitMQ node.
//!
//! - `cluster.rs`: three nodes
//! - `install.rs`: where RabbitMQ is installed, on this machine or in a root directory
//! - `janitor.rs`: the queues of gateways that have ended are deleted
//! - `network.rs`: a network for each node of a cluster, which can be cut off
//! - `node.rs`: ports, files and environment of a node
//! - `outages.rs`: one queue is away, and other faults made by the node's own means
//! - `queues.rs`: its queues, seen from outside the gateway
//! - `tls.rs`: listeners with TLS

mod cluster;
mod install;
mod janitor;
mod network;
mod node;
mod outages;
mod queues;
mod tls;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::broker_under_test::BrokerKind;
use crate::cleanup::{self, ChildGroup, TempDirectory};
use crate::eventually;
use crate::ports::free_port;

use install::Installation;
use network::NodeHost;
use node::Ports;
use tls::NodeTls;

pub use cluster::RabbitCluster;

/// A node starts in about 6 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// The cluster that all tests of this binary share, if they do.
static SHARED_CLUSTER: OnceCell<RabbitCluster> = OnceCell::const_new();

/// A private RabbitMQ node: its own name, ports, cookie, epmd and directory, on 127.0.0.1 or in a
/// network of its own.
/// User `guest`, password `guest`, virtual host `/`. Removed when dropped.
#[derive(Debug)]
pub struct RabbitMq {
    installation: Installation,
    node: String,
    place: NodeHost,
    ports: Ports,
    server: Mutex<Option<ChildGroup>>,
    /// None where another node of the cluster has started it.
    epmd: Mutex<Option<ChildGroup>>,
    temp: TempDirectory,
}

impl RabbitMq {
    /// Starts a node without plugins and waits until it accepts connections.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start, or in a run on the embedded store.
    pub async fn start() -> Self {
        Self::start_on(Ports::free(), None).await
    }

    /// Starts a node with the management API (see [`RabbitMq::management_url`]).
    ///
    /// # Panics
    /// As [`RabbitMq::start`].
    pub async fn start_with_management() -> Self {
        let management = Some(free_port());
        let ports = Ports {
            management,
            ..Ports::free()
        };
        Self::start_on(ports, None).await
    }

    /// The one node that all tests of this binary share, each under a prefix of its own. Where
    /// `RINGBACK_E2E_NODES=3`, it is the first of a cluster.
    ///
    /// # Panics
    /// As [`RabbitMq::start`], or when the variable holds anything but 1 or 3.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        match std::env::var(cluster::NODES_VARIABLE).as_deref() {
            Ok("3") => SHARED_CLUSTER
                .get_or_init(RabbitCluster::start)
                .await
                .node(0),
            Err(std::env::VarError::NotPresent) | Ok("1") => SHARED.get_or_init(Self::start).await,
            other => panic!("{} must be 1 or 3, not {other:?}", cluster::NODES_VARIABLE),
        }
    }

    /// The addresses for `broker.url`: those of its whole cluster, where all tests share one.
    pub fn uris(&self) -> String {
        let shared = SHARED_CLUSTER.get();
        let cluster = shared.filter(|cluster| std::ptr::eq(cluster.node(0), self));
        cluster.map_or_else(|| self.uri(), RabbitCluster::uris)
    }

    async fn start_on(ports: Ports, tls: Option<NodeTls<'_>>) -> Self {
        BrokerKind::must_be_rabbitmq();
        let temp = TempDirectory::new("rabbit");
        let tls_settings = tls.map(|tls| tls.settings(temp.path(), &ports));
        let (place, more) = (NodeHost::loopback(), tls_settings.unwrap_or_default());
        node::write_files(temp.path(), &place, &ports, &more, None);
        let installation = Installation::find();
        let epmd = Some(temp.start("epmd", &node::epmd(&installation, &place, &ports)));
        Self::start_in(temp, installation, place, ports, epmd).await
    }

    /// Starts a node of a cluster: the first one, or one that joins it.
    async fn start_in_cluster(place: NodeHost, ports: Ports, join: Option<&Self>) -> Self {
        BrokerKind::must_be_rabbitmq();
        let temp = TempDirectory::new("rabbit");
        let settings = cluster::settings(&place, &ports, join);
        let kernel = cluster::kernel();
        node::write_files(temp.path(), &place, &ports, &settings, Some(&kernel));
        if let Some(first) = join {
            node::copy_cookie(first.temp.path(), temp.path());
        }
        // On one machine all nodes share the one that the first has started.
        let has_epmd = join.is_none() || place.keeper.is_some();
        let installation = Installation::find();
        let command = node::epmd(&installation, &place, &ports);
        let epmd = has_epmd.then(|| temp.start("epmd", &command));
        Self::start_in(temp, installation, place, ports, epmd).await
    }

    async fn start_in(
        temp: TempDirectory,
        installation: Installation,
        place: NodeHost,
        ports: Ports,
        epmd: Option<ChildGroup>,
    ) -> Self {
        let node = Self {
            installation,
            node: node::name(&place, &ports),
            place,
            ports,
            server: Mutex::new(None),
            epmd: Mutex::new(epmd),
            temp,
        };
        eventually("epmd to listen", START_TIMEOUT, async || {
            TcpStream::connect((&*node.place.host, node.ports.epmd))
                .await
                .ok()
        })
        .await;
        node.restart().await;
        node
    }

    /// The AMQP address.
    pub fn uri(&self) -> String {
        let (host, port) = (&self.place.host, self.ports.amqp);
        format!("amqp://guest:guest@{host}:{port}/%2f")
    }

    /// The AMQP port.
    pub const fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The address of the management API (user `guest`, password `guest`).
    ///
    /// # Panics
    /// When the node was started without it.
    pub fn management_url(&self) -> String {
        let port = self.ports.management.expect("started with management");
        format!("http://127.0.0.1:{port}")
    }

    /// The node's directory, where its logs and data are.
    pub fn directory(&self) -> &Path {
        self.temp.path()
    }

    /// The process id of the reaper that cleans up after the node.
    pub fn reaper_pid(&self) -> u32 {
        self.temp.reaper_pid()
    }

    /// The process id of the Erlang VM.
    ///
    /// # Panics
    /// When the node was never up.
    pub fn pid(&self) -> u32 {
        let file = self.temp.path().join("pid");
        let text = fs::read_to_string(file).expect("the node's pid file");
        text.trim().parse().expect("a process id")
    }

    /// A connection to the node.
    ///
    /// # Errors
    /// As text, when the node does not accept it.
    pub async fn connect(&self) -> Result<Connection, String> {
        Connection::connect(&self.uri(), ConnectionProperties::default())
            .await
            .map_err(|error| error.to_string())
    }

    /// Makes the node persist its list of quorum queues.
    ///
    /// Measured on 3.10.8: the table of quorum queues (`names.dets`) is written about a second
    /// after a declaration. A queue whose entry was lost in a crash stays without a leader for
    /// good: publishes and gets hang, and its depth reads 0. Call this between declaring and
    /// [`RabbitMq::kill`], since tests are not about that.
    pub async fn flush_declarations(&self) {
        self.ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."])
            .await;
    }

    /// Kills the node with SIGKILL, like a power failure, and waits until it is gone. See
    /// [`RabbitMq::flush_declarations`].
    pub async fn kill(&self) {
        let Some(mut server) = self.server().take() else {
            return;
        };
        // A node that hung during its start may not have written one.
        let file = fs::read_to_string(self.temp.path().join("pid"));
        let beam = file.ok().and_then(|text| text.trim().parse().ok());
        self.temp.kill(&mut server);
        // The Erlang VM is a grandchild: it cannot be waited for, only polled.
        eventually("the node to die", START_TIMEOUT, async || {
            beam.is_none_or(|beam| !is_running(beam)).then_some(())
        })
        .await;
    }

    /// Stops the node as an operator does, and waits until it is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn stop(&self) {
        let pid_file = self.temp.path().join("pid").display().to_string();
        self.ctl(&["stop", &pid_file]).await;
        // It has ended; this waits for its process.
        self.kill().await;
    }

    /// Starts the node with the same data and ports, after killing it if it runs, and waits until
    /// it accepts connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        // A node that was starved during its start may hang for good. Starting it again is
        // harmless.
        for _ in 0..2 {
            self.start_server().await;
            if timeout(START_TIMEOUT / 2, self.accepts_connections())
                .await
                .is_ok()
            {
                return;
            }
        }
        self.start_server().await;
        self.accepts_connections().await;
    }

    async fn start_server(&self) {
        self.kill().await;
        let mut command = self.command("rabbitmq-server");
        command.env("RABBITMQ_PID_FILE", self.temp.path().join("pid"));
        *self.server() = Some(self.temp.start("rabbit", &command));
    }

    async fn accepts_connections(&self) {
        eventually(
            "RabbitMQ to accept connections",
            START_TIMEOUT,
            async || {
                self.still_runs();
                for port in self.ports.beside_amqp() {
                    let listens = TcpStream::connect(("127.0.0.1", port)).await;
                    listens.map_err(|error| format!("port {port}: {error}"))?;
                }
                self.connect().await
            },
        )
        .await;
    }

    /// Runs `rabbitmqctl` against the node and returns its output.
    ///
    /// # Panics
    /// When it fails, with its output.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = self.command("rabbitmqctl");
        command
            .args(["--quiet", "--node", &self.node])
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap();
        let output = output.expect("rabbitmqctl runs");
        let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}:\n{output_text}{errors}"
        );
        output_text
    }

    /// Raises a memory alarm: the node stops reading from publishers.
    pub async fn raise_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"])
            .await;
        self.wait_for_alarm(true).await;
    }

    /// Clears the alarm of [`RabbitMq::raise_memory_alarm`].
    pub async fn clear_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        self.wait_for_alarm(false).await;
    }

    async fn wait_for_alarm(&self, raised: bool) {
        let what = format!(
            "the memory alarm to be {}",
            if raised { "raised" } else { "cleared" }
        );
        // On a busy machine `rabbitmqctl` alone takes half a minute.
        eventually(&what, START_TIMEOUT, async || {
            let alarms = self.ctl(&["eval", "rabbit_alarm:get_alarms()."]).await;
            if alarms.contains("memory") == raised {
                Ok(())
            } else {
                Err(alarms)
            }
        })
        .await;
    }

    fn still_runs(&self) {
        if let Some(server) = &mut *self.server()
            && let Some(ended) = self.temp.ended(server)
        {
            panic!(
                "rabbitmq-server ended ({ended}):\n{}",
                cleanup::tail(&server.log, 40)
            );
        }
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<ChildGroup>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if let Some(mut server) = self.server().take() {
            self.temp.kill(&mut server);
        }
        let epmd = self.epmd.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(epmd) = epmd {
            self.temp.kill(epmd);
        }
    }
}

/// Whether a process exists and is not a zombie.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
