//! One app beside another that is greedy or fails, and the throughput of an app alone.

use std::time::{Duration, Instant};

use tests::{BrokerUnderTest, RabbitMq};

use super::target::{Behavior, ObservedTarget};
use super::{Body, DRAIN_TIMEOUT, addresses, arrived, body_after, body_of, gateway, send_bodies};
use crate::Plan;
use crate::figures::{Figures, Times};

/// The victim's callbacks a second.
const VICTIMS_RATE: usize = 50;
/// Twelve targets at their caps fill a queue's slots.
const EVIL_TARGETS: usize = 12;
const TO_EACH: usize = 26;
/// Many, so that no target is at its cap.
const MANY_TARGETS: usize = 100;

/// Measures on this broker, quiet and disturbed in turn.
///
/// # Panics
/// When something is refused, lost, or does not work.
pub(crate) async fn measure(plan: Plan, backlog: usize, rabbit: Option<&RabbitMq>) -> Figures {
    let broker = || rabbit.map_or(BrokerUnderTest::Embedded, BrokerUnderTest::RabbitMq);
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        for disturbance in Disturbance::ALL {
            victim(&mut figures, broker(), disturbance, plan.seconds).await;
        }
        behind_a_burst(&mut figures, broker(), backlog).await;
        for behavior in [Behavior::Healthy, Behavior::Slow] {
            alone(&mut figures, broker(), behavior, backlog / 4).await;
        }
    }
    for disturbance in [Disturbance::GreedyApp, Disturbance::SharedHost] {
        for quantile in ["p50", "p99"] {
            figures.compare(
                &format!("{quantile} of the victim, {} to quiet", disturbance.name()),
                &format!("{}, {quantile}", row(disturbance)),
                &format!("{}, {quantile}", row(Disturbance::Quiet)),
            );
        }
    }
    figures
}

/// What another app does meanwhile.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    Quiet,
    /// It fills all slots with calls that hang.
    GreedyApp,
    /// It opens its breaker at the victim's host.
    SharedHost,
}

impl Disturbance {
    const ALL: [Self; 3] = [Self::Quiet, Self::GreedyApp, Self::SharedHost];

    fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::GreedyApp => "greedy app",
            Self::SharedHost => "shared host",
        }
    }
}

/// The name of the row with the victim's latency.
fn row(disturbance: Disturbance) -> String {
    format!("latency of the victim, {}", disturbance.name())
}

/// A victim at a fixed rate, and what disturbs it.
async fn victim(
    figures: &mut Figures,
    broker: BrokerUnderTest<'_>,
    disturbance: Disturbance,
    time: Duration,
) {
    let gateway = gateway(broker, 1).await;
    let ingress = gateway.ingress.address;
    let good = [ObservedTarget::start(Behavior::HealthyButOnePath)];
    let evil: Vec<ObservedTarget> = match disturbance {
        Disturbance::Quiet | Disturbance::SharedHost => Vec::new(),
        Disturbance::GreedyApp => (0..EVIL_TARGETS)
            .map(|_| ObservedTarget::start(Behavior::Hangs))
            .collect(),
    };
    let hangs = |target, number| body_of("evil", "", target, number);
    let fails = |target, number| body_of("evil", "evil500", target, number + 1_000_000);
    match disturbance {
        Disturbance::Quiet => {}
        Disturbance::GreedyApp => {
            let count = EVIL_TARGETS * TO_EACH;
            send_bodies(ingress, addresses(&evil), count, None, hangs).await;
            arrived(&evil, 250, DRAIN_TIMEOUT).await;
        }
        Disturbance::SharedHost => {
            send_bodies(ingress, addresses(&good), 24, None, fails).await;
            arrived(&good, 20, DRAIN_TIMEOUT).await;
        }
    }
    let before = good[0].count();
    let victims = |target, number| body_of("victim", "", target, number);
    let count = VICTIMS_RATE * usize::try_from(time.as_secs()).expect("a short time");
    let accepted = send_bodies(
        ingress,
        addresses(&good),
        count,
        Some(VICTIMS_RATE as f64),
        victims,
    )
    .await;
    arrived(&good, before + count, DRAIN_TIMEOUT).await;
    // Without those of the other app.
    let arrivals = good[0].arrivals();
    let own = arrivals.into_iter().filter(|(number, _)| *number < count);
    let since = |(number, at): (usize, Instant)| at.saturating_duration_since(accepted[number]);
    let times: Times = own.map(since).collect();
    times.add_to(figures, &row(disturbance));
}

