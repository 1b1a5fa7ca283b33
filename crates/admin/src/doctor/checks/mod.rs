//! The checks. Each is a function from facts to a finding.

mod broker;
mod certificates;
pub(super) mod clocks;
mod journal;
pub(super) mod nodes;
mod process;
mod queues;
mod targets;
mod units;

#[cfg(test)]
mod tests;

use super::facts::Facts;
use super::finding::Finding;

/// All checks over what one process knows.
pub(crate) fn examine(facts: &Facts) -> Vec<Finding> {
    let findings = [
        broker::connection(facts),
        broker::topology(facts),
        broker::consumers(facts),
        journal::state(&facts.journal.state),
        journal::backlog(&facts.queues),
        queues::growth(&facts.queues),
        queues::oldest_due(facts),
        queues::dead_letters(&facts.journal.dead_letters),
        queues::unreadable(&facts.queues.depths),
        queues::rescue(&facts.queues.depths),
        targets::breakers(&facts.breakers),
        targets::pauses(&facts.pauses, facts.now),
        certificates::expiry(facts),
        process::processes(facts),
        process::settings(facts),
        clocks::instances(facts.instances.as_deref()),
        process::memory(&facts.usage),
        process::files(&facts.usage),
    ];
    let disk = facts.disk.map(process::disk);
    findings.into_iter().chain(disk).collect()
}
