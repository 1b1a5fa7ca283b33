//! Retries callbacks that wait: takes them under their next hold, and publishes them.

use broker::Broker;
use journal::{Journal, RetryOutcome};
use runtime::clock::now_ms;

use super::take::take_each;
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::error::ApiError;
use crate::api::republish;

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
        Selection::Ids(ids) => {
            let now = now_ms();
            let take = |id| async move {
                Ok(match journal.take_retry(id, now).await? {
                    RetryOutcome::Retry(retry) => Ok(retry),
                    RetryOutcome::NotWaiting => Err(Hindrance::NotWaiting),
                    RetryOutcome::NotKept => Err(Hindrance::NoMessage),
                    RetryOutcome::Unknown => Err(Hindrance::Unknown),
                })
            };
            take_each(ids, take, &mut view).await?
        }
    };
    let published = republish::publish(broker, journal, &taken, mark).await;
    (view.changed, view.pending) = (published.confirmed, published.pending);
    let subject = selection.describe(BulkAct::RetryNow);
    audit::record(Some(journal), action, subject, actor, taken.len()).await;
    Ok(view)
}
