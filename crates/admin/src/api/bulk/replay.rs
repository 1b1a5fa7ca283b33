//! Replays callbacks that were delivered or dead-lettered, while the journal has their messages: for
//! `callbacks/replay` and `dead-letters/replay`.

use broker::Broker;
use contract::CallbackStatus;
use journal::{Filter, Journal, JournalError, Replay, ReplayOutcome, Replayable};
use runtime::clock::now_ms;

use super::take::take_each;
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::{BulkView, Hindrance};
use crate::api::republish;

/// One step.
pub(in crate::api) async fn step(
    broker: &Broker,
    journal: &Journal,
    (selection, act): (&Selection, BulkAct),
    actor: Actor,
) -> Result<BulkView, JournalError> {
    let mut view = BulkView::default();
    // Before they are taken: what is published later stays.
    let mark = broker.publish_mark();
    let replays = match selection {
        Selection::Matching { filter, limit } => {
            let taken = take_matching(journal, (filter, act), *limit).await?;
            // A step may be cut short by its bytes: only an empty one is surely the last.
            view.more = !taken.is_empty();
            taken
        }
        Selection::Ids(ids) => {
            let now = now_ms();
            let which = match act {
                BulkAct::ReplayDead => Replayable::DeadLetters,
                _ => Replayable::Ended,
            };
            let take = |id| async move {
                Ok(match journal.take_replay(id, which, now).await? {
                    ReplayOutcome::Replay(replay) => Ok(replay),
                    ReplayOutcome::NotDead => Err(Hindrance::NotReplayable),
                    ReplayOutcome::NotKept => Err(Hindrance::NotKept),
                    ReplayOutcome::Unknown => Err(Hindrance::Unknown),
                })
            };
            take_each(ids, take, &mut view).await?
        }
    };
    let published = republish::publish(broker, journal, &replays, mark).await;
    (view.changed, view.pending) = (published.confirmed, published.pending);
    let subject = selection.describe(act);
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
    (filter, act): (&Filter, BulkAct),
    limit: u32,
) -> Result<Vec<Replay>, JournalError> {
    let mut taken = Vec::new();
    for filter in by_status(filter, act) {
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

/// The journal takes delivered callbacks only where a filter asks for them alone. Without a status, dead
/// letters are meant.
fn by_status(filter: &Filter, act: BulkAct) -> Vec<Filter> {
    let dead_letters = [CallbackStatus::Dead, CallbackStatus::Expired];
    let any = act == BulkAct::ReplayDead && filter.status.is_none() && filter.statuses.is_empty();
    let is_asked = |status: &CallbackStatus| {
        filter.status == Some(*status)
            || filter.statuses.contains(status)
            || any && dead_letters.contains(status)
    };
    let all = dead_letters.into_iter().chain([CallbackStatus::Delivered]);
    let one = |status| Filter {
        status: Some(status),
        statuses: Vec::new(),
        ..filter.clone()
    };
    all.filter(is_asked).map(one).collect()
}
