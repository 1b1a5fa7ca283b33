//! Clocks that differ.

use crate::doctor::facts::InstanceFacts;
use crate::doctor::finding::Finding;
use crate::doctor::said::{Said, say};

/// More is worth correcting.
const MAX_OFFSET_MS: u64 = 2_000;

/// What to do.
fn next() -> Said {
    say!(
        "correct it (NTP); signatures, expiries and times in the journal depend on it",
        "校准时钟（NTP）；签名、过期和回调记录库中的时间都依赖它"
    )
}

/// The clocks of all processes, against the one that is asked.
pub(super) fn instances(instances: Option<&[InstanceFacts]>) -> Finding {
    const CHECK: &str = "clocks";
    let Some(instances) = instances else {
        return Finding::unknown(
            CHECK,
            say!(
                "this process does not know the clocks of the others",
                "本进程不了解其他进程的时钟"
            ),
        );
    };
    let skewed = instances
        .iter()
        .filter(|it| it.clock_offset_ms.unsigned_abs() > MAX_OFFSET_MS);
    let named: Vec<Said> = skewed
        .map(|it| say!("{0} is {1}", "{0} {1}", it.name, ahead(it.clock_offset_ms)))
        .collect();
    match named.is_empty() {
        true => Finding::ok(
            CHECK,
            match instances.len() {
                1 => say!(
                    "no other process answered: there is no clock to compare with",
                    "没有其他进程应答：没有可比较的时钟"
                ),
                several => say!(
                    "the clocks of {several} processes agree within 2 s",
                    "{several} 个进程的时钟相差不超过 2 秒"
                ),
            },
        ),
        false => Finding::warning(CHECK, Said::join(&named, "; ", "；"))
            .next(next())
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
            say!(
                "this machine is {0} the process that was asked",
                "本机与被询问的进程相比{0}",
                ahead_of(offset)
            ),
        )
        .next(next())
        .runbook("clocks"),
        false => Finding::ok(
            CHECK,
            say!(
                "this machine and the process that was asked agree within 2 s",
                "本机与被询问的进程时钟相差不超过 2 秒"
            ),
        ),
    }
}

fn ahead(offset_ms: i64) -> Said {
    let seconds = offset_ms.unsigned_abs() / 1_000;
    match offset_ms > 0 {
        true => say!("{seconds} s ahead", "快 {seconds} 秒"),
        false => say!("{seconds} s behind", "慢 {seconds} 秒"),
    }
}

fn ahead_of(offset_ms: i64) -> Said {
    match offset_ms > 0 {
        true => say!("{0} of", "{0}", ahead(offset_ms)),
        false => ahead(offset_ms),
    }
}
