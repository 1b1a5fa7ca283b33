//! Replays dead letters: takes them into their next generation and publishes them.

use broker::Broker;
use futures_util::{StreamExt as _, stream};
use journal::{Journal, JournalError, Replay, ReplayOutcome};
use runtime::clock::now_ms;
use serde::Serialize;
use uuid::Uuid;

use super::republish::{self, PublishedReplays};
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};

/// How many ids are taken concurrently.
const MAX_CONCURRENT_TAKES: usize = 16;

/// The result of a replay.
#[derive(Debug, Default, Serialize)]
pub(super) struct ReplayView {
    /// In the queue again.
    replayed: usize,
    /// Taken, but not confirmed by the broker; published again within about a minute.
    pending: usize,
    /// Whether more dead letters may match.
    more: bool,
    /// Selected ids that are not dead letters (any more), or have no body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_dead_letters: Vec<Uuid>,
    /// Selected ids that the journal does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Uuid>,
}

/// Replays the selected dead letters.
pub(super) async fn replay(
    broker: &Broker,
    journal: &Journal,
    selection: &Selection,
    actor: Actor,
) -> Result<ReplayView, JournalError> {
    let mut result = ReplayView::default();
    let replays = match selection {
        Selection::Matching { filter, limit } => {
            let now = now_ms();
            let taken = journal.take_replays(filter, *limit, now).await?;
            result.more = taken.len() >= usize::try_from(*limit).unwrap_or(usize::MAX);
            taken
        }
        Selection::Ids(ids) => take_each(journal, ids, &mut result).await?,
    };
    let PublishedReplays { confirmed, pending } =
        republish::publish(broker, journal, &replays).await;
    (result.replayed, result.pending) = (confirmed, pending);
    let (subject, count) = (selection.describe(BulkAct::ReplayDead), replays.len());
    audit::record(Some(journal), AuditAction::Replay, subject, actor, count).await;
    Ok(result)
}

/// Takes each id. Those taken before an error are returned for publishing: no other request can
/// take them any more.
async fn take_each(
    journal: &Journal,
    ids: &[Uuid],
    result: &mut ReplayView,
) -> Result<Vec<Replay>, JournalError> {
    let now = now_ms();
    let outcomes: Vec<_> = stream::iter(ids.to_vec())
        .map(|id| async move { (id, journal.take_replay(id, now).await) })
        .buffered(MAX_CONCURRENT_TAKES)
        .collect()
        .await;
    let (mut taken, mut failed) = (Vec::new(), None);
    for (id, outcome) in outcomes {
        match outcome {
            Ok(ReplayOutcome::Replay(replay)) => taken.push(replay),
            Ok(ReplayOutcome::NotDead | ReplayOutcome::NotKept) => result.not_dead_letters.push(id),
            Ok(ReplayOutcome::Unknown) => result.unknown.push(id),
            Err(error) => {
                result.more = true;
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if taken.is_empty() => Err(error),
        Some(_) | None => Ok(taken),
    }
}
