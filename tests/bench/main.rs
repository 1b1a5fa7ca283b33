//! Benchmarks of the gateway on this machine; prints a table.
//!
//! `cargo run --release -p tests --bin bench -- PART...`; the parts are in [`USAGE`], the method is
//! in docs/benchmarks. The product's figures are shown next to those of the same disk and broker in
//! the same run, because figures of different machines do not compare. Nothing here passes or
//! fails.
//!
//! One file for each part:
//! - `ingress.rs`, `throughput.rs`, `overload.rs`, `weight.rs`: on RabbitMQ
//! - `guard.rs`: this build beside the last release, in pairs
//! - `kept.rs`, `traces.rs`: what keeping for operators and traces cost, on both
//! - `embedded.rs`, `memory.rs`: the one process on the embedded store
//! - `isolation/`: ten targets, one of them bad; a greedy app beside another
//! - `hostile_connections.rs`: what hostile clients cost in memory
//! - `journal/`: millions of callbacks in PostgreSQL
//!
//! What they use:
//! - `disk_ceiling.rs`, `broker_ceiling.rs`: what the disk and the broker can do at best
//! - `load.rs`, `flow.rs`, `sink.rs`, `due_time.rs`: callers and targets
//! - `rig.rs`: the processes of a gateway, and their cost
//! - `figures.rs`: histograms and the table

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    reason = "a command for people, which fails loudly"
)]

mod broker_ceiling;
mod disk_ceiling;
mod due_time;
mod embedded;
mod figures;
mod flow;
mod guard;
mod hostile_connections;
mod ingress;
mod isolation;
mod journal;
mod kept;
mod load;
mod memory;
mod overload;
mod push;
mod rig;
mod sink;
mod throughput;
mod traces;
mod weight;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use figures::Figures;
use rig::Setup;
use tests::earlier_release;

/// Bytes.
const MIB: f64 = 1024.0 * 1024.0;

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// How long each single measurement lasts.
    seconds: Duration,
    /// How often each is made; the table shows medians.
    repeats: usize,
}

/// A count per second.
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

const USAGE: &str = "\
usage: bench PART... [--seconds N] [--repeats N] [--json]

parts:
  ingress    the ingress compared with the bare broker
  e2e        sustained throughput on RabbitMQ, without and with the journal, and embedded
  latency    latency of a callback by load
  overload   twice the sustained throughput, for at least a minute
  push       callers that push as hard as they can, on RabbitMQ, without and with a target delay
  push-embedded
             the same on the embedded store
  storm      100,000 retries due at once
  kept       what keeping messages and answers for operators costs
  guard      this build beside the last release, which is built first [--baseline BINARY]
  traces     what traces cost, one of a hundred callbacks sampled
  weight     memory per callback in flight and per waiting caller
  embedded   the embedded store compared with its own disk
  memory     the one process idle, starting, and with a backlog of a million
  isolation  ten targets, one of them bad, on RabbitMQ [--backlog N]
  isolation-embedded
             the same on the embedded store
  apps       a greedy app beside another, a shared host, and an app alone, on RabbitMQ [--backlog N]
  apps-embedded
             the same on the embedded store
  journal    millions of callbacks in PostgreSQL [--callbacks N]
  hostile-connections
             memory per hostile connection, by kind and listener
  all        everything but guard, push, isolation, apps, traces, the journal and hostile connections";

/// Parts of `all`, in this order.
const ALL: [&str; 9] = [
    "ingress", "e2e", "latency", "overload", "storm", "kept", "weight", "embedded", "memory",
];

/// Parts that run only by name.
const MORE: [&str; 10] = [
    "guard",
    "traces",
    "push",
    "push-embedded",
    "isolation",
    "isolation-embedded",
    "apps",
    "apps-embedded",
    "journal",
    "hostile-connections",
];

struct Command {
    parts: Vec<String>,
    callbacks: u64,
    backlog: u64,
    /// The build with which `guard` compares; `None`: the last release.
    baseline: Option<PathBuf>,
    json: bool,
    plan: Plan,
}

