//! Dry runs: how many callbacks a request would change, and which it would not touch.

use contract::CallbackStatus;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use journal::{Callback, Filter, Journal};
use runtime::clock::now_ms;
use uuid::Uuid;

use crate::api::bulk_request::{BulkRequest, Selection};
use crate::api::bulk_view::{BulkCountView, Hindrance, Untouched, not_retryable};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::estimate::RetrySample;
use crate::api::query_params::MAX_LIMIT;
use crate::api::reason;
use crate::doctor::said::say;

/// How many ids are read concurrently.
const MAX_CONCURRENT_READS: usize = 8;

/// A dry run of retry now, and whom those are for that would be retried.
pub(super) async fn retries(
    journal: &Journal,
    selection: &Selection,
) -> Result<(BulkCountView, RetrySample), ApiError> {
    let now = now_ms();
    let mut sample = RetrySample::default();
    let filter = match selection {
        Selection::Ids(ids) => {
            let hindrance = |it: &Callback| {
                let hindrance = not_retryable(it, now);
                if hindrance.is_none() {
                    sample.add(it);
                }
                hindrance
            };
            let counted = of_ids(journal, ids, hindrance).await?;
            return Ok((counted, sample));
        }
        Selection::Matching { filter, .. } => filter,
    };
    let leaves_delayed = filter.delayed == Some(false);
    let with_delayed = Filter {
        delayed: filter.delayed.filter(|_| !leaves_delayed),
        ..filter.clone()
    };
    let counts = journal.bulk_counts(&with_delayed, now).await?;
    let delayed = if leaves_delayed { counts.delayed } else { 0 };
    let retried = counts.retryable.saturating_sub(delayed);
    if retried > 0 {
        let newest = journal.list(filter, None, MAX_LIMIT, now).await?;
        let retryable = newest.callbacks.iter();
        for callback in retryable.filter(|it| not_retryable(it, now).is_none()) {
            sample.add(callback);
        }
    }
    let due = counts.recoverable.saturating_sub(counts.retryable);
    let without = counts.unfinished.saturating_sub(counts.recoverable);
    let untouched = [
        Untouched::some(
            due,
            "due",
            "due already and next in line, or about to be cancelled",
        ),
        Untouched::some(
            without,
            "no_message",
            "not failed yet and next in line, or journal.keep_waiting is off: the journal has no \
             message of them",
        ),
        Untouched::some(
            delayed,
            reason::DELAYED,
            "waiting for the time that their callers asked for: deferred_reason delayed selects them",
        ),
    ];
    Ok((view(retried, now, untouched), sample))
}

/// A dry run of a cancellation.
pub(super) async fn cancellations(
    journal: &Journal,
    selection: &Selection,
) -> Result<BulkCountView, ApiError> {
    let filter = match selection {
        Selection::Ids(ids) => return of_ids(journal, ids, not_cancellable).await,
        Selection::Matching { filter, .. } => filter,
    };
    let now = now_ms();
    let counts = journal.bulk_counts(filter, now).await?;
    let requested = counts.matched.saturating_sub(counts.cancellable);
    let untouched = [Untouched::some(
        requested,
        "cancel_requested",
        "about to be cancelled already",
    )];
    Ok(view(counts.cancellable, now, untouched))
}

/// A dry run of a replay.
///
/// # Errors
/// When all that match were delivered, and the message of none is kept.
pub(super) async fn replays(
    journal: &Journal,
    selection: &Selection,
) -> Result<BulkCountView, ApiError> {
    let filter = match selection {
        Selection::Ids(ids) => return of_ids(journal, ids, not_replayable).await,
        Selection::Matching { filter, .. } => filter,
    };
    let now = now_ms();
    let counts = journal.bulk_counts(filter, now).await?;
    let without = counts.matched.saturating_sub(counts.with_message);
    if counts.with_message == 0 && without > 0 {
        return Err(not_kept(filter, without));
    }
    let untouched = [Untouched::some(
        without,
        "not_kept",
        "the journal does not keep their messages, or no longer (journal.keep_delivered, \
         dead_letters.retention)",
    )];
    Ok(view(counts.with_message, now, untouched))
}

