//! Replays callbacks that were delivered or dead-lettered, while the journal has their messages.

use broker::Broker;
use contract::CallbackStatus;
use futures_util::{StreamExt as _, stream};
use journal::{Filter, Journal, JournalError, Replay, ReplayOutcome};
use runtime::clock::now_ms;
use uuid::Uuid;

use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::dead_letters::{self, PublishedReplays};
use crate::api::error::ApiError;

/// How many ids are taken concurrently.
const MAX_CONCURRENT_TAKES: usize = 16;

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
        Selection::Ids(ids) => take_each(journal, ids, &mut view).await?,
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

/// Takes each id. Those taken before an error are returned for publishing: no other request can take
/// them any more.
async fn take_each(
    journal: &Journal,
    ids: &[Uuid],
    view: &mut BulkView,
) -> Result<Vec<Replay>, JournalError> {
    let now = now_ms();
    let outcomes: Vec<_> = stream::iter(ids.to_vec())
        .map(|id| async move { (id, journal.take_replay(id, now).await) })
        .buffered(MAX_CONCURRENT_TAKES)
        .collect()
        .await;
    let (mut taken, mut failed) = (Vec::new(), None);
    for (id, outcome) in outcomes {
        let hindrance = match outcome {
            Ok(ReplayOutcome::Replay(replay)) => {
                taken.push(replay);
                continue;
            }
            Ok(ReplayOutcome::NotDead) => Hindrance::NotReplayable,
            Ok(ReplayOutcome::NotKept) => Hindrance::NotKept,
            Ok(ReplayOutcome::Unknown) => Hindrance::Unknown,
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
