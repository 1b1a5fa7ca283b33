//! What traces cost: the same load without an exporter and with one of every hundred callers' requests
//! sampled, in turn.

use std::time::Duration;

use tests::GatewayOptions;

use super::figures::Figures;
use super::flow::{self, Flow};
use super::rig::{self, Meter, Setup};
use super::sink::Sink;
use super::throughput::{CONNECTIONS, OUTSTANDING, WARM_UP};
use super::{Plan, rate};

const TARGETS: usize = 16;
/// Of callbacks.
const SAMPLED: &str = "0.01";
const SETUPS: [Setup; 2] = [Setup::RabbitMqPostgres, Setup::Embedded];

/// Measures it.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let mut figures = Figures::default();
    for repeat in 0..plan.repeats {
        for setup in SETUPS {
            // Each is the first one every other time.
            let with_first = repeat % 2 == 1;
            let one = run(&mut figures, setup, with_first, plan.seconds).await;
            let other = run(&mut figures, setup, !with_first, plan.seconds).await;
            let (with, without) = if with_first {
                (one, other)
            } else {
                (other, one)
            };
            let name = setup.name();
            let ratio = format!("CPU, 1 % sampled to off, {name}");
            figures.add(&ratio, "x", with.cpu / without.cpu);
            let ratio = format!("delivered, 1 % sampled to off, {name}");
            figures.add(&ratio, "x", with.delivered / without.delivered);
        }
    }
    figures
}

struct Cost {
    /// Microseconds of each callback, in the gateway's own processes.
    cpu: f64,
    /// Per second.
    delivered: f64,
}

async fn run(figures: &mut Figures, setup: Setup, sampled: bool, time: Duration) -> Cost {
    let node = rig::node(setup).await;
    let collector = Sink::start();
    let mut options = GatewayOptions::default();
    if sampled {
        let endpoint = format!("http://{}/v1/traces", collector.address);
        options = options
            .with("RINGBACK__TELEMETRY__OTLP__ENDPOINT", &endpoint)
            .with("RINGBACK__TELEMETRY__OTLP__RATIO", SAMPLED);
    }
    let gateway = rig::gateway(setup, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, Duration::ZERO);
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, WARM_UP).await;
    let own = || -> Duration {
        let instances = gateway.instances();
        instances
            .map(|instance| tests::process::cpu_time_of(instance.process.pid()))
            .sum()
    };
    let meter = Meter::start(setup, node.as_ref(), &gateway).await;
    let before = own();
    let delivered = flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, time).await;
    let cpu = own().saturating_sub(before).as_secs_f64() * 1e6 / delivered as f64;
    let case = if sampled { "1 % sampled" } else { "off" };
    let name = format!("{}, {case}", setup.name());
    meter.stop(figures, &name, delivered);
    assert_eq!(sampled, collector.count() > 0, "exports to the collector");
    figures.add(&format!("CPU of the gateway, {name}"), "us each", cpu);
    let delivered = rate(delivered, time);
    figures.add(&format!("delivered, {name}"), "/s", delivered);
    Cost { cpu, delivered }
}
