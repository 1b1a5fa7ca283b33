//! The process: its settings, memory, files and disk.

use runtime::ProcessUsage;

use crate::doctor::facts::{DiskFacts, Facts};
use crate::doctor::finding::Finding;

use super::units::{bytes, number, percent};

/// Above this share of a limit somebody should look.
const HIGH_PERCENT: u64 = 85;

/// Settings that were refused by a reload, here or elsewhere.
pub(super) fn settings(facts: &Facts) -> Finding {
    const CHECK: &str = "settings";
    let own = facts.refused_settings.iter().map(|refused| {
        let at = contract::rfc3339(refused.at);
        format!("this process, at {at}: {}", refused.reason)
    });
    let others = facts.instances.iter().flatten().filter_map(|instance| {
        let refused = instance.refused_settings.as_ref()?;
        Some(format!("{}: {refused}", instance.name))
    });
    let refused: Vec<String> = own.chain(others).collect();
    match refused.is_empty() {
        true => Finding::ok(CHECK, "no reload was refused"),
        false => Finding::failure(
            CHECK,
            format!(
                "new settings were refused, and the previous ones are in force ({})",
                refused.join("; ")
            ),
        )
        .next("correct the file: it is read again by itself (`ringback config` checks it)")
        .runbook("reload-settings"),
    }
}

/// Whether all processes answer.
pub(super) fn processes(facts: &Facts) -> Finding {
    const CHECK: &str = "processes";
    let Some(instances) = &facts.instances else {
        return Finding::unknown(
            CHECK,
            "other processes cannot be asked: the connection to them is down or not open yet",
        );
    };
    match facts.silent.is_empty() {
        true => Finding::ok(CHECK, format!("{} answer", instances.len())),
        false => Finding::warning(
            CHECK,
            format!("no answer from {}", facts.silent.join(", ")),
        )
        .next("it hangs, was killed, or is cut off from RabbitMQ: look at its log and its /readyz"),
    }
}

/// Memory of this process.
pub(super) fn memory(usage: &ProcessUsage) -> Finding {
    const CHECK: &str = "memory";
    let (Some(used), Some(limit)) = (usage.resident_bytes, usage.memory_limit) else {
        return Finding::unknown(CHECK, "this system does not tell the memory of the process");
    };
    let share = percent(used, limit);
    let sentence = format!(
        "this process uses {} of {} ({share} %)",
        bytes(used),
        bytes(limit)
    );
    match share > HIGH_PERCENT {
        true => Finding::warning(CHECK, sentence)
            .next("raise the limit of its container, or lower the concurrency"),
        false => Finding::ok(CHECK, sentence),
    }
}

/// Open files of this process: each connection is one.
pub(super) fn files(usage: &ProcessUsage) -> Finding {
    const CHECK: &str = "files";
    let Some(open) = usage.open_files else {
        return Finding::unknown(
            CHECK,
            "this system does not tell the open files of the process",
        );
    };
    let limit = usage.open_files_limit;
    let sentence = format!("{} of {} files are open", number(open), number(limit));
    match percent(open, limit) > HIGH_PERCENT {
        true => Finding::warning(CHECK, sentence)
            .next("raise the limit of open files (LimitNOFILE, ulimits) and restart"),
        false => Finding::ok(CHECK, sentence),
    }
}

/// The disk of the embedded store.
pub(super) fn disk(disk: DiskFacts) -> Finding {
    const CHECK: &str = "disk";
    let DiskFacts { free, floor } = disk;
    let sentence = format!(
        "{} are free on the disk of the store, the floor is {} (broker.min_free_bytes)",
        bytes(free),
        bytes(floor)
    );
    if free < floor {
        Finding::failure(CHECK, format!("{sentence}: new callbacks are refused"))
            .next("free space on it; it goes on by itself")
            .runbook("memory-or-disk-alarm")
    } else if free < floor.saturating_mul(2) {
        Finding::warning(CHECK, sentence)
            .next("free space on it before new callbacks are refused")
            .runbook("memory-or-disk-alarm")
    } else {
        Finding::ok(CHECK, sentence)
    }
}
