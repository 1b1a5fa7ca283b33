//! Which dead letters a request selects.

use contract::CallbackStatus;
use journal::{Filter, Journal, JournalError};
use runtime::clock::now_ms;

use crate::api::bulk_request::Selection;
use crate::api::view::MatchedView;

/// Counts the selected dead letters.
pub(super) async fn count(
    journal: &Journal,
    selection: &Selection,
) -> Result<MatchedView, JournalError> {
    let now = now_ms();
    let matched = match selection {
        Selection::Matching { filter, .. } => {
            let mut matched = 0;
            for filter in by_status(filter) {
                matched += journal.count(&filter, now).await?;
            }
            matched
        }
        Selection::Ids(ids) => {
            let states = journal.control_states(ids).await?;
            let dead = states
                .values()
                .filter(|state| is_dead_letter(state.status) && !state.discarded);
            u64::try_from(dead.count()).unwrap_or(u64::MAX)
        }
    };
    Ok(MatchedView { matched, now })
}

/// Whether a callback of this status is a dead letter.
pub(super) const fn is_dead_letter(status: CallbackStatus) -> bool {
    matches!(status, CallbackStatus::Dead | CallbackStatus::Expired)
}

/// One filter for each status that a dead letter can have.
pub(super) fn by_status(filter: &Filter) -> Vec<Filter> {
    let with = |status| Filter {
        status: Some(status),
        ..filter.clone()
    };
    match filter.status {
        Some(status) => vec![with(status)],
        None => vec![with(CallbackStatus::Dead), with(CallbackStatus::Expired)],
    }
}
