//! What a change has cost or gained: this build beside the last release, in pairs within one run.

use std::path::Path;
use std::time::Duration;

use tests::GatewayOptions;

use super::figures::Figures;
use super::flow::{self, Flow};
use super::rig::{self, Setup};
use super::sink::Sink;
use super::throughput::{CONNECTIONS, OUTSTANDING, WARM_UP};
use super::{Plan, rate};

const TARGETS: usize = 16;
const SETUPS: [Setup; 3] = [Setup::RabbitMq, Setup::RabbitMqPostgres, Setup::Embedded];

/// Measures both builds: this one, and the baseline.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn measure(plan: Plan, baseline: &Path) -> Figures {
    let mut figures = Figures::default();
    for repeat in 0..plan.repeats {
        for setup in SETUPS {
            // Each is the first one every other time.
            let baseline_first = repeat % 2 == 1;
            let order = [baseline_first, !baseline_first];
            let [one, other] = order.map(|it| it.then_some(baseline));
            let one = run(&mut figures, setup, one, plan.seconds).await;
            let other = run(&mut figures, setup, other, plan.seconds).await;
            let (new, old) = match baseline_first {
                true => (other, one),
                false => (one, other),
            };
            let name = setup.name();
            for (what, new, old) in [
                ("delivered", new.delivered, old.delivered),
                ("CPU of the gateway", new.cpu, old.cpu),
                ("latency meanwhile, p99", new.latency, old.latency),
                ("peak memory of the gateway", new.memory, old.memory),
            ] {
                let row = format!("{what}, this build to the baseline, {name}");
                figures.add(&row, "x", new / old);
            }
        }
    }
    figures
}

/// What one run of a build shows.
struct Cost {
    /// Per second.
    delivered: f64,
    /// Microseconds of each callback, in the gateway's own processes.
    cpu: f64,
    /// From the due time of a POST to the target, in milliseconds.
    latency: f64,
    /// MiB, of all its processes.
    memory: f64,
}

/// `baseline`: the binary to run, instead of this build.
async fn run(figures: &mut Figures, setup: Setup, baseline: Option<&Path>, time: Duration) -> Cost {
    let node = rig::node(setup).await;
    let mut options = GatewayOptions {
        binary: baseline.map(Path::to_owned),
        ..GatewayOptions::default()
    };
    if baseline.is_some() {
        // 0.2.0 does not know it. It is off for the other build as well.
        options
            .absent
            .insert("RINGBACK__INGRESS__CANARY".to_owned());
    }
    let gateway = rig::gateway(setup, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, Duration::ZERO);
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, WARM_UP).await;
    sink.take_latencies();
    let pids: Vec<u32> = gateway.instances().map(|it| it.process.pid()).collect();
    let own = || -> Duration {
        pids.iter()
            .map(|pid| tests::process::cpu_time_of(*pid))
            .sum()
    };
    let before = own();
    let delivered = flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, time).await;
    let cpu = own().saturating_sub(before).as_secs_f64() * 1e6 / delivered as f64;
    let cost = Cost {
        delivered: rate(delivered, time),
        cpu,
        latency: sink.take_latencies().percentile_ms(99.0),
        memory: pids.iter().map(|pid| rig::memory(*pid, "VmHWM:")).sum(),
    };
    let build = if baseline.is_some() {
        "baseline"
    } else {
        "this build"
    };
    let name = format!("{}, {build}", setup.name());
    figures.add(&format!("delivered, {name}"), "/s", cost.delivered);
    figures.add(&format!("CPU of the gateway, {name}"), "us each", cost.cpu);
    figures.add(
        &format!("latency meanwhile, {name}, p99"),
        "ms",
        cost.latency,
    );
    figures.add(&format!("peak memory, {name}"), "MiB", cost.memory);
    cost
}
