//! What does the gateway carry on this machine, and what does it need? Prints a table.
//!
//! `cargo run --release -p tests --bin bench -- embedded|memory|all [--json] [--seconds N]`
//! `cargo run --release -p tests --bin bench -- journal [--callbacks N]`
//! `cargo run --release -p tests --bin bench -- isolation [--broker embedded|rabbitmq] [--backlog N]`
//! The method is in docs/performance.md.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people"
)]

use std::process::ExitCode;
use std::time::Duration;

use tests::Rabbit;
use tests::bench::{Asked, Figures, isolation, journal, memory, product};

const USAGE: &str = "usage: bench embedded|memory|all [--json] [--seconds N] [--repeats N]\n       bench journal [--json] [--callbacks N]\n       bench isolation [--broker embedded|rabbitmq] [--backlog N] [--json] [--seconds N] [--repeats N]";

struct Command {
    embedded: bool,
    memory: bool,
    /// How many callbacks the journal is to hold, if it is asked for.
    journal: Option<u64>,
    /// The backlog of the bad target, if it is asked for.
    isolation: Option<usize>,
    rabbitmq: bool,
    json: bool,
    asked: Asked,
}

impl Command {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let what = words.next()?;
        let (embedded, memory, journal) = match &*what {
            "embedded" => (true, false, None),
            "memory" => (false, true, None),
            "all" => (true, true, None),
            "journal" => (false, false, Some(10_000_000)),
            "isolation" => (false, false, None),
            _ => return None,
        };
        let asked = Asked {
            seconds: Duration::from_secs(5),
            repeats: 3,
        };
        let mut command = Self {
            embedded,
            memory,
            journal,
            isolation: (what == "isolation").then_some(20_000),
            rabbitmq: false,
            json: false,
            asked,
        };
        while let Some(word) = words.next() {
            match &*word {
                "--json" => command.json = true,
                "--seconds" => {
                    let seconds = words.next()?.parse().ok().filter(|it| *it > 0)?;
                    command.asked.seconds = Duration::from_secs(seconds);
                }
                "--repeats" => {
                    command.asked.repeats = words.next()?.parse().ok().filter(|it| *it > 0)?;
                }
                "--callbacks" if command.journal.is_some() => {
                    command.journal = Some(words.next()?.parse().ok()?);
                }
                "--backlog" if command.isolation.is_some() => {
                    command.isolation = Some(words.next()?.parse().ok()?);
                }
                "--broker" if command.isolation.is_some() => {
                    command.rabbitmq = match &*words.next()? {
                        "rabbitmq" => true,
                        "embedded" => false,
                        _ => return None,
                    };
                }
                _ => return None,
            }
        }
        Some(command)
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
    if command.embedded {
        parts.push(("embedded", product::measure(command.asked).await));
    }
    if command.memory {
        parts.push(("memory", memory::measure(command.asked).await));
    }
    if let Some(callbacks) = command.journal {
        let report = journal::measure(callbacks).await;
        if !command.json {
            println!("{}", report.plans);
        }
        parts.push(("journal", report.figures));
    }
    if let Some(backlog) = command.isolation {
        let rabbit = match command.rabbitmq {
            true => Some(Rabbit::start().await),
            false => None,
        };
        let figures = isolation::measure(command.asked, backlog, rabbit.as_ref()).await;
        let name = match command.rabbitmq {
            true => "isolation, RabbitMQ",
            false => "isolation, embedded",
        };
        parts.push((name, figures));
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
    for (name, part) in parts {
        println!("\n{name}\n\n{}", part.table());
    }
}

/// Over the last minute, five and fifteen.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
