//! Who sends more than is delivered is slowed down, unless that is switched off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{GatewayOptions, GatewayRole, SharedGateway};
use tests::{eventually, http, on_shared_runtime};
use tokio::task::JoinSet;

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

const SLOWED: &str = "ringback_intake_slowed_total{result=\"admitted\"}";
const REFUSED: &str = "ringback_intake_slowed_total{result=\"refused\"}";

fn options(target_delay: &str) -> GatewayOptions {
    GatewayOptions::default().with_ingress("RINGBACK__INGRESS__TARGET_DELAY", target_delay)
}

/// Between two callbacks of a caller. Without it, a fast machine would accept so many times what is
/// delivered that probes come out too seldom to tell a pace.
const PAUSE: Duration = Duration::from_millis(50);

/// Callers that send more than is delivered, and so many that not all of them get their turn in time.
const FEW: usize = 8;
const MANY: usize = 64;

/// Few callbacks at a time, so that its pace is that of its targets: not a hundred a second.
fn with_a_slow_dispatcher(options: GatewayOptions) -> GatewayOptions {
    options.with("RINGBACK__DISPATCHER__FIRST_CONCURRENCY", "2")
}

/// Callers that send this callback one after the other, until they are stopped.
struct Callers {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Callers {
    fn start(fixture: &SharedGateway, callback: &Value, count: usize) -> Self {
        let mut callers = Self {
            stop: Arc::default(),
            accepted: Arc::default(),
            refused: Arc::default(),
            tasks: JoinSet::new(),
        };
        let client = http::client();
        for _ in 0..count {
            let request = client
                .post(fixture.gateway.callback_url())
                .header("content-type", "application/json")
                .body(callback.to_string())
                .build()
                .unwrap();
            let (client, stop) = (client.clone(), Arc::clone(&callers.stop));
            let counts = [&callers.accepted, &callers.refused].map(Arc::clone);
            callers.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let again = request.try_clone().unwrap();
                    let answer = client.execute(again).await.unwrap();
                    let status = answer.status().as_u16();
                    assert!(status == 200 || status == 503, "{status}");
                    if status == 503 {
                        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
                        assert!(!answer.text().await.unwrap().contains("request_id"));
                    }
                    counts[usize::from(status == 503)].fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        callers
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many were accepted.
    async fn accept(&self, count: usize) {
        eventually("accepted callbacks", SOON, async || {
            let accepted = self.accepted();
            (accepted >= count)
                .then_some(())
                .ok_or(accepted.to_string())
        })
        .await;
    }

    /// How many were accepted and refused in all.
    async fn stop(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        (self.accepted(), self.refused.load(Ordering::Relaxed))
    }
}

async fn limit(fixture: &SharedGateway) -> f64 {
    let page = fixture.gateway.metrics(GatewayRole::Ingress).await;
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix("ringback_intake_limit "));
    value.map_or(0.0, |value| value.parse().unwrap())
}

async fn limited(fixture: &SharedGateway) {
    eventually("a limit of the intake", SOON, async || {
        let limit = limit(fixture).await;
        (limit > 0.0).then_some(()).ok_or(limit.to_string())
    })
    .await;
}

async fn open(fixture: &SharedGateway) {
    eventually("an intake without limit", SOON, async || {
        let limit = limit(fixture).await;
        (limit <= 0.0).then_some(()).ok_or(limit.to_string())
    })
    .await;
}

async fn never_slowed(fixture: &SharedGateway) {
    for series in [SLOWED, REFUSED] {
        let count = fixture.metric(GatewayRole::Ingress, series).await;
        assert_eq!(count, 0, "{series}");
    }
}

/// A backlog of what is accepted and not delivered stays bounded by time, not by a count.
#[test]
fn more_than_is_delivered_is_slowed_down_and_refused_until_it_ends() {
    on_shared_runtime(async {
        let options = with_a_slow_dispatcher(options("1s"));
        let fixture = SharedGateway::start(|_| options).await;
        let slow = fixture.callback("/slow/20");
        // Some times what is delivered, no more: what is accepted until the limit is found must be
        // delivered within the test's time, on a slow machine too.
        let few = Callers::start(&fixture, &slow, FEW);
        limited(&fixture).await;
        let many = Callers::start(&fixture, &slow, MANY);
        // Whatever was accepted until the limit is delivered meanwhile; then a callback that is
        // accepted is received soon, although all callers go on.
        eventually("first attempts in time again", SOON, async || {
            let sent = Instant::now();
            let answered = fixture.gateway.post(&slow).await;
            if answered.status != 200 {
                return Err("refused".to_owned());
            }
            fixture.received(&answered.accepted(), 1).await;
            let took = sent.elapsed();
            (took < Duration::from_secs(2))
                .then_some(())
                .ok_or(format!("{took:?}"))
        })
        .await;
        assert!(limit(&fixture).await > 0.0);
        let (accepted, refused) = many.stop().await;
        assert!(refused > 0, "{accepted} accepted");
        few.stop().await;
        let counted = fixture.metric(GatewayRole::Ingress, REFUSED).await;
        assert!(counted > 0);
        open(&fixture).await;
        let id = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&id, 1).await;
    });
}

#[test]
fn without_a_target_delay_nobody_is_slowed_down() {
    on_shared_runtime(async {
        let options = with_a_slow_dispatcher(options("0s"));
        let fixture = SharedGateway::start(|_| options).await;
        let callers = Callers::start(&fixture, &fixture.callback("/slow/50"), 64);
        callers.accept(1_000).await;
        let (_, refused) = callers.stop().await;
        assert_eq!(refused, 0);
        never_slowed(&fixture).await;
    });
}
