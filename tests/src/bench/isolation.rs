//! Does one bad target slow the others? Callbacks a second to ten targets, one of which is bad and
//! has a backlog, beside the same without.
//!
//! Callbacks are due at fixed moments. A time counts from the answer `000` to the moment at which
//! the target has read the callback.

pub mod target;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::{Line, request};
use super::{Asked, Figures};
use crate::{Gateway, GatewayOptions, Ground, Rabbit};
use target::{Mood, Target};

const TARGETS: usize = 10;
/// The same as a pace to send at.
const PACE: Option<f64> = Some(A_SECOND as f64);
const CONNECTIONS: usize = 64;
/// Callbacks a second, all targets together.
const A_SECOND: usize = 300;
const WORKED_OFF: Duration = Duration::from_secs(120);
/// The stated bound of a recovery, and time for the calls themselves.
const RECOVERED: Duration = Duration::from_secs(12 * 60);

/// Measures everything on this broker, runs with and without a bad target in turn.
///
/// # Panics
/// When something is refused, lost, or does not work.
pub async fn measure(asked: Asked, backlog: usize, rabbit: Option<&Rabbit>) -> Figures {
    let ground = || rabbit.map_or(Ground::Embedded, Ground::RabbitMq);
    let mut figures = Figures::default();
    for _ in 0..asked.repeats {
        steady(&mut figures, ground(), Mood::Well, asked.seconds, 0).await;
        for bad in Mood::BAD {
            steady(&mut figures, ground(), bad, asked.seconds, backlog).await;
        }
        behind_a_dead_host(&mut figures, ground(), backlog / 2).await;
        recovery(&mut figures, ground(), backlog).await;
        if rabbit.is_some() {
            come_and_go(&mut figures, ground(), asked.seconds).await;
        }
    }
    let well = Mood::Well.name();
    for bad in Mood::BAD {
        let bad = bad.name();
        figures.compare(
            &format!("p99 of the healthy, {bad} to all well"),
            &format!("p99 of the healthy, {bad}"),
            &format!("p99 of the healthy, {well}"),
        );
        figures.compare(
            &format!("throughput of the healthy, {bad} to all well"),
            &format!("throughput of the healthy, {bad}"),
            &format!("throughput of the healthy, {well}"),
        );
    }
    figures
}

/// What comes due in so long, in whole seconds.
fn callbacks_in(time: Duration) -> usize {
    A_SECOND * usize::try_from(time.as_secs()).expect("a short time")
}

async fn gateway(ground: Ground<'_>, dispatchers: usize) -> Gateway<'_> {
    let options = GatewayOptions {
        dispatchers,
        schedule: "5s,30s,2min,10min".to_owned(),
        ..GatewayOptions::default()
    };
    // Logs of tens of thousands of failures would cost more than the attempts.
    let options = options.with("RINGBACK__LOG__LEVEL", "error");
    // The limits as shipped: elsewhere one target stands for many.
    let options = options
        .with("RINGBACK__LIMITS__IN_FLIGHT", "")
        .with("RINGBACK__LIMITS__BREAKER_CALLS", "20")
        .with("RINGBACK__BROKER__PUBLISH_TIMEOUT", "5s");
    Gateway::start(ground, options).await
}

/// A callback with this number. [`Target`] reads it back.
fn body(target: SocketAddr, number: usize) -> String {
    let text = "x".repeat(280);
    format!(
        r#"{{"callback_url":"http://{target}/","app_id":"bench","message_type":"bench","request_message":{{"number":{number},"text":"{text}"}}}}"#
    )
}

/// Sends callbacks, the turn's target by `to`; `a_second` of them, or as fast as they are taken. Says
/// when each was accepted, by its number.
async fn send(
    ingress: SocketAddr,
    to: Arc<Vec<SocketAddr>>,
    count: usize,
    a_second: Option<f64>,
) -> Vec<Instant> {
    let next = Arc::new(AtomicUsize::new(0));
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..CONNECTIONS {
        let (next, to) = (next.clone(), to.clone());
        tasks.spawn(async move {
            let mut line = Line::to(ingress).await.expect("a connection");
            let mut accepted = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return accepted;
                }
                if let Some(a_second) = a_second {
                    let due = begun + Duration::from_secs_f64(number as f64 / a_second);
                    tokio::time::sleep_until(due.into()).await;
                }
                let request = request(ingress, &body(to[number % to.len()], number));
                let answered = line.exchange(&request, br#""code":"000""#).await;
                answered.expect("an accepted callback");
                accepted.push((number, Instant::now()));
            }
        });
    }
    let mut all: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, at)| at).collect()
}

fn addresses(targets: &[Target]) -> Arc<Vec<SocketAddr>> {
    Arc::new(targets.iter().map(|it| it.address).collect())
}

