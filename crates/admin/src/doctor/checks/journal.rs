//! The journal: reachable, writable, not behind.

use crate::doctor::facts::QueueFacts;
use crate::doctor::finding::Finding;

use super::units::number;

/// So many batches wait for a moment whenever much is recorded.
const USUAL_BATCHES: u32 = 100;

/// Whether it is reachable and takes writes, as `/readyz` says.
pub(super) fn state(state: &str) -> Finding {
    const CHECK: &str = "journal";
    match state {
        "connected" => Finding::ok(CHECK, "the journal is reachable and takes writes"),
        "none" => Finding::warning(
            CHECK,
            "there is no journal: the query, cancel, Idempotency-Key, dead letters and replay answer 501",
        )
        .next("set journal.url to a PostgreSQL database in every role, and restart"),
        other if other.starts_with("incompatible") => Finding::failure(CHECK, other.to_owned())
            .next("run the version of ringback that the sentence names"),
        other if other.contains("written for") || other.contains("failed for") => {
            Finding::failure(CHECK, format!("it takes no writes: {other}"))
                .next("look for locks, a full disk or a read-only database; records wait meanwhile")
                .runbook("the-journal-takes-no-writes")
        }
        other => Finding::failure(CHECK, format!("it is unreachable: {other}"))
            .next("repair PostgreSQL; callbacks go on, and records wait in the queue")
            .runbook("the-journal-is-unreachable"),
    }
}

/// Whether records wait in the queue.
pub(super) fn backlog(queues: &QueueFacts) -> Finding {
    const CHECK: &str = "journal backlog";
    let Some(waiting) = queues.depths.journal.current() else {
        return Finding::unknown(CHECK, "how many records wait is not known at present");
    };
    let shown = number(waiting.into());
    let before = queues.before.first().map(|sample| sample.journal);
    match before {
        _ if waiting <= USUAL_BATCHES => Finding::ok(CHECK, "the journal is not behind"),
        Some(before) if waiting < before => Finding::warning(
            CHECK,
            format!("{shown} batches of records wait, fewer than before: it catches up"),
        ),
        Some(_) | None => Finding::warning(
            CHECK,
            format!("{shown} batches of records wait: queries know less than what has happened"),
        )
        .next("look at the journal's state; `ringback recorder` adds writers")
        .runbook("the-journal-takes-no-writes"),
    }
}
