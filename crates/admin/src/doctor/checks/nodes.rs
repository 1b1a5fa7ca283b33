//! The nodes of RabbitMQ, as their management API shows them.

use crate::doctor::facts::NodeFacts;
use crate::doctor::finding::Finding;

use super::units::{bytes, number, percent};

const CHECK: &str = "broker nodes";
/// Above this share of its limit somebody should look.
const HIGH_PERCENT: u64 = 85;

/// One finding for each node.
#[must_use]
pub fn examine_nodes(nodes: &[NodeFacts]) -> Vec<Finding> {
    nodes.iter().map(node).collect()
}

/// When the management API does not tell.
#[must_use]
pub fn nodes_unknown(reason: &str) -> Finding {
    Finding::unknown(
        CHECK,
        format!("descriptors, memory and disk of RabbitMQ: {reason}"),
    )
    .next("--management URL names the API, for a user with the tag `monitoring`")
}

fn node(node: &NodeFacts) -> Finding {
    let name = &node.name;
    if node.running == Some(false) {
        return Finding::failure(CHECK, format!("{name} does not run"))
            .next("start it; quorum queues need a majority of the nodes")
            .runbook("the-broker-is-unreachable");
    }
    let mut figures = Vec::new();
    let mut high = false;
    if let Some((used, total)) = node.files {
        high |= percent(used, total) > HIGH_PERCENT;
        figures.push(format!("{} of {} descriptors", number(used), number(total)));
    }
    if let Some((used, limit)) = node.memory {
        high |= percent(used, limit) > HIGH_PERCENT;
        figures.push(format!("{} of {} memory", bytes(used), bytes(limit)));
    }
    if let Some((free, limit)) = node.disk {
        high |= free < limit.saturating_mul(2);
        figures.push(format!(
            "{} disk free (limit {})",
            bytes(free),
            bytes(limit)
        ));
    }
    let figures = figures.join(", ");
    let alarms = [
        (node.memory_alarm, "memory alarm"),
        (node.disk_alarm, "disk alarm"),
    ];
    let alarms: Vec<&str> = alarms
        .into_iter()
        .filter_map(|(on, name)| (on == Some(true)).then_some(name))
        .collect();
    let out_of_files = node.files.is_some_and(|(used, total)| used >= total);
    if !alarms.is_empty() {
        return Finding::failure(CHECK, format!("{name}: {} ({figures})", alarms.join(", ")))
            .next("free memory or disk there; RabbitMQ blocks publishers meanwhile")
            .runbook("memory-or-disk-alarm");
    }
    if out_of_files {
        return Finding::failure(
            CHECK,
            format!("{name} is out of file descriptors ({figures})"),
        )
        .next("raise its limit of open files to 65,536 and restart it")
        .runbook("a-broker-that-hangs");
    }
    match (high, figures.is_empty()) {
        (true, _) => Finding::warning(CHECK, format!("{name}: {figures}"))
            .next("give the node more before it raises an alarm or takes no connections")
            .runbook("a-broker-that-hangs"),
        (false, true) => Finding::unknown(CHECK, format!("{name} shows no figures")),
        (false, false) => Finding::ok(CHECK, format!("{name}: {figures}")),
    }
}
