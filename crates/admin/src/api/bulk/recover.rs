//! Recovers what waits from the journal, after the broker lost its messages.
//!
//! A recovery takes each callback once, because it takes only what was updated before it began. That
//! time is in its entry of the audit log, which is written before the first step: so the same command
//! continues an interrupted recovery, although the queues hold its messages by then.

use std::time::Duration;

use broker::{Broker, Depths};
use journal::{AuditPage, Filter, Journal, JournalError};
use runtime::clock::now_ms;

use super::count;
use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, BulkRequest, Selection};
use crate::api::bulk_view::{BulkCountView, BulkView, Untouched};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::republish;
use crate::api::timestamp;
use crate::doctor::said::say;

/// An interrupted recovery is continued within this time.
const CONTINUED_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// How many of the newest audit entries are searched for it.
const MAX_AUDITS: u32 = 1_000;
/// What precedes the time in the subject of a recovery.
const BEGUN: &str = "updated_before ";

/// A dry run: what can be recovered, what cannot, and what the queues hold.
pub(super) async fn dry_run(
    broker: &Broker,
    journal: &Journal,
    selection: &Selection,
) -> Result<BulkCountView, ApiError> {
    let Selection::Matching { filter, .. } = selection else {
        return Ok(count::view(0, now_ms(), []));
    };
    let now = now_ms();
    let counts = journal.bulk_counts(filter, now).await?;
    let without = counts.unfinished.saturating_sub(counts.recoverable);
    let untouched = [Untouched::some(
        without,
        "no_message",
        "the journal has no message of them: if the queues lost them, they cannot be recovered, and \
         their callers must send them again",
    )];
    let continues = match filter.updated_before {
        None => interrupted(&recent(journal).await?, filter, now),
        Some(_) => None,
    };
    Ok(BulkCountView {
        queued: queued(&broker.depths().borrow()),
        continues,
        ..count::view(counts.recoverable, now, untouched)
    })
}

/// One step.
///
/// # Errors
/// While the queues hold messages of anything but this recovery.
pub(super) async fn step(
    broker: &Broker,
    journal: &Journal,
    request: BulkRequest,
) -> Result<BulkView, ApiError> {
    let (Selection::Matching { filter, limit }, Some(actor)) = (request.selection, request.actor)
    else {
        return Ok(BulkView::default());
    };
    let filter = Filter {
        updated_before: filter.updated_before.or_else(|| Some(now_ms())),
        ..filter
    };
    let selection = Selection::Matching {
        filter: filter.clone(),
        limit,
    };
    let subject = selection.describe(BulkAct::Recover);
    if !has_begun(&recent(journal).await?, &subject) {
        if !request.force {
            refuse_if_queued(&broker.depths().borrow())?;
        }
        begin(journal, &subject, &actor).await;
    }
    let mark = broker.publish_mark();
    let taken = journal.take_recoveries(&filter, limit, now_ms()).await?;
    let published = republish::publish(broker, journal, &taken, mark).await;
    audit::record(
        Some(journal),
        AuditAction::Recover,
        subject,
        actor,
        taken.len(),
    )
    .await;
    Ok(BulkView {
        changed: published.confirmed,
        pending: published.pending,
        // A step may be cut short by its bytes: only an empty one is surely the last.
        more: !taken.is_empty(),
        ..BulkView::default()
    })
}

async fn begin(journal: &Journal, subject: &str, actor: &Actor) {
    let (subject, actor) = (subject.to_owned(), actor.clone());
    audit::record(Some(journal), AuditAction::Recover, subject, actor, 0).await;
}

async fn recent(journal: &Journal) -> Result<AuditPage, JournalError> {
    journal.audit_log(None, MAX_AUDITS).await
}

fn has_begun(audits: &AuditPage, subject: &str) -> bool {
    audits.entries.iter().any(|stored| {
        stored.entry.action == AuditAction::Recover.as_str() && stored.entry.subject == subject
    })
}

/// When the newest recovery with this filter began, if it may be one that was interrupted.
fn interrupted(audits: &AuditPage, filter: &Filter, now: u64) -> Option<u64> {
    let oldest = now.saturating_sub(contract::duration_ms(CONTINUED_WITHIN));
    audits.entries.iter().find_map(|stored| {
        let entry = &stored.entry;
        let is_recent =
            entry.action == AuditAction::Recover.as_str() && entry.occurred_at >= oldest;
        let (_, begun) = entry.subject.split_once(BEGUN).filter(|_| is_recent)?;
        let begun = timestamp::parse(begun).ok()?;
        let same = Selection::Matching {
            filter: Filter {
                updated_before: Some(begun),
                ..filter.clone()
            },
            limit: 1,
        };
        (same.describe(BulkAct::Recover) == entry.subject).then_some(begun)
    })
}

/// The messages of callbacks in all queues, dead letters apart; `None`: unknown.
fn queued(depths: &Depths) -> Option<u64> {
    let all = depths.backlog().plus(depths.delayed);
    let all = all.plus(depths.delivery_limit).plus(depths.unrouted);
    all.current().map(u64::from)
}

fn refuse_if_queued(depths: &Depths) -> Result<(), ApiError> {
    match queued(depths) {
        Some(0) | None => Ok(()),
        Some(count) => Err(ApiError::rejected(
            ProblemCode::QueuesNotEmpty,
            say!(
                "the queues hold {count} messages: recover is for a broker that lost its data. \
                 With force it republishes all the same; what the queues hold is stale then",
                "队列中还有 {count} 条消息：恢复用于丢失了数据的消息队列。加上 force 仍会重新发布，\
                 队列中已有的消息随之作废"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use broker::Depth;

    use super::*;

    #[test]
    fn only_queues_that_are_known_to_be_empty_or_unknown_are_recovered_into() {
        let empty = Depths {
            first: Depth::fresh(0),
            retry: Depth::fresh(0),
            delivery_limit: Depth::fresh(0),
            unrouted: Depth::fresh(0),
            dead: Depth::fresh(7),
            delayed: Depth::fresh(0),
            ..Depths::default()
        };
        assert_eq!(queued(&empty), Some(0));
        assert_eq!(refuse_if_queued(&empty), Ok(()));
        let waiting = Depths {
            delayed: Depth::fresh(2),
            ..empty
        };
        let refused = refuse_if_queued(&waiting).unwrap_err();
        assert!(refused.to_string().contains("hold 2 messages"), "{refused}");
        assert_eq!(queued(&Depths::default()), None);
    }
}
