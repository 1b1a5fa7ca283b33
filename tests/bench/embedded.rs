//! `ringback serve`, compared with the bare loop on the same disk.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use broker::{Broker, embedded};
use tokio::task::JoinSet;

use super::disk_ceiling::{self, Then};
use super::figures::Figures;
use super::memory::message;
use super::sink::Sink;
use super::{MIB, Plan, load, rate};
use tests::cleanup::TempDirectory;
use tests::process::cpu_time_of;
use tests::{SingleProcess, eventually};

const CONNECTIONS: [usize; 2] = [64, 256];
const A_DAY: u32 = 86_400;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// Measures everything `plan.repeats` times in turn, so that a busy moment affects all alike.
///
/// # Panics
/// When something is refused or does not work.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let (mut figures, time) = (Figures::default(), plan.seconds);
    for _ in 0..plan.repeats {
        figures.add(
            "raw append + fdatasync",
            "/s",
            disk_ceiling::raw_syncs(time / 2),
        );
        for connections in CONNECTIONS {
            for (word, then) in [("insert", Then::Keep), ("cycle", Then::Delete)] {
                let bare = disk_ceiling::group_commits(connections, then, time).await;
                figures.add(&format!("bare {word}, {connections} producers"), "/s", bare);
            }
            let store = store_alone(connections, time).await;
            figures.add(
                &format!("store alone, {connections} producers"),
                "/s",
                store,
            );
            accept_alone(&mut figures, connections, time).await;
            cycle(&mut figures, connections, time).await;
        }
        answers(&mut figures, time).await;
    }
    for connections in CONNECTIONS {
        figures.compare(
            &format!("bare insert to store alone, {connections}"),
            &format!("bare insert, {connections} producers"),
            &format!("store alone, {connections} producers"),
        );
        figures.compare(
            &format!("HTTP alone to product, insert, {connections}"),
            &format!("HTTP alone (400s), {connections} connections"),
            &format!("product insert, {connections} connections"),
        );
        for word in ["insert", "cycle"] {
            figures.compare(
                &format!("bare to product, {word}, {connections}"),
                &format!("bare {word}, {connections} producers"),
                &format!("product {word}, {connections} connections"),
            );
        }
    }
    figures
}

/// The product's store in this process, without HTTP. Each producer waits for its last message.
async fn store_alone(producers: usize, time: Duration) -> f64 {
    let temp = TempDirectory::new("bench");
    let settings = embedded::EmbeddedOptions {
        directory: temp.path().to_owned(),
        publish_timeout: DRAIN_TIMEOUT,
        min_free_bytes: 0,
    };
    let broker = Broker::open(&settings).expect("a store");
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..producers {
        let broker = broker.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < time {
                let stored = broker.publish_later(message(target), DRAIN_TIMEOUT).await;
                stored.expect("stored");
                count += 1;
            }
            count
        });
    }
    let count = tasks.join_all().await.into_iter().sum();
    let rate = rate(count, begun.elapsed());
    broker.close().await;
    rate
}

/// Callbacks that are due tomorrow: ingress and disk alone.
async fn accept_alone(figures: &mut Figures, connections: usize, time: Duration) {
    let (serve, sink) = (SingleProcess::start(&[]).await, Sink::start());
    let body = load::callback(sink.address, A_DAY);
    let refused = load::refused(serve.address, &body, connections, time / 2).await;
    let name = format!("HTTP alone (400s), {connections} connections");
    figures.add(&name, "/s", rate(refused.count, refused.time));
    let before = Cpu::of(&serve);
    let accepted = load::closed(serve.address, &body, connections, time).await;
    let name = |what: &str| format!("product {what}, {connections} connections");
    figures.add(&name("insert"), "/s", rate(accepted.count, accepted.time));
    before.cost(figures, &serve, &name("insert"), accepted.count);
}

/// Callbacks that are delivered at once.
async fn cycle(figures: &mut Figures, connections: usize, time: Duration) {
    let (serve, sink) = (SingleProcess::start(&[]).await, Sink::start());
    let before = Cpu::of(&serve);
    let begun = Instant::now();
    let body = load::callback(sink.address, 0);
    let accepted = load::closed(serve.address, &body, connections, time).await;
    delivered(&sink, accepted.count).await;
    let name = |what: &str| format!("product {what}, {connections} connections");
    figures.add(&name("cycle"), "/s", rate(accepted.count, accepted.time));
    let delivered = rate(sink.count(), begun.elapsed());
    figures.add(&name("delivered"), "/s", delivered);
    before.cost(figures, &serve, &name("cycle"), accepted.count);
}

/// Answer times at half of the rate of 64 connections.
async fn answers(figures: &mut Figures, time: Duration) {
    let name = format!("product cycle, {} connections", CONNECTIONS[0]);
    let per_second = figures.median(&name).expect("measured before") / 2.0;
    let (serve, sink) = (SingleProcess::start(&[]).await, Sink::start());
    let body = load::callback(sink.address, 0);
    let times = load::open(serve.address, &body, CONNECTIONS[0], per_second, time).await;
    times.add_to(figures, "answer at half that rate, from the due time");
    delivered(&sink, times.len()).await;
}

async fn delivered(sink: &Sink, all: u64) {
    eventually("every delivery", DRAIN_TIMEOUT, async || {
        let count = sink.count();
        if count >= all {
            Ok(())
        } else {
            Err(format!("{count} of {all}"))
        }
    })
    .await;
}

/// The CPU time used so far.
struct Cpu {
    all: Duration,
    store: Duration,
}

impl Cpu {
    fn of(serve: &SingleProcess) -> Self {
        let pid = serve.process.as_ref().expect("a process").pid();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let store = tasks.flatten().find(|task| {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.trim() == "ringback-store"
        });
        let store = store.and_then(|task| task.file_name().to_str()?.parse::<u32>().ok());
        Self {
            all: cpu_time_of(pid),
            // `/proc` also lists threads under their own ids.
            store: store.map(thread_time).unwrap_or_default(),
        }
    }

    /// Adds the microseconds per callback since then.
    fn cost(self, figures: &mut Figures, serve: &SingleProcess, name: &str, callbacks: u64) {
        let now = Self::of(serve);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / callbacks as f64;
        figures.add(
            &format!("CPU of {name}"),
            "us each",
            each(now.all - self.all),
        );
        let most = serve.memory("VmHWM:") / MIB;
        figures.add(&format!("peak memory, {name}"), "MiB", most);
        let store = each(now.store - self.store);
        figures.add(
            &format!("of it the store's thread, {name}"),
            "us each",
            store,
        );
    }
}

fn thread_time(thread: u32) -> Duration {
    // `/proc/PID/stat` has the sum over the process; a thread's own time is one level down.
    let stat = fs::read_to_string(format!("/proc/{thread}/task/{thread}/stat")).expect("it runs");
    tests::process::cpu_time_in(&stat)
}
