//! Ten targets, one of which is bad and has a backlog, compared with ten healthy ones.
//!
//! Callbacks are due at fixed times. A time counts from the answer `000` until the target has read
//! the callback.

pub(crate) mod apps;
pub(crate) mod target;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::{BrokerUnderTest, Gateway, GatewayOptions, RabbitMq};
use tokio::task::JoinSet;

use super::Plan;
use super::figures::{Figures, Times};
use super::load::{Connection, request};
use target::{Behavior, ObservedTarget};

const TARGETS: usize = 10;
/// The same as a rate to send at.
const RATE: Option<f64> = Some(PER_SECOND as f64);
const CONNECTIONS: usize = 64;
/// Callbacks per second to all targets together.
const PER_SECOND: usize = 300;
/// Makes the body of a callback to a target, with its number.
type Body = fn(SocketAddr, usize) -> String;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// The documented bound of a recovery, plus time for the calls themselves.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(12 * 60);

/// Measures everything on this broker, runs with and without a bad target in turn.
///
/// # Panics
/// When something is refused, lost, or does not work.
pub(crate) async fn measure(plan: Plan, backlog: usize, rabbit: Option<&RabbitMq>) -> Figures {
    let broker = || rabbit.map_or(BrokerUnderTest::Embedded, BrokerUnderTest::RabbitMq);
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        steady(&mut figures, broker(), Behavior::Healthy, plan.seconds, 0).await;
        for bad in Behavior::BAD {
            steady(&mut figures, broker(), bad, plan.seconds, backlog).await;
        }
        behind_a_dead_host(&mut figures, broker(), backlog / 2).await;
        recovery(&mut figures, broker(), backlog).await;
        if rabbit.is_some() {
            come_and_go(&mut figures, broker(), plan.seconds).await;
        }
    }
    let healthy = Behavior::Healthy.name();
    for bad in Behavior::BAD {
        let bad = bad.name();
        figures.compare(
            &format!("p99 of the healthy, {bad} to {healthy}"),
            &format!("{}, p99", latency_row(bad)),
            &format!("{}, p99", latency_row(healthy)),
        );
        figures.compare(
            &format!("throughput of the healthy, {bad} to {healthy}"),
            &format!("throughput of the healthy, {bad}"),
            &format!("throughput of the healthy, {healthy}"),
        );
    }
    figures
}

/// The callbacks that are due in this time, in whole seconds.
fn callbacks_in(time: Duration) -> usize {
    PER_SECOND * usize::try_from(time.as_secs()).expect("a short time")
}

/// The name of the row with the latency of healthy targets.
fn latency_row(name: &str) -> String {
    format!("latency of the healthy, {name}")
}

async fn gateway(broker: BrokerUnderTest<'_>, dispatchers: usize) -> Gateway<'_> {
    let options = GatewayOptions {
        dispatchers,
        schedule: "5s,30s,2min,10min".to_owned(),
        ..GatewayOptions::default()
    };
    // Logging tens of thousands of failures would cost more than the attempts.
    let options = options.with("RINGBACK__LOG__LEVEL", "error");
    // The limits as shipped: elsewhere one target setups for many.
    let options = options
        .with("RINGBACK__LIMITS__IN_FLIGHT", "")
        .with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "20")
        .with("RINGBACK__BROKER__PUBLISH_TIMEOUT", "5s");
    Gateway::start(broker, options).await
}

/// A callback with this number, which [`ObservedTarget`] reads back.
fn body(target: SocketAddr, number: usize) -> String {
    let text = "x".repeat(280);
    format!(
        r#"{{"callback_url":"http://{target}/","app_id":"bench","message_type":"bench","request_message":{{"number":{number},"text":"{text}"}}}}"#
    )
}

/// The same of this app, to this path, with the longest timeout.
fn body_of(app: &str, path: &str, target: SocketAddr, number: usize) -> String {
    let text = "x".repeat(280);
    format!(
        r#"{{"callback_url":"http://{target}/{path}","app_id":"{app}","message_type":"bench","options":{{"timeout_seconds":60}},"request_message":{{"number":{number},"text":"{text}"}}}}"#
    )
}

