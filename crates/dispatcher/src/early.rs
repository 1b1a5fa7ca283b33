//! Which message ends, or goes round again, without an attempt?

use crate::attempt::{Bench, Ending, expires_at_ms, unix_ms};
use crate::fates::End;
use crate::{follow_up, record};
use broker::{Lane, Settlement};
use bytes::Bytes;
use contract::{Message, ReplyCode};
use delivery::Reason;
use std::time::{Duration, SystemTime};

/// Looks whether the message is due, still wanted, and not too old.
pub(crate) async fn ending(
    message: &Message,
    body: &Bytes,
    target: &str,
    lane: Lane,
    bench: &Bench,
) -> Option<Ending> {
    let now = unix_ms(SystemTime::now());
    if let Some(early) = due_in(message, now) {
        bench.metrics.parked("not_due");
        let message = follow_up::same_again(message, body.clone());
        return Some(Ending {
            settlement: Settlement::Later {
                delay: early,
                message,
            },
            record: None,
            code: None,
        });
    }
    if lane == Lane::Retry
        && let Some(fates) = &bench.fates
        && let Some(end) = fates.end(message).await
    {
        return Some(ended(message, target, end, now, bench));
    }
    expires_at_ms(message)
        .is_some_and(|expires| expires <= now)
        .then(|| expired(message, target, now, bench))
}

/// How long the message must still wait; a ladder shorter than the wait brings it back too early.
fn due_in(message: &Message, now_ms: u64) -> Option<Duration> {
    let early = message.not_before?.checked_sub(now_ms)?;
    (early > 0).then(|| Duration::from_millis(early))
}

fn ended(message: &Message, target: &str, end: End, now: u64, bench: &Bench) -> Ending {
    let request_id = &message.request_id;
    let record = match end {
        End::Cancelled => {
            bench.metrics.cancelled();
            tracing::info!(%request_id, app_id = message.app_id, "callback withdrawn by its caller; not attempted");
            Some(record::cancelled(message, target.to_owned(), now))
        }
        End::Stale => {
            bench.metrics.stale();
            let generation = message.generation;
            tracing::info!(%request_id, generation, "an old copy of a replayed callback; not attempted");
            None
        }
    };
    Ending {
        settlement: Settlement::Done,
        code: record.is_some().then_some(ReplyCode::GivenUp),
        record,
    }
}

fn expired(message: &Message, target: &str, now: u64, bench: &Bench) -> Ending {
    let reason = Reason::Expired;
    tracing::warn!(
        request_id = %message.request_id, app_id = message.app_id, attempt = message.attempt,
        reason = reason.as_str(), "callback given up before its attempt"
    );
    bench.metrics.dead(reason.as_str());
    let settlement = follow_up::dead(message.clone(), reason);
    let record = record::unattempted(message, target.to_owned(), now, reason, &settlement);
    Ending {
        settlement,
        record: Some(record),
        code: Some(ReplyCode::GivenUp),
    }
}
