//! What does the gateway carry on this machine, and what does it need? Prints a table.
//!
//! `cargo run --release -p tests --bin bench -- PART...`; the parts are in [`USAGE`], the method is
//! in docs/performance.md.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tests::bench::rig::Stand;
use tests::bench::{
    Asked, Figures, doors, isolation, journal, memory, overload, product, rig, weight, whole,
};

const USAGE: &str = "\
usage: bench PART... [--seconds N] [--repeats N] [--json]

parts:
  ingress    the door in beside the bare broker
  e2e        the most that is delivered on RabbitMQ, without and with the journal, and embedded
  latency    how long a callback is under way at which load [--plot FILE.svg]
  overload   twice the most, for a minute at least
  storm      100,000 retries due at once
  weight     memory of callbacks in flight and of waiting callers
  embedded   the one process beside its own disk
  memory     the one process idle, starting, and on a backlog of a million
  isolation  ten targets, one of them bad, on RabbitMQ [--backlog N]
  isolation-embedded
             the same on the embedded store
  journal    millions of callbacks in PostgreSQL [--callbacks N]
  all        everything but isolation and the journal";

/// Parts of `all`, in this order.
const ALL: [&str; 8] = [
    "ingress", "e2e", "latency", "overload", "storm", "weight", "embedded", "memory",
];

/// Parts that are asked for by name.
const MORE: [&str; 3] = ["isolation", "isolation-embedded", "journal"];

struct Command {
    parts: Vec<String>,
    callbacks: u64,
    backlog: u64,
    plot: Option<PathBuf>,
    json: bool,
    asked: Asked,
}

impl Command {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut command = Self {
            parts: Vec::new(),
            callbacks: 10_000_000,
            backlog: 20_000,
            plot: None,
            json: false,
            asked: Asked {
                seconds: Duration::from_secs(5),
                repeats: 3,
            },
        };
        while let Some(word) = words.next() {
            let mut number = || words.next()?.parse().ok().filter(|it: &u64| *it > 0);
            match &*word {
                "--json" => command.json = true,
                "--seconds" => command.asked.seconds = Duration::from_secs(number()?),
                "--repeats" => command.asked.repeats = usize::try_from(number()?).ok()?,
                "--callbacks" => command.callbacks = number()?,
                "--backlog" => command.backlog = number()?,
                "--plot" => command.plot = Some(words.next()?.into()),
                "all" => command.parts.extend(ALL.map(str::to_owned)),
                part if MORE.contains(&part) || ALL.contains(&part) => command.parts.push(word),
                _ => return None,
            }
        }
        (!command.parts.is_empty()).then_some(command)
    }

    async fn measure(&self, part: &str) -> Figures {
        const BOTH: [Stand; 2] = [Stand::RabbitMq, Stand::RabbitMqPostgres];
        const ALL: [Stand; 3] = [Stand::RabbitMq, Stand::RabbitMqPostgres, Stand::Embedded];
        let asked = self.asked;
        match part {
            "ingress" => doors::measure(asked).await,
            "e2e" => whole::throughput(asked, &ALL).await,
            "latency" => {
                let (figures, plot) = whole::latency(asked, &BOTH).await;
                if let Some(file) = &self.plot
                    && let Err(error) = std::fs::write(file, plot.svg())
                {
                    eprintln!("{}: {error}", file.display());
                }
                figures
            }
            "overload" => overload::twice(asked, Stand::RabbitMq).await,
            "storm" => overload::storm(asked).await,
            "weight" => weight::measure(asked).await,
            "embedded" => product::measure(asked).await,
            "memory" => memory::measure(asked).await,
            "isolation" => self.isolation(Stand::RabbitMq).await,
            "isolation-embedded" => self.isolation(Stand::Embedded).await,
            _ => {
                let report = journal::measure(self.callbacks).await;
                if !self.json {
                    println!("{}", report.plans);
                }
                report.figures
            }
        }
    }

    async fn isolation(&self, stand: Stand) -> Figures {
        let node = rig::node(stand).await;
        let backlog = usize::try_from(self.backlog).unwrap_or(usize::MAX);
        isolation::measure(self.asked, backlog, node.as_ref()).await
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(command) = Command::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if cfg!(debug_assertions) {
        eprintln!("a debug build: the figures mean little");
    }
    let begun = load_average();
    let mut parts = Vec::new();
    for part in &command.parts {
        let figures = command.measure(part).await;
        if !command.json {
            // At once: the whole takes long.
            println!("\n{part}\n\n{}", figures.table());
        }
        parts.push((part.as_str(), figures));
    }
    let machine = format!(
        "{} cores; {} s each; load average {begun} before, {} after",
        std::thread::available_parallelism().map_or(0, usize::from),
        command.asked.seconds.as_secs(),
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
