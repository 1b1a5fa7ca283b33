//! The JSON that answers a replay of dead letters.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::bulk_view::{BulkView, Hindrance};

/// The result of a replay.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct ReplayView {
    /// In the queue again.
    replayed: u64,
    /// Taken, but not confirmed by the broker; published again within about a minute.
    pending: u64,
    /// Whether more dead letters may match.
    more: bool,
    /// Selected ids that are not dead letters (any more), or have no body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_dead_letters: Vec<Uuid>,
    /// Selected ids that the journal does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Uuid>,
}

impl From<BulkView> for ReplayView {
    fn from(done: BulkView) -> Self {
        let mut view = Self {
            replayed: done.changed,
            pending: done.pending,
            more: done.more,
            ..Self::default()
        };
        for one in done.not_changed {
            match one.reason == Hindrance::Unknown.reason() {
                true => view.unknown.push(one.request_id),
                false => view.not_dead_letters.push(one.request_id),
            }
        }
        view
    }
}
