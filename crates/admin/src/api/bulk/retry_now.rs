//! Retries callbacks that wait: takes them under their next hold, and publishes them.

use broker::Broker;
use futures_util::{StreamExt as _, stream};
use journal::{Journal, JournalError, RetryOutcome, WaitingMessage};
use runtime::clock::now_ms;
use uuid::Uuid;

use super::publish;
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::error::ApiError;

/// How many ids are taken concurrently.
const MAX_CONCURRENT_TAKES: usize = 16;

/// One step.
pub(super) async fn step(
    broker: &Broker,
    journal: &Journal,
    selection: &Selection,
    action: AuditAction,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    let mut view = BulkView::default();
    // Before they are taken: what is published later stays.
    let mark = broker.publish_mark();
    let taken = match selection {
        Selection::Matching { filter, limit } => {
            let taken = journal.take_retries(filter, *limit, now_ms()).await?;
            // A step may be cut short by its bytes: only an empty one is surely the last.
            view.more = !taken.is_empty();
            taken
        }
        Selection::Ids(ids) => take_each(journal, ids, &mut view).await?,
    };
    let published = publish::publish(broker, journal, &taken, mark).await;
    (view.changed, view.pending) = (published.confirmed, published.pending);
    let subject = selection.describe(BulkAct::RetryNow);
    audit::record(Some(journal), action, subject, actor, taken.len()).await;
    Ok(view)
}

/// Takes each id. Those taken before an error are returned for publishing: no other request can take
/// them any more.
async fn take_each(
    journal: &Journal,
    ids: &[Uuid],
    view: &mut BulkView,
) -> Result<Vec<WaitingMessage>, JournalError> {
    let now = now_ms();
    let outcomes: Vec<_> = stream::iter(ids.to_vec())
        .map(|id| async move { (id, journal.take_retry(id, now).await) })
        .buffered(MAX_CONCURRENT_TAKES)
        .collect()
        .await;
    let (mut taken, mut failed) = (Vec::new(), None);
    for (id, outcome) in outcomes {
        let hindrance = match outcome {
            Ok(RetryOutcome::Retry(retry)) => {
                taken.push(retry);
                continue;
            }
            Ok(RetryOutcome::NotWaiting) => Hindrance::NotWaiting,
            Ok(RetryOutcome::NotKept) => Hindrance::NoMessage,
            Ok(RetryOutcome::Unknown) => Hindrance::Unknown,
            Err(error) => {
                view.more = true;
                failed = Some(error);
                continue;
            }
        };
        view.not_changed.push(hindrance.of(id));
    }
    match failed {
        Some(error) if taken.is_empty() => Err(error),
        Some(_) | None => Ok(taken),
    }
}
