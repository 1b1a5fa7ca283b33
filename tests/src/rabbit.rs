//! On which broker do tests run? On a private RabbitMQ node, started here and gone afterwards.

mod install;
mod node;
mod queues;
mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::eventually;
use crate::kind::Kind;
use crate::nest::{self, Chick, Nest};
use crate::ports::free_port;

use node::Ports;
use tls::Shown;

/// A node starts in about 6 s on an idle machine.
const START: Duration = Duration::from_secs(120);

/// A private RabbitMQ node: its own name, ports, cookie, epmd and directory, all on 127.0.0.1.
/// User `guest`, password `guest`, virtual host `/`. Gone when dropped.
#[derive(Debug)]
pub struct Rabbit {
    scripts: PathBuf,
    node: String,
    ports: Ports,
    server: Mutex<Option<Chick>>,
    epmd: Mutex<Chick>,
    nest: Nest,
}

impl Rabbit {
    /// Starts a node without plugins and waits until it takes connections.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start, or in a run on the embedded store.
    pub async fn start() -> Self {
        Self::start_on(Ports::free(), None).await
    }

    /// Starts a node with the management API (see [`Rabbit::management_url`]).
    ///
    /// # Panics
    /// As [`Rabbit::start`].
    pub async fn start_with_management() -> Self {
        let management = Some(free_port());
        let ports = Ports {
            management,
            ..Ports::free()
        };
        Self::start_on(ports, None).await
    }

    /// The one node that all tests of this binary share, each under a prefix of its own.
    ///
    /// # Panics
    /// As [`Rabbit::start`].
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Rabbit> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start_on(ports: Ports, tls: Option<Shown<'_>>) -> Self {
        Kind::must_be_rabbitmq();
        let scripts = install::scripts();
        let nest = Nest::new("rabbit");
        let more = tls.map(|tls| tls.settings(nest.directory(), &ports));
        node::furnish(nest.directory(), &ports, &more.unwrap_or_default());
        let epmd = nest.start("epmd", &node::epmd(&ports));
        let rabbit = Self {
            scripts,
            node: format!("ringback{}@localhost", ports.amqp),
            ports,
            server: Mutex::new(None),
            epmd: Mutex::new(epmd),
            nest,
        };
        eventually("epmd to listen", START, async || {
            TcpStream::connect(("127.0.0.1", rabbit.ports.epmd))
                .await
                .ok()
        })
        .await;
        rabbit.restart().await;
        rabbit
    }

    /// The AMQP address.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The AMQP port on 127.0.0.1.
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
        self.nest.directory()
    }

    /// The process id of the reaper that cleans up after the node.
    pub fn reaper_pid(&self) -> u32 {
        self.nest.reaper_pid()
    }

    /// The process id of the Erlang machine.
    ///
    /// # Panics
    /// When the node was never up.
    pub fn pid(&self) -> u32 {
        let file = self.nest.directory().join("pid");
        let text = fs::read_to_string(file).expect("the node's pid file");
        text.trim().parse().expect("a process id")
    }

    /// A connection to the node.
    ///
    /// # Errors
    /// In words, when the node does not take it.
    pub async fn connect(&self) -> Result<Connection, String> {
        Connection::connect(&self.uri(), ConnectionProperties::default())
            .await
            .map_err(|error| error.to_string())
    }

    /// Has the node write down which quorum queues it holds.
    ///
    /// Measured on 3.10.8: the table of quorum queues (`names.dets`) is written about a second
    /// after a declaration, and a queue whose entry was lost in a crash comes back without a
    /// leader, for good: publishes and gets on it hang, and its depth reads 0. Not what a test
    /// of our promises is about, so call this between declaring and [`Rabbit::kill`].
    pub async fn flush_declarations(&self) {
        self.ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."])
            .await;
    }

    /// Kills the node with SIGKILL, as a power cut would, and waits until it is gone. See
    /// [`Rabbit::flush_declarations`].
    pub async fn kill(&self) {
        let Some(mut server) = self.server().take() else {
            return;
        };
        // A node that hung while it began may have written none.
        let file = fs::read_to_string(self.nest.directory().join("pid"));
        let beam = file.ok().and_then(|text| text.trim().parse().ok());
        self.nest.kill(&mut server);
        // The Erlang machine is a grandchild: we cannot wait for it, only see it gone.
        eventually("the node to die", START, async || {
            beam.is_none_or(|beam| !is_running(beam)).then_some(())
        })
        .await;
    }

    /// Starts the node on the same data and ports, after killing it if it runs, and waits until
    /// it takes connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        // A node that was starved while it began may hang for good; another start is not what is
        // tested here.
        for _ in 0..2 {
            self.begin().await;
            if timeout(START / 2, self.takes_connections()).await.is_ok() {
                return;
            }
        }
        self.begin().await;
        self.takes_connections().await;
    }

    async fn begin(&self) {
        self.kill().await;
        let mut command = self.command("rabbitmq-server");
        command.env("RABBITMQ_PID_FILE", self.nest.directory().join("pid"));
        *self.server() = Some(self.nest.start("rabbit", &command));
    }

    async fn takes_connections(&self) {
        eventually("RabbitMQ to take connections", START, async || {
            self.still_runs();
            for port in self.ports.beside_amqp() {
                let listens = TcpStream::connect(("127.0.0.1", port)).await;
                listens.map_err(|error| format!("port {port}: {error}"))?;
            }
            self.connect().await
        })
        .await;
    }

    /// Runs `rabbitmqctl` against the node and returns what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = self.command("rabbitmqctl");
        command
            .args(["--quiet", "--node", &self.node])
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap();
        let output = output.expect("rabbitmqctl runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}:\n{said}{errors}"
        );
        said
    }

    /// Makes the node believe that it is out of memory: it stops reading from publishers.
    pub async fn raise_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"])
            .await;
        self.wait_for_alarm(true).await;
    }

    /// Ends what [`Rabbit::raise_memory_alarm`] began.
    pub async fn clear_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        self.wait_for_alarm(false).await;
    }

    async fn wait_for_alarm(&self, raised: bool) {
        let what = format!(
            "the memory alarm to be {}",
            if raised { "raised" } else { "cleared" }
        );
        eventually(&what, Duration::from_secs(30), async || {
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
            && let Some(ended) = self.nest.ended(server)
        {
            panic!(
                "rabbitmq-server ended ({ended}):\n{}",
                nest::tail(&server.log, 40)
            );
        }
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Chick>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        if let Some(mut server) = self.server().take() {
            self.nest.kill(&mut server);
        }
        let epmd = self.epmd.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.nest.kill(epmd);
    }
}

/// Whether a process is there and no zombie.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