fn not_kept(filter: &Filter, count: u64) -> ApiError {
    let asked = filter.status.iter().chain(&filter.statuses);
    let sentence = match asked.copied().all(|it| it == CallbackStatus::Delivered) {
        true => say!(
            "{count} delivered callbacks match, but the journal keeps the message of none: \
             journal.keep_delivered says for how long it does, and it was 0 or has passed",
            "有 {count} 条已送达的回调符合条件，但回调记录库没有保存它们的消息：保存多久由 \
             journal.keep_delivered 决定，当时为 0，或已过期"
        ),
        false => say!(
            "{count} callbacks match, but the journal keeps the message of none",
            "有 {count} 条回调符合条件，但回调记录库没有保存它们的消息"
        ),
    };
    ApiError::rejected(ProblemCode::NotKept, sentence)
}

/// A dry run of an erasure.
pub(super) async fn erasures(
    journal: &Journal,
    request: &BulkRequest,
) -> Result<BulkCountView, ApiError> {
    let filter = match &request.selection {
        Selection::Ids(ids) => {
            let waits = |it: &Callback| it.status.is_unfinished() && !request.cancel;
            return of_ids(journal, ids, |it| waits(it).then_some(Hindrance::Waits)).await;
        }
        Selection::Matching { filter, .. } => filter,
    };
    let filter = Filter {
        discarded: true,
        ..filter.clone()
    };
    let now = now_ms();
    let counts = journal.bulk_counts(&filter, now).await?;
    if request.cancel {
        return Ok(view(counts.matched, now, []));
    }
    let untouched = [Untouched::some(
        counts.unfinished,
        "waits",
        "not ended: cancel them first",
    )];
    let ended = counts.matched.saturating_sub(counts.unfinished);
    Ok(view(ended, now, untouched))
}

pub(super) fn view(
    matched: u64,
    now: u64,
    untouched: impl IntoIterator<Item = Option<Untouched>>,
) -> BulkCountView {
    BulkCountView {
        untouched: untouched.into_iter().flatten().collect(),
        ..BulkCountView::of(matched, now)
    }
}

async fn of_ids(
    journal: &Journal,
    ids: &[Uuid],
    mut hindrance: impl FnMut(&Callback) -> Option<Hindrance>,
) -> Result<BulkCountView, ApiError> {
    let each = stream::iter(ids.to_vec())
        .map(|id| async move { Ok::<_, ApiError>((id, journal.find(id).await?)) });
    let found: Vec<_> = each.buffered(MAX_CONCURRENT_READS).try_collect().await?;
    let mut counted = view(0, now_ms(), []);
    for (id, callback) in found {
        let hindrance = match &callback {
            None => Some(Hindrance::Unknown),
            Some(callback) => hindrance(callback),
        };
        match hindrance {
            None => counted.matched += 1,
            Some(hindrance) => counted.not_changed.push(hindrance.of(id)),
        }
    }
    Ok(counted)
}

fn not_cancellable(callback: &Callback) -> Option<Hindrance> {
    match callback.status {
        ended @ (CallbackStatus::Delivered | CallbackStatus::Dead | CallbackStatus::Expired) => {
            Some(Hindrance::Ended(ended))
        }
        CallbackStatus::Queued
        | CallbackStatus::Delivering
        | CallbackStatus::Retrying
        | CallbackStatus::Cancelled
        | CallbackStatus::Unaccounted => None,
    }
}

fn not_replayable(callback: &Callback) -> Option<Hindrance> {
    match (callback.status, callback.has_message) {
        (CallbackStatus::Delivered, true) => None,
        (CallbackStatus::Delivered, false) => Some(Hindrance::NotKept),
        (CallbackStatus::Dead | CallbackStatus::Expired, true) if !callback.discarded => None,
        _ => Some(Hindrance::NotReplayable),
    }
}