async fn arrived(targets: &[Target], count: usize, within: Duration) {
    let begun = Instant::now();
    loop {
        let came: usize = targets.iter().map(Target::count).sum();
        if came >= count {
            return;
        }
        assert!(begun.elapsed() < within, "{came} of {count} arrived");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The times from acceptance to arrival, sorted.
fn times(targets: &[Target], accepted: &[Instant]) -> Vec<Duration> {
    let came = targets.iter().flat_map(Target::came);
    // One may arrive before its caller has read the answer.
    let mut times: Vec<Duration> = came
        .map(|(number, at)| at.saturating_duration_since(accepted[number]))
        .collect();
    times.sort_unstable();
    times
}

fn add_percentiles(figures: &mut Figures, name: &str, times: &[Duration]) {
    for (word, part) in [("p50", 50), ("p99", 99)] {
        let found = times[(times.len() - 1) * part / 100];
        let ms = found.as_secs_f64() * 1_000.0;
        figures.add(&format!("{word} of the healthy, {name}"), "ms", ms);
    }
}

/// Ten targets, the last one in this mood and with a backlog.
async fn steady(
    figures: &mut Figures,
    ground: Ground<'_>,
    mood: Mood,
    time: Duration,
    backlog: usize,
) {
    let gateway = gateway(ground, 1).await;
    let ingress = gateway.ingress.address;
    let healthy: Vec<Target> = (1..TARGETS).map(|_| Target::start(Mood::Well)).collect();
    let last = Target::start(mood);
    send(ingress, Arc::new(vec![last.address]), backlog, None).await;
    let mut all = addresses(&healthy).to_vec();
    all.push(last.address);
    let count = callbacks_in(time) / TARGETS * TARGETS;
    let begun = Instant::now();
    let accepted = send(ingress, Arc::new(all), count, PACE).await;
    let expected = count / TARGETS * (TARGETS - 1);
    arrived(&healthy, expected, WORKED_OFF).await;
    let throughput = expected as f64 / begun.elapsed().as_secs_f64();
    let name = mood.name();
    figures.add(
        &format!("throughput of the healthy, {name}"),
        "/s",
        throughput,
    );
    add_percentiles(figures, name, &times(&healthy, &accepted));
}

/// Many for a dead host first, then a hundred for a live one.
async fn behind_a_dead_host(figures: &mut Figures, ground: Ground<'_>, many: usize) {
    const FEW: usize = 100;
    let gateway = gateway(ground, 1).await;
    let (dead, live) = (Target::start(Mood::Refuses), [Target::start(Mood::Well)]);
    send(
        gateway.ingress.address,
        Arc::new(vec![dead.address]),
        many,
        None,
    )
    .await;
    let begun = Instant::now();
    send(gateway.ingress.address, addresses(&live), FEW, None).await;
    arrived(&live, FEW, WORKED_OFF).await;
    let name = format!("{FEW} for a live host behind {many} for a dead one");
    figures.add(&name, "s", begun.elapsed().as_secs_f64());
}

/// A dead host with a backlog comes back while nine others are called.
async fn recovery(figures: &mut Figures, ground: Ground<'_>, backlog: usize) {
    let gateway = gateway(ground, 1).await;
    let ingress = gateway.ingress.address;
    let healthy: Vec<Target> = (1..TARGETS).map(|_| Target::start(Mood::Well)).collect();
    let mut back = [Target::start(Mood::Refuses)];
    send(ingress, addresses(&back), backlog, None).await;
    back[0].open();
    let begun = Instant::now();
    let drained = async {
        arrived(&back, backlog, RECOVERED).await;
        begun.elapsed()
    };
    // In rounds, until it is through.
    let load = async {
        let mut all = Vec::new();
        let mut came = 0;
        loop {
            let count = A_SECOND * 2;
            let accepted = send(ingress, addresses(&healthy), count, PACE).await;
            came += count;
            arrived(&healthy, came, WORKED_OFF).await;
            let newest = healthy.iter().flat_map(|it| {
                let came = it.came();
                came[came.len() - count / healthy.len()..].to_vec()
            });
            all.extend(newest.map(|(number, at)| at.saturating_duration_since(accepted[number])));
            if back[0].count() >= backlog {
                return all;
            }
        }
    };
    let (drained, mut times) = tokio::join!(drained, load);
    times.sort_unstable();
    let name = format!("a dead host comes back: {backlog} drained");
    figures.add(&name, "s", drained.as_secs_f64());
    add_percentiles(figures, "one comes back", &times);
}

/// Two dispatchers come and go under load.
async fn come_and_go(figures: &mut Figures, ground: Ground<'_>, time: Duration) {
    let mut gateway = gateway(ground, 1).await;
    let targets: Vec<Target> = (0..TARGETS).map(|_| Target::start(Mood::Well)).collect();
    let count = callbacks_in(time.max(Duration::from_secs(5)));
    let load = tokio::spawn(send(
        gateway.ingress.address,
        addresses(&targets),
        count,
        PACE,
    ));
    for _ in 0..2 {
        gateway.add_dispatcher().await;
    }
    for _ in 0..2 {
        let mut door = gateway.dispatchers.remove(0);
        door.process.sigterm();
        let ended = door.process.wait_exit(WORKED_OFF).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    load.await.expect("the callers");
    arrived(&targets, count, WORKED_OFF).await;
    // What came twice comes soon.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let came: Vec<usize> = targets
        .iter()
        .flat_map(Target::came)
        .map(|it| it.0)
        .collect();
    let distinct = came.iter().collect::<HashSet<_>>().len();
    figures.add(
        "2 dispatchers come and go: lost",
        "",
        (count - distinct) as f64,
    );
    figures.add(
        "2 dispatchers come and go: twice",
        "",
        (came.len() - distinct) as f64,
    );
}
