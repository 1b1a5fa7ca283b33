//! Erases personal data of callbacks that have ended: message, URL, `caller_no`, the answers of targets and
//! what was said of them in words.

use broker::Broker;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use journal::{CancelOutcome, EraseOutcome, Journal, JournalError};
use uuid::Uuid;

use super::cancel;
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{BulkAct, BulkRequest, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::error::ApiError;

/// How many ids are handled concurrently.
const MAX_CONCURRENT: usize = 16;

/// One step. What waits is cancelled first, where that is asked for: a step that cancels erases
/// nothing, so that the erasure meets all of it.
pub(super) async fn step(
    broker: &Broker,
    journal: &Journal,
    request: BulkRequest,
) -> Result<BulkView, ApiError> {
    let Some(actor) = request.actor else {
        return Ok(BulkView::default());
    };
    let mut view = BulkView {
        next: request.after,
        ..BulkView::default()
    };
    match &request.selection {
        Selection::Matching { filter, limit } => {
            if request.cancel && request.after.is_none() {
                let many = cancel::matching(broker, journal, filter, *limit).await?;
                if !many.is_empty() {
                    view.requested = u64::try_from(many.requested.len()).unwrap_or(u64::MAX);
                    view.more = true;
                    return Ok(view);
                }
            }
            let erased = journal.erase(filter, request.after, *limit).await?;
            view.changed = erased.erased;
            view.next = erased.last.or(request.after);
            view.more = erased.erased >= u64::from(*limit);
        }
        Selection::Ids(ids) => {
            let outcomes: Vec<_> = stream::iter(ids.to_vec())
                .map(|id| one(broker, journal, id, request.cancel))
                .buffered(MAX_CONCURRENT)
                .try_collect()
                .await?;
            for (id, hindrance) in outcomes {
                match hindrance {
                    None => view.changed += 1,
                    Some(hindrance) => view.not_changed.push(hindrance.of(id)),
                }
            }
        }
    }
    let subject = request.selection.describe(BulkAct::Erase);
    let count = usize::try_from(view.changed).unwrap_or(usize::MAX);
    audit::record(Some(journal), AuditAction::Erase, subject, actor, count).await;
    Ok(view)
}

/// Erases one, and says why not.
async fn one(
    broker: &Broker,
    journal: &Journal,
    id: Uuid,
    cancel: bool,
) -> Result<(Uuid, Option<Hindrance>), JournalError> {
    let mut requested = false;
    if cancel {
        let outcome = cancel::one(broker, journal, id).await?;
        requested = outcome == CancelOutcome::Requested;
    }
    let hindrance = match journal.erase_one(id).await? {
        EraseOutcome::Erased => None,
        EraseOutcome::Waits if requested => Some(Hindrance::CancelRequested),
        EraseOutcome::Waits => Some(Hindrance::Waits),
        EraseOutcome::Unknown => Some(Hindrance::Unknown),
    };
    Ok((id, hindrance))
}
