//! What waits: growth, age, dead letters, unreadable and unrouted messages.

use std::time::Duration;

use broker::Depths;

use crate::doctor::facts::{DeadLetterFacts, Facts, QueueFacts};
use crate::doctor::finding::Finding;

use super::units::{duration, number};

/// A backlog up to this is no reason to look.
const USUAL_BACKLOG: u32 = 100;
/// A shorter time says nothing of growth.
const MIN_OBSERVED: Duration = Duration::from_secs(60);
/// Due for longer is worth a look.
const OVERDUE: Duration = Duration::from_secs(5 * 60);

/// Whether the due work that waits grows.
pub(super) fn growth(queues: &QueueFacts) -> Finding {
    const CHECK: &str = "queues";
    let depths = &queues.depths;
    let Some(now) = depths.backlog().current() else {
        return Finding::unknown(CHECK, "how much waits is not known at present");
    };
    let waiting = format!(
        "{} due callbacks wait ({} first attempts, {} retries)",
        number(now.into()),
        shown(depths.first.last_known()),
        shown(depths.retry.last_known())
    );
    let before = queues.before.first();
    match before.filter(|sample| sample.age >= MIN_OBSERVED) {
        None => Finding::ok(
            CHECK,
            format!("{waiting}; this process has not watched for long enough to see growth"),
        ),
        Some(sample) if now > USUAL_BACKLOG && u64::from(now) * 4 > u64::from(sample.backlog) * 5 => {
            Finding::warning(
                CHECK,
                format!(
                    "{waiting}, {} {} before: the queues grow",
                    number(sample.backlog.into()),
                    duration(sample.age)
                ),
            )
            .next("`ringback targets` shows slow or failing targets; more dispatchers help when all are fast")
            .runbook("the-intake-is-closed")
        }
        Some(sample) => Finding::ok(
            CHECK,
            format!(
                "{waiting}, {} {} before",
                number(sample.backlog.into()),
                duration(sample.age)
            ),
        ),
    }
}

fn shown(depth: Option<u32>) -> String {
    depth.map_or_else(|| "?".to_owned(), |depth| number(depth.into()))
}

/// The callback that has been due for longest.
pub(super) fn oldest_due(facts: &Facts) -> Finding {
    const CHECK: &str = "oldest due";
    let late = |age: Duration, what: String| {
        Finding::warning(CHECK, format!("{what} has been due for {}", duration(age)))
            .next("`ringback callback show ID` says what it waits for")
            .runbook("callbacks-are-late")
    };
    if let Some(age) = facts.queues.depths.oldest_due_age
        && age > OVERDUE
    {
        return late(age, "the oldest message of the queues".to_owned());
    }
    match &facts.journal.due {
        Err(reason) => Finding::unknown(CHECK, format!("the journal does not tell: {reason}")),
        Ok(due) => match &due.oldest {
            Some((id, since)) => {
                let age = Duration::from_millis(facts.now.saturating_sub(*since));
                let others = due.overdue.saturating_sub(1);
                let more = match others {
                    0 => String::new(),
                    others => format!(" (and {} others)", number(others as u64)),
                };
                late(age, format!("{id}{more}"))
            }
            None => Finding::ok(
                CHECK,
                format!("nothing has been due for more than {}", duration(OVERDUE)),
            ),
        },
    }
}

/// Dead letters of the last day.
pub(super) fn dead_letters(found: &Result<DeadLetterFacts, String>) -> Finding {
    const CHECK: &str = "dead letters";
    match found {
        Err(reason) => Finding::unknown(CHECK, format!("the journal does not tell: {reason}")),
        Ok(DeadLetterFacts {
            all,
            since_yesterday: 0,
        }) => Finding::ok(
            CHECK,
            format!("none since yesterday ({} in all)", number(*all)),
        ),
        Ok(DeadLetterFacts {
            all,
            since_yesterday,
        }) => Finding::warning(
            CHECK,
            format!(
                "{} since yesterday ({} in all)",
                number(*since_yesterday),
                number(*all)
            ),
        )
        .next("`ringback dead-letters list` shows why; repair the cause, then replay them")
        .runbook("dead-letters"),
    }
}

/// So many messages, in words.
fn messages(count: u32) -> String {
    match count {
        1 => "1 message".to_owned(),
        _ => format!("{} messages", number(count.into())),
    }
}

/// Messages that cannot be decoded.
pub(super) fn unreadable(depths: &Depths) -> Finding {
    const CHECK: &str = "unreadable";
    let found = |sentence| {
        Finding::warning(CHECK, sentence)
            .next("`ringback unreadable list` says why")
            .runbook("unreadable-messages")
    };
    match depths.unreadable.current() {
        None => Finding::unknown(CHECK, "how many there are is not known at present"),
        Some(0) => Finding::ok(CHECK, "no message is unreadable"),
        Some(count) => found(format!("{} cannot be decoded", messages(count))),
    }
}

/// Messages in the queues that should be empty.
pub(super) fn rescue(depths: &Depths) -> Finding {
    const CHECK: &str = "rescue";
    let (unrouted, limit) = (depths.unrouted.current(), depths.delivery_limit.current());
    match (unrouted, limit) {
        (None, _) | (_, None) => {
            Finding::unknown(CHECK, "how many messages wait for rescue is not known at present")
        }
        (Some(0), Some(0)) => Finding::ok(CHECK, "no message waits for rescue"),
        (Some(0), Some(limit)) => Finding::warning(
            CHECK,
            match limit {
                1 => "1 message was delivered too often without an outcome".to_owned(),
                _ => format!("{} were delivered too often without an outcome", messages(limit)),
            },
        )
        .next("look for dispatchers that crash; they become dead letters (delivery_limit)")
        .runbook("a-dispatcher-crashes-again-and-again"),
        (Some(unrouted), Some(_)) => Finding::failure(
            CHECK,
            format!("{} matched no queue: a binding is missing", messages(unrouted)),
        )
        .next("`ringback topology --check` names it; import the definitions, or let declare = true repair it")
        .runbook("one-queue-is-at-fault"),
    }
}