/// The same to no path, due after this delay.
fn body_after(app: &str, delay: Duration, target: SocketAddr, number: usize) -> String {
    let (text, delay) = ("x".repeat(280), delay.as_secs());
    format!(
        r#"{{"callback_url":"http://{target}/","app_id":"{app}","message_type":"bench","options":{{"timeout_seconds":60,"delay_seconds":{delay}}},"request_message":{{"number":{number},"text":"{text}"}}}}"#
    )
}

/// Sends callbacks, the turn's target by `to`; `per_second` of them, or as fast as they are taken.
/// Returns when each was accepted, by its number.
async fn send(
    ingress: SocketAddr,
    to: Arc<Vec<SocketAddr>>,
    count: usize,
    per_second: Option<f64>,
) -> Vec<Instant> {
    send_bodies(ingress, to, count, per_second, body).await
}

/// The same with these bodies.
async fn send_bodies(
    ingress: SocketAddr,
    to: Arc<Vec<SocketAddr>>,
    count: usize,
    per_second: Option<f64>,
    body: Body,
) -> Vec<Instant> {
    let next = Arc::new(AtomicUsize::new(0));
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..CONNECTIONS {
        let (next, to) = (next.clone(), to.clone());
        tasks.spawn(async move {
            let mut connection = Connection::to(ingress).await.expect("a connection");
            let mut accepted = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return accepted;
                }
                if let Some(per_second) = per_second {
                    let due = begun + Duration::from_secs_f64(number as f64 / per_second);
                    tokio::time::sleep_until(due.into()).await;
                }
                let request = request(ingress, &body(to[number % to.len()], number));
                let answered = connection.expect_code(&request, br#""code":"000""#).await;
                answered.expect("an accepted callback");
                accepted.push((number, Instant::now()));
            }
        });
    }
    let mut all: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, at)| at).collect()
}

fn addresses(targets: &[ObservedTarget]) -> Arc<Vec<SocketAddr>> {
    Arc::new(targets.iter().map(|it| it.address).collect())
}

