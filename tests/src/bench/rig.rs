//! On what is a whole gateway measured, and what do its processes cost?

use std::time::{Duration, Instant};

use super::{Figures, MIB};
use crate::process::cpu_time_of;
use crate::{Gateway, GatewayOptions, Ground, Postgres, Rabbit, process};

/// What a gateway under measurement stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// RabbitMQ, no journal.
    RabbitMq,
    /// RabbitMQ and a journal in PostgreSQL.
    RabbitMqPostgres,
    /// The embedded store with its journal.
    Embedded,
}

impl Stand {
    /// How a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "RabbitMQ",
            Self::RabbitMqPostgres => "RabbitMQ + PostgreSQL",
            Self::Embedded => "embedded",
        }
    }
}

/// A node of its own, where one is needed, so that what one measurement leaves hurts no other.
pub async fn node(stand: Stand) -> Option<Rabbit> {
    process::binary(); // Built now: not while something is measured.
    match stand {
        Stand::Embedded => None,
        Stand::RabbitMq | Stand::RabbitMqPostgres => Some(Rabbit::start().await),
    }
}

/// A gateway on it, with these options.
///
/// # Panics
/// When it does not start.
pub async fn gateway(
    stand: Stand,
    node: Option<&Rabbit>,
    mut options: GatewayOptions,
) -> Gateway<'_> {
    options.journal = stand == Stand::RabbitMqPostgres;
    // As shipped, and not with the patience of a test.
    let options = options.with("RINGBACK__BROKER__PUBLISH_TIMEOUT", "5s");
    let ground = node.map_or(Ground::Embedded, Ground::RabbitMq);
    Gateway::start(ground, options).await
}

/// The processor time of all processes, from one moment on.
#[derive(Debug)]
pub struct Meter {
    begun: Instant,
    processes: Vec<(&'static str, Whose, Duration)>,
}

#[derive(Debug)]
enum Whose {
    These(Vec<u32>),
    /// Its processes come and go with their connections.
    Server(&'static Postgres),
}

impl Whose {
    fn time(&self) -> Duration {
        match self {
            Self::These(pids) => time_of(pids),
            Self::Server(server) => time_of(&server.pids()),
        }
    }
}

impl Meter {
    /// Starts to count.
    pub async fn start(stand: Stand, node: Option<&Rabbit>, gateway: &Gateway<'_>) -> Self {
        let pid = gateway.ingress.process.pid();
        let mut processes = Vec::new();
        if stand == Stand::Embedded {
            processes.push(("serve", Whose::These(vec![pid])));
        } else {
            processes.push(("ingress", Whose::These(vec![pid])));
            let dispatchers = gateway.dispatchers.iter().map(|door| door.process.pid());
            processes.push(("dispatcher", Whose::These(dispatchers.collect())));
        }
        processes.extend(node.map(|node| ("RabbitMQ", Whose::These(vec![node.pid()]))));
        if stand == Stand::RabbitMqPostgres {
            let server = Postgres::shared().await;
            processes.push(("PostgreSQL", Whose::Server(server)));
        }
        let own = Whose::These(vec![std::process::id()]);
        processes.push(("load and sink", own));
        let with_time = |(name, whose): (_, Whose)| {
            let time = whose.time();
            (name, whose, time)
        };
        Self {
            begun: Instant::now(),
            processes: processes.into_iter().map(with_time).collect(),
        }
    }

    /// Notes the microseconds per callback of each process and of all, and the share of the machine.
    pub fn stop(self, figures: &mut Figures, name: &str, callbacks: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / callbacks as f64;
        let mut all = Duration::ZERO;
        for (process, whose, before) in &self.processes {
            let time = whose.time().saturating_sub(*before);
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
pub fn memory(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect("such a line").trim().trim_end_matches(" kB");
    let kib: f64 = words.parse().expect("a number");
    kib * 1024.0 / MIB
}
