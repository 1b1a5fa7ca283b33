//! Callers that push as hard as they can: what is delivered meanwhile, and how late, with and
//! without `ingress.target_delay`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::figures::Figures;
use super::flow::Flow;
use super::load::{Connection, find};
use super::rig::{self, Setup};
use super::sink::Sink;
use super::{Plan, rate};
use tests::GatewayOptions;

const TARGETS: usize = 16;
const CONNECTIONS: [usize; 3] = [64, 256, 1_000];
const DELAYS: [&str; 2] = ["0s", "1s"];
/// Until a limit has found its pace.
const WARM_UP: Duration = Duration::from_secs(6);

/// What became of what was sent.
#[derive(Default)]
struct Sent {
    accepted: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// Measures both brokers, each number of connections with and without a target delay in turn.
///
/// # Panics
/// When a connection breaks.
pub(crate) async fn measure(plan: Plan, setups: &[Setup]) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        for setup in setups {
            for connections in CONNECTIONS {
                for delay in DELAYS {
                    push(&mut figures, *setup, (connections, delay), plan.seconds).await;
                }
            }
        }
    }
    figures
}

async fn push(
    figures: &mut Figures,
    setup: Setup,
    (connections, delay): (usize, &str),
    time: Duration,
) {
    let node = rig::node(setup).await;
    let options = GatewayOptions::default().with_ingress("RINGBACK__INGRESS__TARGET_DELAY", delay);
    let gateway = rig::gateway(setup, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, Duration::ZERO);
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    let (sent, mut callers) = (Arc::<Sent>::default(), JoinSet::new());
    for _ in 0..connections {
        callers.spawn(keep_sending(flow.clone(), Arc::clone(&sent)));
    }
    tokio::time::sleep(WARM_UP).await;
    sink.take_latencies();
    let counts = || {
        let sent = [&sent.accepted, &sent.refused].map(|count| count.load(Ordering::Relaxed));
        [sent[0], sent[1], sink.count()]
    };
    let (before, begun) = (counts(), Instant::now());
    tokio::time::sleep(time).await;
    let (after, time) = (counts(), begun.elapsed());
    let arrivals = sink.take_latencies();
    sent.stop.store(true, Ordering::Relaxed);
    while let Some(done) = callers.join_next().await {
        done.expect("a caller");
    }
    let name = format!("{}, {connections} connections, {delay}", setup.name());
    for (place, what) in ["accepted", "refused", "delivered"].into_iter().enumerate() {
        let count = after[place] - before[place];
        figures.add(&format!("{what}, {name}"), "/s", rate(count, time));
    }
    let backlog = after[0].saturating_sub(after[2]);
    figures.add(&format!("backlog at the end, {name}"), "", backlog as f64);
    arrivals.add_to(figures, &format!("arrival, {name}"));
}

async fn keep_sending(flow: Flow, sent: Arc<Sent>) {
    let connection = Connection::to(flow.ingress()).await;
    let mut connection = connection.expect("a connection");
    while !sent.stop.load(Ordering::Relaxed) {
        let answer = connection.exchange(&flow.request()).await;
        let accepted = find(answer.expect("an answer"), br#""code":"000""#).is_some();
        let count = if accepted {
            &sent.accepted
        } else {
            &sent.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