/// A queue that already holds callbacks of an app to targets that hang, with one callback of
/// another app before them and one behind them.
///
/// On RabbitMQ they are accepted while no dispatcher runs. The embedded process is stopped until
/// their delay is over. Both times count from the arrival of the first to that of the last.
async fn behind_a_burst(figures: &mut Figures, broker: BrokerUnderTest<'_>, many: usize) {
    let embedded = matches!(broker, BrokerUnderTest::Embedded);
    let mut gateway = gateway(broker, 1).await;
    let ingress = gateway.ingress.address;
    let good = [ObservedTarget::start(Behavior::Healthy)];
    let evil: Vec<ObservedTarget> = (0..MANY_TARGETS)
        .map(|_| ObservedTarget::start(Behavior::Hangs))
        .collect();
    for mut dispatcher in gateway.dispatchers.drain(..) {
        dispatcher.process.sigterm();
        let ended = dispatcher.process.wait_exit(DRAIN_TIMEOUT).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    let hangs = |target, number| body_after("evil", delay(), target, number);
    let first = |target, _| body_after("victim", delay(), target, 0);
    let last = |target, _| body_after("victim", delay(), target, 1);
    let (hangs, first, last): (Body, Body, Body) = if embedded {
        (hangs, first, last)
    } else {
        (
            |target, number| body_of("evil", "", target, number),
            |target, _| body_of("victim", "", target, 0),
            |target, _| body_of("victim", "", target, 1),
        )
    };
    let begun = Instant::now();
    send_bodies(ingress, addresses(&good), 1, None, first).await;
    send_bodies(ingress, addresses(&evil), many, None, hangs).await;
    send_bodies(ingress, addresses(&good), 1, None, last).await;
    if embedded {
        gateway.ingress.process.sigterm();
        let ended = gateway.ingress.process.wait_exit(DRAIN_TIMEOUT).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(begun.elapsed() < delay(), "a part was due before");
        tokio::time::sleep(delay()).await;
        gateway.restart_ingress().await;
    } else {
        gateway.add_dispatcher().await;
    }
    arrived(&good, 2, DRAIN_TIMEOUT).await;
    let arrivals = good[0].arrivals();
    let at = |wanted| {
        let arrival = arrivals.iter().find(|(number, _)| *number == wanted);
        arrival.expect("both arrived").1
    };
    let waited = at(1).saturating_duration_since(at(0)).as_secs_f64();
    let name = format!("one callback behind {many} over their app's share");
    figures.add(&name, "s", waited);
    figures.add(
        &format!("{name}: served or deferred"),
        "/s",
        many as f64 / waited,
    );
}

/// The delay of what must not be due before all is accepted.
const fn delay() -> Duration {
    Duration::from_secs(10)
}

/// The throughput of an app alone with a burst to many targets: compare it with the version before.
async fn alone(
    figures: &mut Figures,
    broker: BrokerUnderTest<'_>,
    behavior: Behavior,
    count: usize,
) {
    let gateway = gateway(broker, 1).await;
    let targets: Vec<ObservedTarget> = (0..MANY_TARGETS)
        .map(|_| ObservedTarget::start(behavior))
        .collect();
    let begun = Instant::now();
    let one = |target, number| body_of("one", "", target, number);
    send_bodies(
        gateway.ingress.address,
        addresses(&targets),
        count,
        None,
        one,
    )
    .await;
    arrived(&targets, count, DRAIN_TIMEOUT * 2).await;
    let throughput = count as f64 / begun.elapsed().as_secs_f64();
    let name = format!("throughput of an app alone, {} targets", behavior.name());
    figures.add(&name, "/s", throughput);
}
