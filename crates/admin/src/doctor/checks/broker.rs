//! The broker: reachable, unblocked, complete, consumed.

use broker::ConnectionState;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// Whether the broker is connected and takes messages.
pub(super) fn connection(facts: &Facts) -> Finding {
    const CHECK: &str = "broker";
    let is_embedded = facts.topology.is_none();
    match &facts.publishing {
        ConnectionState::Unusable(reason) => {
            Finding::failure(CHECK, format!("the store is of no use: {reason}"))
                .next("stop the process and copy the data directory before anything else")
                .runbook("the-data-directory-is-damaged")
        }
        ConnectionState::Blocked(reason) if is_embedded => {
            Finding::failure(CHECK, format!("the store takes no new callbacks: {reason}"))
                .next("free space on that disk; it goes on by itself")
                .runbook("memory-or-disk-alarm")
        }
        ConnectionState::Blocked(reason) => Finding::failure(
            CHECK,
            format!("RabbitMQ blocks publishers: {reason}; callers get 503"),
        )
        .next("free memory or disk on its nodes; do not restart dispatchers")
        .runbook("memory-or-disk-alarm"),
        ConnectionState::NeverConnected(_) | ConnectionState::Disconnected(_) => Finding::failure(
            CHECK,
            format!("the broker is unreachable: {}", facts.publishing),
        )
        .next("repair the broker; the processes connect again by themselves")
        .runbook(anchor(&facts.broker)),
        // One of the other connections is not up.
        ConnectionState::Connected if facts.broker.contains("connected: ") => {
            Finding::failure(CHECK, format!("a connection is down: {}", facts.broker))
                .next("repair the broker; the processes connect again by themselves")
                .runbook(anchor(&facts.broker))
        }
        ConnectionState::Connected if facts.broker.contains("blocked: ") => Finding::failure(
            CHECK,
            format!("RabbitMQ blocks publishers: {}", facts.broker),
        )
        .next("free memory or disk on its nodes; do not restart dispatchers")
        .runbook("memory-or-disk-alarm"),
        ConnectionState::Connected if is_embedded => {
            Finding::ok(CHECK, "the embedded store takes callbacks")
        }
        ConnectionState::Connected => {
            Finding::ok(CHECK, "RabbitMQ is connected and takes messages")
        }
    }
}

/// A node that accepts TCP and goes no further has a section of its own.
fn anchor(state: &str) -> &'static str {
    match state.contains("hangs") {
        true => "a-broker-that-hangs",
        false => "the-broker-is-unreachable",
    }
}

/// Whether every exchange and queue is there and answers.
pub(super) fn topology(facts: &Facts) -> Finding {
    const CHECK: &str = "topology";
    match facts.topology.as_deref() {
        None => Finding::ok(CHECK, "the embedded store needs none"),
        Some(_) if !facts.publishing.is_up() => {
            Finding::unknown(CHECK, "it cannot be checked without a connection")
        }
        Some("") => Finding::ok(CHECK, "every exchange and queue exists and answers"),
        Some(faults) => Finding::failure(CHECK, format!("at fault: {faults}"))
            .next("`ringback topology --check` compares them with what is expected")
            .runbook("one-queue-is-at-fault"),
    }
}

/// Whether anybody takes messages from the queues.
pub(super) fn consumers(facts: &Facts) -> Finding {
    const CHECK: &str = "consumers";
    if let Some(instances) = &facts.instances {
        let dispatchers = instances.iter().filter(|it| it.dispatches).count();
        return match dispatchers {
            0 => Finding::failure(CHECK, "no dispatcher answers: nothing is delivered")
                .next("start one (`ringback dispatcher`), or look at its log")
                .runbook("no-dispatcher-consumes"),
            1 => Finding::ok(CHECK, "1 dispatcher answers"),
            several => Finding::ok(CHECK, format!("{several} dispatchers answer")),
        };
    }
    match facts.dispatches && facts.publishing.is_up() {
        true => Finding::ok(CHECK, "this process delivers; others are not known to it"),
        false => Finding::unknown(CHECK, "this process does not know the dispatchers")
            .next("look at the backlog below, and at each dispatcher's /readyz"),
    }
}