async fn arrived(targets: &[ObservedTarget], count: usize, within: Duration) {
    let begun = Instant::now();
    loop {
        let arrived_count: usize = targets.iter().map(ObservedTarget::count).sum();
        if arrived_count >= count {
            return;
        }
        assert!(
            begun.elapsed() < within,
            "{arrived_count} of {count} arrived"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The times from acceptance to arrival.
fn times(targets: &[ObservedTarget], accepted: &[Instant]) -> Times {
    let arrivals = targets.iter().flat_map(ObservedTarget::arrivals);
    // A callback may arrive before its caller has read the answer.
    let since = |(number, at): (usize, Instant)| at.saturating_duration_since(accepted[number]);
    arrivals.map(since).collect()
}

/// Ten targets; the last one behaves like this and has a backlog.
async fn steady(
    figures: &mut Figures,
    broker: BrokerUnderTest<'_>,
    behavior: Behavior,
    time: Duration,
    backlog: usize,
) {
    let gateway = gateway(broker, 1).await;
    let ingress = gateway.ingress.address;
    let healthy: Vec<ObservedTarget> = (1..TARGETS)
        .map(|_| ObservedTarget::start(Behavior::Healthy))
        .collect();
    let last = ObservedTarget::start(behavior);
    send(ingress, Arc::new(vec![last.address]), backlog, None).await;
    let mut all = addresses(&healthy).to_vec();
    all.push(last.address);
    let count = callbacks_in(time) / TARGETS * TARGETS;
    let begun = Instant::now();
    let accepted = send(ingress, Arc::new(all), count, RATE).await;
    let expected = count / TARGETS * (TARGETS - 1);
    arrived(&healthy, expected, DRAIN_TIMEOUT).await;
    let throughput = expected as f64 / begun.elapsed().as_secs_f64();
    let name = behavior.name();
    figures.add(
        &format!("throughput of the healthy, {name}"),
        "/s",
        throughput,
    );
    let times = times(&healthy, &accepted);
    times.add_to(figures, &latency_row(name));
}

/// Many callbacks for a dead host first, then a hundred for a live one.
async fn behind_a_dead_host(figures: &mut Figures, broker: BrokerUnderTest<'_>, many: usize) {
    const FEW: usize = 100;
    let gateway = gateway(broker, 1).await;
    let (dead, live) = (
        ObservedTarget::start(Behavior::Refuses),
        [ObservedTarget::start(Behavior::Healthy)],
    );
    send(
        gateway.ingress.address,
        Arc::new(vec![dead.address]),
        many,
        None,
    )
    .await;
    let begun = Instant::now();
    send(gateway.ingress.address, addresses(&live), FEW, None).await;
    arrived(&live, FEW, DRAIN_TIMEOUT).await;
    let name = format!("{FEW} for a live host behind {many} for a dead one");
    figures.add(&name, "s", begun.elapsed().as_secs_f64());
}

/// A dead host with a backlog comes back while nine others are called.
async fn recovery(figures: &mut Figures, broker: BrokerUnderTest<'_>, backlog: usize) {
    let gateway = gateway(broker, 1).await;
    let ingress = gateway.ingress.address;
    let healthy: Vec<ObservedTarget> = (1..TARGETS)
        .map(|_| ObservedTarget::start(Behavior::Healthy))
        .collect();
    let mut back = [ObservedTarget::start(Behavior::Refuses)];
    send(ingress, addresses(&back), backlog, None).await;
    back[0].open();
    let begun = Instant::now();
    let drained = async {
        arrived(&back, backlog, RECOVERY_TIMEOUT).await;
        begun.elapsed()
    };
    // In rounds, until the backlog is gone.
    let load = async {
        let mut all = Times::default();
        let mut arrived_count = 0;
        loop {
            let count = PER_SECOND * 2;
            let accepted = send(ingress, addresses(&healthy), count, RATE).await;
            arrived_count += count;
            arrived(&healthy, arrived_count, DRAIN_TIMEOUT).await;
            let newest = healthy.iter().flat_map(|it| {
                let arrivals = it.arrivals();
                arrivals[arrivals.len() - count / healthy.len()..].to_vec()
            });
            for (number, at) in newest {
                all.record(at.saturating_duration_since(accepted[number]));
            }
            if back[0].count() >= backlog {
                return all;
            }
        }
    };
    let (drained, times) = tokio::join!(drained, load);
    let name = format!("a dead host comes back: {backlog} drained");
    figures.add(&name, "s", drained.as_secs_f64());
    times.add_to(figures, &latency_row("one comes back"));
}

/// Two dispatchers come and go under load.
async fn come_and_go(figures: &mut Figures, broker: BrokerUnderTest<'_>, time: Duration) {
    let mut gateway = gateway(broker, 1).await;
    let targets: Vec<ObservedTarget> = (0..TARGETS)
        .map(|_| ObservedTarget::start(Behavior::Healthy))
        .collect();
    let count = callbacks_in(time.max(Duration::from_secs(5)));
    let load = tokio::spawn(send(
        gateway.ingress.address,
        addresses(&targets),
        count,
        RATE,
    ));
    for _ in 0..2 {
        gateway.add_dispatcher().await;
    }
    for _ in 0..2 {
        let mut instance = gateway.dispatchers.remove(0);
        instance.process.sigterm();
        let ended = instance.process.wait_exit(DRAIN_TIMEOUT).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    load.await.expect("the callers");
    arrived(&targets, count, DRAIN_TIMEOUT).await;
    // A duplicate would arrive soon.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let numbers: Vec<usize> = targets
        .iter()
        .flat_map(ObservedTarget::arrivals)
        .map(|it| it.0)
        .collect();
    let distinct = numbers.iter().collect::<HashSet<_>>().len();
    figures.add(
        "2 dispatchers come and go: lost",
        "",
        (count - distinct) as f64,
    );
    figures.add(
        "2 dispatchers come and go: twice",
        "",
        (numbers.len() - distinct) as f64,
    );
}
