//! Clocks that differ.

use crate::doctor::facts::InstanceFacts;
use crate::doctor::finding::Finding;

/// More is worth correcting.
const MAX_OFFSET_MS: u64 = 2_000;

const NEXT: &str = "correct it (NTP); signatures, expiries and times in the journal depend on it";

/// The clocks of all processes, against the one that is asked.
pub(super) fn instances(instances: Option<&[InstanceFacts]>) -> Finding {
    const CHECK: &str = "clocks";
    let Some(instances) = instances else {
        return Finding::unknown(CHECK, "this process does not know the clocks of the others");
    };
    let skewed = instances
        .iter()
        .filter(|it| it.clock_offset_ms.unsigned_abs() > MAX_OFFSET_MS);
    let named: Vec<String> = skewed
        .map(|it| format!("{} is {}", it.name, ahead(it.clock_offset_ms)))
        .collect();
    match named.is_empty() {
        true => Finding::ok(
            CHECK,
            match instances.len() {
                1 => "no other process answered: there is no clock to compare with".to_owned(),
                several => format!("the clocks of {several} processes agree within 2 s"),
            },
        ),
        false => Finding::warning(CHECK, named.join("; "))
            .next(NEXT)
            .runbook("clocks"),
    }
}

/// The clock of the operator's machine against that of the process: how far it is ahead, at least.
/// `sent` and `received` are times of the operator's clock, `process` one of the process between them;
/// all Unix ms.
pub(crate) fn operator_clock(sent: u64, received: u64, process: u64) -> Finding {
    const CHECK: &str = "your clock";
    // The process answered between the two: a clock between them may be right.
    let offset = if process < sent {
        i64::try_from(sent - process).unwrap_or(i64::MAX)
    } else if process > received {
        -i64::try_from(process - received).unwrap_or(i64::MAX)
    } else {
        0
    };
    match offset.unsigned_abs() > MAX_OFFSET_MS {
        true => Finding::warning(
            CHECK,
            format!(
                "this machine is {} the process that was asked",
                ahead_of(offset)
            ),
        )
        .next(NEXT)
        .runbook("clocks"),
        false => Finding::ok(
            CHECK,
            "this machine and the process that was asked agree within 2 s",
        ),
    }
}

fn ahead(offset_ms: i64) -> String {
    let seconds = offset_ms.unsigned_abs() / 1_000;
    let word = if offset_ms > 0 { "ahead" } else { "behind" };
    format!("{seconds} s {word}")
}

fn ahead_of(offset_ms: i64) -> String {
    match offset_ms > 0 {
        true => format!("{} of", ahead(offset_ms)),
        false => ahead(offset_ms),
    }
}
