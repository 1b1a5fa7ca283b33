//! Cancels callbacks that wait.

use std::time::Duration;

use broker::{Broker, PublishMark};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use journal::{CancelOutcome, CancelledMany, Filter, Journal, JournalError};
use runtime::clock::now_ms;
use uuid::Uuid;

use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::error::ApiError;

/// A callback that is due within this time may be in an attempt already.
const MARGIN: Duration = Duration::from_secs(2);
/// How many ids are handled concurrently.
const MAX_CONCURRENT: usize = 16;

/// One step.
pub(super) async fn step(
    broker: &Broker,
    journal: &Journal,
    selection: &Selection,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    let mut view = BulkView::default();
    let many = match selection {
        Selection::Matching { filter, limit } => {
            let many = matching(broker, journal, filter, *limit).await?;
            view.more = many.len() >= usize::try_from(*limit).unwrap_or(usize::MAX);
            many
        }
        Selection::Ids(ids) => each(broker, journal, ids, &mut view).await?,
    };
    let count = |ids: &[Uuid]| u64::try_from(ids.len()).unwrap_or(u64::MAX);
    (view.changed, view.requested) = (count(&many.cancelled), count(&many.requested));
    let subject = selection.describe(BulkAct::Cancel);
    audit::record(
        Some(journal),
        AuditAction::Cancel,
        subject,
        actor,
        many.len(),
    )
    .await;
    Ok(view)
}

/// Cancels at most `limit` that match.
pub(super) async fn matching(
    broker: &Broker,
    journal: &Journal,
    filter: &Filter,
    limit: u32,
) -> Result<CancelledMany, JournalError> {
    // Before the cancellation: the message of a later replay stays.
    let mark = broker.publish_mark();
    let many = journal
        .cancel_matching(filter, limit, now_ms(), MARGIN)
        .await?;
    remove(broker, &many.cancelled, mark).await;
    Ok(many)
}

/// Cancels one.
pub(super) async fn one(
    broker: &Broker,
    journal: &Journal,
    id: Uuid,
) -> Result<CancelOutcome, JournalError> {
    let mark = broker.publish_mark();
    let outcome = journal.cancel(id, None, now_ms(), MARGIN).await?;
    if outcome == CancelOutcome::Cancelled {
        remove(broker, &[id], mark).await;
    }
    Ok(outcome)
}

/// What is not removed now ends before its attempt.
async fn remove(broker: &Broker, ids: &[Uuid], mark: PublishMark) {
    let each = ids.iter().map(|id| id.hyphenated().to_string());
    let removing: Vec<_> = each.map(|id| broker.remove_waiting(id, mark)).collect();
    let removals = stream::iter(removing).buffer_unordered(MAX_CONCURRENT);
    removals.for_each(|_| async {}).await;
}

async fn each(
    broker: &Broker,
    journal: &Journal,
    ids: &[Uuid],
    view: &mut BulkView,
) -> Result<CancelledMany, JournalError> {
    let outcomes: Vec<_> = stream::iter(ids.to_vec())
        .map(|id| async move { Ok((id, one(broker, journal, id).await?)) })
        .buffered(MAX_CONCURRENT)
        .try_collect()
        .await?;
    let mut many = CancelledMany::default();
    for (id, outcome) in outcomes {
        match outcome {
            CancelOutcome::Cancelled => many.cancelled.push(id),
            CancelOutcome::Requested => many.requested.push(id),
            CancelOutcome::AlreadyEnded(status) => {
                view.not_changed.push(Hindrance::Ended(status).of(id));
            }
            CancelOutcome::Unknown => view.not_changed.push(Hindrance::Unknown.of(id)),
        }
    }
    Ok(many)
}