impl Command {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut command = Self {
            parts: Vec::new(),
            callbacks: 10_000_000,
            backlog: 20_000,
            baseline: None,
            json: false,
            plan: Plan {
                seconds: Duration::from_secs(5),
                repeats: 3,
            },
        };
        while let Some(word) = words.next() {
            if word == "--baseline" {
                command.baseline = Some(words.next()?.into());
                continue;
            }
            let mut number = || words.next()?.parse().ok().filter(|it: &u64| *it > 0);
            match &*word {
                "--json" => command.json = true,
                "--seconds" => command.plan.seconds = Duration::from_secs(number()?),
                "--repeats" => command.plan.repeats = usize::try_from(number()?).ok()?,
                "--callbacks" => command.callbacks = number()?,
                "--backlog" => command.backlog = number()?,
                "all" => command.parts.extend(ALL.map(str::to_owned)),
                part if MORE.contains(&part) || ALL.contains(&part) => command.parts.push(word),
                _ => return None,
            }
        }
        (!command.parts.is_empty()).then_some(command)
    }

    async fn measure(&self, part: &str) -> Figures {
        const BOTH: [Setup; 2] = [Setup::RabbitMq, Setup::RabbitMqPostgres];
        const ALL: [Setup; 3] = [Setup::RabbitMq, Setup::RabbitMqPostgres, Setup::Embedded];
        let plan = self.plan;
        match part {
            "ingress" => ingress::measure(plan).await,
            "e2e" => throughput::sustained(plan, &ALL).await,
            "latency" => throughput::latency(plan, &BOTH).await,
            "overload" => overload::twice(plan, Setup::RabbitMq).await,
            "push" => push::measure(plan, &[Setup::RabbitMq]).await,
            "push-embedded" => push::measure(plan, &[Setup::Embedded]).await,
            "storm" => overload::storm(plan).await,
            "kept" => kept::measure(plan).await,
            "guard" => {
                let baseline = self.baseline.clone();
                let baseline = baseline.unwrap_or_else(earlier_release::last_release);
                guard::measure(plan, &baseline).await
            }
            "traces" => traces::measure(plan).await,
            "weight" => weight::measure(plan).await,
            "embedded" => embedded::measure(plan).await,
            "memory" => memory::measure(plan).await,
            "hostile-connections" => hostile_connections::measure(plan).await,
            "isolation" => self.isolation(Setup::RabbitMq).await,
            "isolation-embedded" => self.isolation(Setup::Embedded).await,
            "apps" => self.apps(Setup::RabbitMq).await,
            "apps-embedded" => self.apps(Setup::Embedded).await,
            _ => {
                let report = journal::measure(self.callbacks).await;
                if !self.json {
                    println!("{}", report.plans);
                }
                report.figures
            }
        }
    }

    async fn isolation(&self, setup: Setup) -> Figures {
        let node = rig::node(setup).await;
        let backlog = usize::try_from(self.backlog).unwrap_or(usize::MAX);
        isolation::measure(self.plan, backlog, node.as_ref()).await
    }

    async fn apps(&self, setup: Setup) -> Figures {
        let node = rig::node(setup).await;
        let backlog = usize::try_from(self.backlog).unwrap_or(usize::MAX);
        isolation::apps::measure(self.plan, backlog, node.as_ref()).await
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(command) = Command::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures mean little");
    }
    let begun = load_average();
    let mut parts = Vec::new();
    for part in &command.parts {
        let figures = command.measure(part).await;
        if !command.json {
            // At once: all parts together take long.
            println!("\n{part}\n\n{}", figures.table());
        }
        parts.push((part.as_str(), figures));
    }
    let machine = format!(
        "{} cores; {} s each; load average {begun} before, {} after",
        std::thread::available_parallelism().map_or(0, usize::from),
        command.plan.seconds.as_secs(),
        load_average()
    );
    show(&command, &machine, &parts);
    ExitCode::SUCCESS
}

fn show(command: &Command, machine: &str, parts: &[(&str, Figures)]) {
    if command.json {
        let mut all = serde_json::Map::new();
        all.insert("machine".to_owned(), machine.into());
        all.extend(
            parts
                .iter()
                .map(|(name, part)| ((*name).to_owned(), part.json())),
        );
        println!("{}", serde_json::Value::Object(all));
        return;
    }
    println!("{machine}");
}

/// Over the last minute, five and fifteen.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
