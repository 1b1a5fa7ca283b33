//! What does `ringback serve` carry beside the bare loop on the same disk, and at which cost?

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use broker::{Broker, embedded};
use tokio::task::JoinSet;

use super::disk::{self, Then};
use super::memory::message;
use super::sink::Sink;
use super::{Asked, Figures, MIB, load, rate};
use crate::nest::Nest;
use crate::process::cpu_time_of;
use crate::{Site, eventually};

const CONNECTIONS: [usize; 2] = [64, 256];
const A_DAY: u32 = 86_400;
const WORKED_OFF: Duration = Duration::from_secs(120);

/// Measures everything `asked.repeats` times, in turn, so that a busy moment hurts all alike.
///
/// # Panics
/// When something is refused or does not work.
pub async fn measure(asked: Asked) -> Figures {
    let (mut figures, time) = (Figures::default(), asked.seconds);
    for _ in 0..asked.repeats {
        figures.add("raw append + fdatasync", "/s", disk::raw_syncs(time / 2));
        for connections in CONNECTIONS {
            for (word, then) in [("insert", Then::Keep), ("cycle", Then::Delete)] {
                let bare = disk::group_commits(connections, then, time).await;
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

/// The product's store in this process, without HTTP: each producer waits for its last message.
async fn store_alone(producers: usize, time: Duration) -> f64 {
    let nest = Nest::new("bench");
    let settings = embedded::Settings {
        directory: nest.directory().to_owned(),
        publish_timeout: WORKED_OFF,
    };
    let broker = Broker::open(&settings).expect("a store");
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..producers {
        let broker = broker.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < time {
                let stored = broker.publish_later(message(target), WORKED_OFF).await;
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

/// Callbacks that are due tomorrow: the door in and the disk alone.
async fn accept_alone(figures: &mut Figures, connections: usize, time: Duration) {
    let (site, sink) = (Site::start(&[]).await, Sink::start().await);
    let body = load::callback(sink.address, A_DAY);
    let refused = load::refused(site.address, &body, connections, time / 2).await;
    let name = format!("HTTP alone (400s), {connections} connections");
    figures.add(&name, "/s", rate(refused.accepted, refused.time));
    let before = Cpu::of(&site);
    let taken = load::closed(site.address, &body, connections, time).await;
    let name = |what: &str| format!("product {what}, {connections} connections");
    figures.add(&name("insert"), "/s", rate(taken.accepted, taken.time));
    before.cost(figures, &site, &name("insert"), taken.accepted);
}

/// Callbacks that are delivered at once, to a sink.
async fn cycle(figures: &mut Figures, connections: usize, time: Duration) {
    let (site, sink) = (Site::start(&[]).await, Sink::start().await);
    let before = Cpu::of(&site);
    let begun = Instant::now();
    let body = load::callback(sink.address, 0);
    let taken = load::closed(site.address, &body, connections, time).await;
    delivered(&sink, taken.accepted).await;
    let name = |what: &str| format!("product {what}, {connections} connections");
    figures.add(&name("cycle"), "/s", rate(taken.accepted, taken.time));
    let delivered = rate(sink.count(), begun.elapsed());
    figures.add(&name("delivered"), "/s", delivered);
    before.cost(figures, &site, &name("cycle"), taken.accepted);
}

/// How long an answer takes at half of what 64 connections can have.
async fn answers(figures: &mut Figures, time: Duration) {
    let name = format!("product cycle, {} connections", CONNECTIONS[0]);
    let a_second = figures.median(&name).expect("measured before") / 2.0;
    let (site, sink) = (Site::start(&[]).await, Sink::start().await);
    let body = load::callback(sink.address, 0);
    let times = load::open(site.address, &body, CONNECTIONS[0], a_second, time).await;
    for (word, part) in [("p50", 50), ("p99", 99)] {
        let found = times[(times.len() - 1) * part / 100];
        let name = format!("answer {word} at half that rate, from the due moment");
        figures.add(&name, "ms", found.as_secs_f64() * 1_000.0);
    }
    delivered(&sink, u64::try_from(times.len()).expect("few")).await;
}

async fn delivered(sink: &Sink, all: u64) {
    eventually("every delivery", WORKED_OFF, async || {
        let count = sink.count();
        if count >= all {
            Ok(())
        } else {
            Err(format!("{count} of {all}"))
        }
    })
    .await;
}

/// The processor time that a site has used so far.
struct Cpu {
    all: Duration,
    store: Duration,
}

impl Cpu {
    fn of(site: &Site) -> Self {
        let pid = site.process.as_ref().expect("a process").pid();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let store = tasks.flatten().find(|task| {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.trim() == "ringback-store"
        });
        let store = store.and_then(|task| task.file_name().to_str()?.parse::<u32>().ok());
        Self {
            all: cpu_time_of(pid),
            // `/proc` shows threads under their own numbers, too.
            store: store.map(thread_time).unwrap_or_default(),
        }
    }

    /// Notes the microseconds per callback since.
    fn cost(self, figures: &mut Figures, site: &Site, name: &str, callbacks: u64) {
        let now = Self::of(site);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / callbacks as f64;
        figures.add(
            &format!("CPU of {name}"),
            "us each",
            each(now.all - self.all),
        );
        let most = site.memory("VmHWM:") / MIB;
        figures.add(&format!("most memory, {name}"), "MiB", most);
        let store = each(now.store - self.store);
        figures.add(
            &format!("of it the store's thread, {name}"),
            "us each",
            store,
        );
    }
}

fn thread_time(thread: u32) -> Duration {
    // The sum over the process is in `/proc/PID/stat`; a thread's own is one level down.
    let stat = fs::read_to_string(format!("/proc/{thread}/task/{thread}/stat")).expect("it runs");
    crate::process::cpu_time_in(&stat)
}
