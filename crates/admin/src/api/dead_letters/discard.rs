//! Discards dead letters: they are hidden from lists and can never be replayed.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use journal::{Journal, JournalError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::audit::{self, AuditAction};
use crate::api::bulk_request::{Actor, BulkAct, Selection};
use crate::api::bulk_view::BulkView;

/// How many ids are discarded concurrently.
const MAX_CONCURRENT_DISCARDS: usize = 16;

/// The result of a discard.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::api) struct DiscardView {
    discarded: u64,
    /// Whether more dead letters may match.
    more: bool,
    /// Selected ids that are not dead letters (any more), or not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_dead_letters: Vec<Uuid>,
}

impl From<DiscardView> for BulkView {
    fn from(discarded: DiscardView) -> Self {
        Self {
            changed: discarded.discarded,
            more: discarded.more,
            ..Self::default()
        }
    }
}

/// Discards the selected dead letters.
pub(super) async fn discard(
    journal: &Journal,
    selection: &Selection,
    actor: Actor,
) -> Result<DiscardView, JournalError> {
    let mut result = DiscardView::default();
    match selection {
        Selection::Matching { filter, limit } => {
            result.discarded = journal.discard(filter, *limit).await?;
            result.more = result.discarded >= u64::from(*limit);
        }
        Selection::Ids(ids) => {
            let each = stream::iter(ids.to_vec())
                .map(|id| async move { Ok((id, journal.discard_one(id).await?)) });
            let outcomes: Vec<_> = each.buffered(MAX_CONCURRENT_DISCARDS).try_collect().await?;
            for (id, discarded) in outcomes {
                match discarded {
                    true => result.discarded += 1,
                    false => result.not_dead_letters.push(id),
                }
            }
        }
    }
    let subject = selection.describe(BulkAct::Discard);
    let count = usize::try_from(result.discarded).unwrap_or(usize::MAX);
    audit::record(Some(journal), AuditAction::Discard, subject, actor, count).await;
    Ok(result)
}
