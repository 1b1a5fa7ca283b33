//! The gateway under measurement, and the cost of its processes.

use std::time::{Duration, Instant};

use tests::process::cpu_time_of;
use tests::{BrokerUnderTest, Gateway, GatewayOptions, Postgres, RabbitMq, process};

use super::MIB;
use super::figures::Figures;

/// The broker and journal of a gateway under measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// RabbitMQ, no journal.
    RabbitMq,
    /// RabbitMQ and a journal in PostgreSQL.
    RabbitMqPostgres,
    /// The embedded store with its journal.
    Embedded,
}

impl Setup {
    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "RabbitMQ",
            Self::RabbitMqPostgres => "RabbitMQ + PostgreSQL",
            Self::Embedded => "embedded",
        }
    }
}

/// A new node, if one is needed, so that measurements do not affect each other.
pub(crate) async fn node(setup: Setup) -> Option<RabbitMq> {
    process::binary(); // Build it now, not while something is measured.
    match setup {
        Setup::Embedded => None,
        Setup::RabbitMq | Setup::RabbitMqPostgres => Some(RabbitMq::start().await),
    }
}

/// A gateway with these options.
///
/// # Panics
/// When it does not start.
pub(crate) async fn gateway(
    setup: Setup,
    node: Option<&RabbitMq>,
    mut options: GatewayOptions,
) -> Gateway<'_> {
    options.journal = setup == Setup::RabbitMqPostgres;
    // The default, not the long timeout of tests.
    let options = options.with("RINGBACK__BROKER__PUBLISH_TIMEOUT", "5s");
    let broker = node.map_or(BrokerUnderTest::Embedded, BrokerUnderTest::RabbitMq);
    Gateway::start(broker, options).await
}

/// The CPU time of all processes from its start on.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Instant,
    processes: Vec<(&'static str, ProcessSet, Duration)>,
}

#[derive(Debug)]
enum ProcessSet {
    Pids(Vec<u32>),
    /// Its processes come and go with connections.
    Server(&'static Postgres),
}

impl ProcessSet {
    fn time(&self) -> Duration {
        match self {
            Self::Pids(pids) => time_of(pids),
            Self::Server(server) => time_of(&server.pids()),
        }
    }
}

impl Meter {
    /// Starts to count.
    pub(crate) async fn start(
        setup: Setup,
        node: Option<&RabbitMq>,
        gateway: &Gateway<'_>,
    ) -> Self {
        let pid = gateway.ingress.process.pid();
        let mut processes = Vec::new();
        if setup == Setup::Embedded {
            processes.push(("serve", ProcessSet::Pids(vec![pid])));
        } else {
            processes.push(("ingress", ProcessSet::Pids(vec![pid])));
            let dispatchers = gateway
                .dispatchers
                .iter()
                .map(|instance| instance.process.pid());
            processes.push(("dispatcher", ProcessSet::Pids(dispatchers.collect())));
        }
        processes.extend(node.map(|node| ("RabbitMQ", ProcessSet::Pids(vec![node.pid()]))));
        if setup == Setup::RabbitMqPostgres {
            let server = Postgres::shared().await;
            processes.push(("PostgreSQL", ProcessSet::Server(server)));
        }
        let own = ProcessSet::Pids(vec![std::process::id()]);
        processes.push(("load and targets", own));
        let with_time = |(name, processes_of): (_, ProcessSet)| {
            let time = processes_of.time();
            (name, processes_of, time)
        };
        Self {
            begun: Instant::now(),
            processes: processes.into_iter().map(with_time).collect(),
        }
    }

    /// Adds the microseconds per callback of each process and of all, and the cores in use.
    pub(crate) fn stop(self, figures: &mut Figures, name: &str, callbacks: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / callbacks as f64;
        let mut all = Duration::ZERO;
        for (process, processes_of, before) in &self.processes {
            let time = processes_of.time().saturating_sub(*before);
            all += time;
            let row = format!("CPU of {process}, {name}");
            figures.add(&row, "us each", each(time));
        }
        figures.add(&format!("CPU of all, {name}"), "us each", each(all));
        let cores = all.as_secs_f64() / self.begun.elapsed().as_secs_f64();
        figures.add(&format!("cores in use, {name}"), "", cores);
    }
}

fn time_of(pids: &[u32]) -> Duration {
    let alive = pids
        .iter()
        .filter(|pid| std::fs::exists(format!("/proc/{pid}")).unwrap_or(false));
    alive.map(|pid| cpu_time_of(*pid)).sum()
}

/// A figure of `/proc/PID/status` in MiB: `VmRSS:` or `VmHWM:`.
///
/// # Panics
/// When the process is gone.
pub(crate) fn memory(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect("such a line").trim().trim_end_matches(" kB");
    let kib: f64 = words.parse().expect("a number");
    kib * 1024.0 / MIB
}
