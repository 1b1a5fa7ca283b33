//! Sends probes through `first`, and grants turns at the pace that the controller decides.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, PublishError};
use contract::ProbeAnswer;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::controller::{Controller, Decision};
use super::flights::{INTERVAL, ProbeFlights};
use super::turns::Turns;
use crate::metrics::IngressMetrics;
use crate::probe::probe;

/// Between two grants.
const GRANT_INTERVAL: Duration = Duration::from_millis(5);

/// The turns of this time are kept when nobody takes them.
const BURST: Duration = Duration::from_millis(50);

/// Turns are granted late when the machine is busy, but not for a longer time than this.
const MAX_GRANTED: Duration = Duration::from_secs(1);

/// How many refused publishes wait to be noticed.
const MAX_REFUSALS: usize = 64;

/// The turns of the limit in force.
struct Granting {
    /// A second.
    rate: f64,
    /// Until when turns are granted.
    until: Instant,
    /// The part of a turn that is left.
    rest: f64,
    /// The grants since the last decision, and those for which somebody waited.
    grants: (u32, u32),
}

/// Sends probes while callbacks are published, and grants turns, until it is dropped.
pub(super) async fn run(
    broker: Broker,
    target_delay: Duration,
    turns: Arc<Turns>,
    metrics: Arc<IngressMetrics>,
) {
    let started_at = Instant::now();
    let mut replies = broker.replies();
    let mut address = replies.address();
    if address.wait_for(Option::is_some).await.is_err() {
        return; // The broker is closed.
    }
    let mut used_address = None;
    let mut flights = ProbeFlights::default();
    let mut controller = Controller::new(target_delay);
    let mut granting: Option<Granting> = None;
    let (refused, mut refusals) = mpsc::channel(MAX_REFUSALS);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut grants = interval(GRANT_INTERVAL);
    grants.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sample = tokio::select! {
            _ = grants.tick(), if granting.is_some() => {
                if let Some(granting) = &mut granting {
                    granting.grant(&turns);
                }
                continue;
            }
            Some(id) = refusals.recv() => {
                flights.refused(id);
                continue;
            }
            _ = ticks.tick() => {
                let reply_to = address.borrow().clone();
                if reply_to != used_address {
                    // Answers to the last address are lost with its connection.
                    flights.answers_lost();
                    used_address.clone_from(&reply_to);
                }
                let (now, published) = (started_at.elapsed(), turns.published());
                let due = flights.may_send(now, published, granting.is_some());
                if let Some(reply_to) = reply_to.filter(|_| due) {
                    let (id, message) = probe(reply_to);
                    flights.sent(id, now, published);
                    let (broker, refused) = (broker.clone(), refused.clone());
                    // Not awaited here: the answer may come before the confirm.
                    tokio::spawn(async move {
                        if let Err(PublishError::Refused(_)) = broker.publish(message).await {
                            let _ = refused.send(id).await;
                        }
                    });
                }
                None
            }
            bytes = replies.next() => {
                let answer = ProbeAnswer::decode(&bytes);
                let sample = answer.and_then(|it| flights.answered(it.probe_id, started_at.elapsed()));
                if sample.is_none() {
                    continue;
                }
                sample
            }
        };
        let binding = granting.as_mut().is_some_and(Granting::was_binding);
        let decision = controller.decide(started_at.elapsed(), sample, binding);
        let delay = controller.delay().unwrap_or_default();
        metrics.intake(delay, decision.rate());
        apply(decision, &mut granting, &turns, delay);
    }
}

impl Decision {
    /// How many a second are admitted, 0 if all are.
    const fn rate(self) -> f64 {
        match self {
            Self::Open => 0.0,
            Self::Limited(rate) => rate,
        }
    }
}

fn apply(decision: Decision, granting: &mut Option<Granting>, turns: &Turns, delay: Duration) {
    match (decision, granting.as_mut()) {
        (Decision::Limited(rate), Some(granting)) => granting.rate = rate,
        (Decision::Limited(rate), None) => {
            tracing::warn!(
                delay_s = delay.as_secs_f64(),
                per_second = rate,
                "first attempts are late: intake is slowed down to what is received"
            );
            turns.begin();
            *granting = Some(Granting::new(rate));
        }
        (Decision::Open, Some(_)) => {
            tracing::info!("intake is no longer slowed down");
            turns.end();
            *granting = None;
        }
        (Decision::Open, None) => {
            if turns.waiting() > 0 {
                turns.end(); // They had begun to wait when the limit ended.
            }
        }
    }
}

impl Granting {
    fn new(rate: f64) -> Self {
        Self {
            rate,
            until: Instant::now(),
            rest: 0.0,
            grants: (0, 0),
        }
    }

    /// Grants the turns of the time since the last grant.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive, and some seconds of it are far below 2^32"
    )]
    fn grant(&mut self, turns: &Turns) {
        let now = Instant::now();
        let time = now.saturating_duration_since(self.until).min(MAX_GRANTED);
        self.until = now;
        self.rest += self.rate * time.as_secs_f64();
        let whole = self.rest.floor();
        self.rest -= whole;
        let waited = turns.waiting() > 0;
        self.grants.0 += 1;
        self.grants.1 += u32::from(waited);
        let burst = (self.rate * BURST.as_secs_f64()).max(1.0);
        turns.grant(whole as usize, burst as usize);
    }

    /// Whether callbacks waited at most of the grants since the last call.
    fn was_binding(&mut self) -> bool {
        let (all, waited) = std::mem::take(&mut self.grants);
        waited * 2 > all
    }
}
