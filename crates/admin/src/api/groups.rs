//! Callbacks grouped by what they have in common, for the console.

use contract::CallbackStatus;
use journal::{CallbackGroups, Filter, GroupBy, GroupLook};
use runtime::clock::now_ms;

use super::bulk_request::{dead_letter_filter, waiting_filter};
use super::error::ApiError;
use super::query_params;
use super::state::AdminState;

/// Which callbacks are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupScope {
    /// Dead letters.
    DeadLetters,
    /// Those that wait.
    Waiting,
    /// Both.
    Undelivered,
}

impl GroupScope {
    /// Checks that a filter can select such callbacks, and adds what it implies.
    fn filter(self, filter: Filter) -> Result<Filter, ApiError> {
        let dead = [CallbackStatus::Dead, CallbackStatus::Expired];
        let waiting = [CallbackStatus::Queued, CallbackStatus::Retrying];
        let (mut filter, statuses) = match self {
            Self::DeadLetters => (dead_letter_filter(filter)?, dead.to_vec()),
            Self::Waiting => (waiting_filter(filter, false)?, waiting.to_vec()),
            Self::Undelivered => (filter, [waiting, dead].concat()),
        };
        if filter.status.is_none() && filter.statuses.is_empty() {
            filter.statuses = statuses;
        }
        Ok(filter)
    }
}

/// The groups of what a query string selects, as that of the lists.
///
/// # Errors
/// A parameter is unknown or invalid, or the journal cannot be read.
pub(crate) async fn of(
    state: &AdminState,
    query: &str,
    scope: GroupScope,
    by: GroupBy,
    look: GroupLook,
) -> Result<CallbackGroups, ApiError> {
    let (filter, _) = query_params::callbacks(query)?;
    let filter = scope.filter(filter)?;
    let journal = state.journal()?;
    let reading = state.run(async move { Ok(journal.groups(&filter, by, look, now_ms()).await?) });
    reading.await
}
