//! Replays callbacks that were delivered or dead-lettered, while the journal has their messages.

use broker::Broker;
use contract::CallbackStatus;
use journal::{Filter, Journal, JournalError, Replay, ReplayOutcome};
use runtime::clock::now_ms;

use super::take::take_each;
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::dead_letters::{self, PublishedReplays};
use crate::api::error::ApiError;

/// One step.
pub(super) async fn step(
    broker: &Broker,
    journal: &Journal,
    selection: &Selection,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    let mut view = BulkView::default();
    let replays = match selection {
        Selection::Matching { filter, limit } => {
            let taken = take_matching(journal, filter, *limit).await?;
            // A step may be cut short by its bytes: only an empty one is surely the last.
            view.more = !taken.is_empty();
            taken
        }
        Selection::Ids(ids) => {
            let now = now_ms();
            let take = |id| async move {
                Ok(match journal.take_replay(id, now).await? {
                    ReplayOutcome::Replay(replay) => Ok(replay),
                    ReplayOutcome::NotDead => Err(Hindrance::NotReplayable),
                    ReplayOutcome::NotKept => Err(Hindrance::NotKept),
                    ReplayOutcome::Unknown => Err(Hindrance::Unknown),
                })
            };
            take_each(ids, take, &mut view).await?
        }
    };
    let PublishedReplays { confirmed, pending } =
        dead_letters::publish(broker, journal, &replays).await;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    (view.changed, view.pending) = (count(confirmed), count(pending));
    let subject = selection.describe(BulkAct::Replay);
    audit::record(
        Some(journal),
        AuditAction::Replay,
        subject,
        actor,
        replays.len(),
    )
    .await;
    Ok(view)
}

/// One status after the other. What is taken is published even if the journal then fails.
async fn take_matching(
    journal: &Journal,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Replay>, JournalError> {
    let mut taken = Vec::new();
    for filter in by_status(filter) {
        let left = limit.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        match journal.take_replays(&filter, left, now_ms()).await {
            Ok(more) => taken.extend(more),
            Err(error) if taken.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(taken)
}

/// The journal takes delivered callbacks only where a filter asks for them alone.
fn by_status(filter: &Filter) -> Vec<Filter> {
    let asked = [
        CallbackStatus::Dead,
        CallbackStatus::Expired,
        CallbackStatus::Delivered,
    ];
    let asked = asked
        .into_iter()
        .filter(|status| filter.status == Some(*status) || filter.statuses.contains(status));
    let one = |status| Filter {
        status: Some(status),
        statuses: Vec::new(),
        ..filter.clone()
    };
    asked.map(one).collect()
}
