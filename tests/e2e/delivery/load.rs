//! Ten thousand callbacks are delivered exactly once. Throughput and cost are printed, not
//! asserted.

use std::time::{Duration, Instant};

use tests::process::cpu_time_of;
use tests::{BrokerKind, ExclusiveBroker, GatewayOptions, Scenario};

const CALLBACKS: u32 = 10_000;
const CALLERS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callbacks_are_delivered_exactly_once() {
    let turn = ExclusiveBroker::take().await;
    let mut scenario = Scenario::start(&turn, GatewayOptions::default()).await;
    let cpu = |scenario: &Scenario<'_>| {
        let instances = scenario
            .instances()
            .map(|instance| (instance.role(), instance.process.cpu_time()));
        let mut all: Vec<_> = instances.collect();
        if let ExclusiveBroker::RabbitMq(rabbit) = &turn {
            all.push(("broker", cpu_time_of(rabbit.pid())));
        }
        all
    };
    let before = cpu(&scenario);
    let begun = Instant::now();
    let answers = scenario
        .callers(&["/ok"], CALLERS, CALLBACKS.into())
        .done()
        .await;
    let accepted = begun.elapsed();
    scenario.all_delivered(&answers).await;
    let delivered = begun.elapsed();
    let after = cpu(&scenario);

    let mut took: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    took.sort();
    let each = |((role, before), (_, after)): (&(&str, Duration), &(&str, Duration))| {
        let micros = (*after - *before).as_micros() / u128::from(CALLBACKS);
        format!("{role} {micros}")
    };
    let each: Vec<String> = before.iter().zip(&after).map(each).collect();
    let rate = |time: Duration| f64::from(CALLBACKS) / time.as_secs_f64();
    println!(
        "{CALLBACKS} callbacks, {CALLERS} connections, {:?}, {} profile: {:.0} accepted/s, {:.0} \
         delivered/s; answers {:?} at the median, {:?} for the slowest of 100; CPU us per \
         callback: {}",
        BrokerKind::chosen(),
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        rate(accepted),
        rate(delivered),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        each.join(", "),
    );

    let audit = scenario.settle(&answers).await;
    println!("{audit}");
    let all = usize::try_from(CALLBACKS).unwrap();
    assert_eq!((audit.accepted, audit.delivered), (all, all), "{audit}");
    assert_eq!((audit.repeats, audit.dead), (0, 0), "{audit}");
}
