//! What it costs to keep for operators: the messages of what waits, and the answers of targets that
//! refused. Callbacks to targets that all deliver, and with 30 % of them failing, each with keeping on
//! and off, in turn.

use std::time::Duration;

use tests::{GatewayOptions, ScriptedReply};

use super::figures::Figures;
use super::flow::{self, Flow};
use super::rig::{self, Meter, Setup};
use super::sink::Sink;
use super::throughput::{CONNECTIONS, OUTSTANDING, WARM_UP};
use super::{Plan, rate};

/// Of these targets, [`FAILING`] may fail.
const TARGETS: usize = 10;
const FAILING: usize = 3;
/// What a failing target answers with its 500.
const ANSWER: &str = concat!(
    r#"{"error":"the order service is not available","trace":"0af7651916cd43dd8448eb211c80319c","#,
    r#""detail":"java.lang.IllegalStateException: no connection to the database could be had within 30000 ms, "#,
    r#"the pool has 20 connections and 20 of them are in use"}"#
);

/// Measures it.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let mut figures = Figures::default();
    let setups = [Setup::RabbitMqPostgres, Setup::Embedded];
    for _ in 0..plan.repeats {
        for setup in setups {
            for failing in [0, FAILING] {
                for kept in [true, false] {
                    run(&mut figures, setup, failing, kept, plan.seconds).await;
                }
            }
        }
    }
    for setup in setups {
        for failing in [0, FAILING] {
            let cpu = |kept| format!("CPU of all, {}", name(setup, failing, kept));
            let ratio = format!("CPU, kept to not kept, {}", case(setup, failing));
            figures.compare(&ratio, &cpu(true), &cpu(false));
            let delivered = |kept| format!("attempts, {}", name(setup, failing, kept));
            let ratio = format!("attempts/s, kept to not kept, {}", case(setup, failing));
            figures.compare(&ratio, &delivered(true), &delivered(false));
        }
    }
    figures
}

fn case(setup: Setup, failing: usize) -> String {
    let percent = failing * 100 / TARGETS;
    format!("{}, {percent} % failing", setup.name())
}

fn name(setup: Setup, failing: usize, kept: bool) -> String {
    let kept = if kept { "kept" } else { "not kept" };
    format!("{}, {kept}", case(setup, failing))
}

async fn run(figures: &mut Figures, setup: Setup, failing: usize, kept: bool, time: Duration) {
    let node = rig::node(setup).await;
    let options = GatewayOptions {
        // Each has one attempt within the measurement.
        schedule: "900s".to_owned(),
        ..GatewayOptions::default()
    }
    .with("RINGBACK__JOURNAL__KEEP_WAITING", &kept.to_string())
    .with("RINGBACK__JOURNAL__KEEP_ANSWERS", &kept.to_string())
    // An open breaker would stop the failures.
    .with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "0");
    let gateway = rig::gateway(setup, node.as_ref(), options).await;
    let delivering = ScriptedReply::status(204);
    let refusing = ScriptedReply::status(500)
        .header("content-type", "application/json")
        .body(ANSWER);
    let replies = [vec![refusing; failing], vec![delivering; TARGETS - failing]];
    let sink = Sink::answering(replies.concat());
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, WARM_UP).await;
    let meter = Meter::start(setup, node.as_ref(), &gateway).await;
    let attempts = flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, time).await;
    let name = name(setup, failing, kept);
    meter.stop(figures, &name, attempts);
    figures.add(&format!("attempts, {name}"), "/s", rate(attempts, time));
}
