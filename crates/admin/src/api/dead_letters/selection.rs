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
        Selection::Matching { filter, .. } => journal.count(&of_dead_letters(filter), now).await?,
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

/// The dead letters among those of the filter.
pub(super) fn of_dead_letters(filter: &Filter) -> Filter {
    let mut filter = filter.clone();
    if filter.status.is_none() && filter.statuses.is_empty() {
        filter.statuses = vec![CallbackStatus::Dead, CallbackStatus::Expired];
    }
    filter
}
