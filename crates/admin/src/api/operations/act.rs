//! What an operation does.

use crate::api::bulk_request::BulkAct;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperationAct {
    /// Replay of dead letters.
    ReplayDead,
    /// Discard of dead letters.
    Discard,
    /// The next attempt at once, for what waits.
    RetryNow,
    /// Cancellation of what waits.
    Cancel,
    /// Replay of what was delivered or dead-lettered.
    Replay,
    /// The next attempt at once, for all that waits for a callee or target: it is back.
    Expedite,
}

impl OperationAct {
    pub(crate) const ALL: [Self; 6] = [
        Self::ReplayDead,
        Self::Discard,
        Self::RetryNow,
        Self::Cancel,
        Self::Replay,
        Self::Expedite,
    ];

    /// Its name in paths.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ReplayDead => "replay-dead-letters",
            Self::Discard => "discard",
            Self::RetryNow => "retry-now",
            Self::Cancel => "cancel",
            Self::Replay => "replay",
            Self::Expedite => "expedite",
        }
    }

    /// The act of the API.
    pub(super) const fn bulk(self) -> BulkAct {
        match self {
            Self::ReplayDead => BulkAct::ReplayDead,
            Self::Discard => BulkAct::Discard,
            Self::RetryNow | Self::Expedite => BulkAct::RetryNow,
            Self::Cancel => BulkAct::Cancel,
            Self::Replay => BulkAct::Replay,
        }
    }

    /// Whether it is done to dead letters alone.
    pub(crate) const fn is_of_dead_letters(self) -> bool {
        matches!(self, Self::ReplayDead | Self::Discard)
    }

    /// The statuses that it is for if a filter of what waits names none, as in a query string.
    pub(crate) const fn waiting_statuses(self) -> &'static str {
        match self {
            Self::Cancel => "queued,retrying,unaccounted",
            _ => "queued,retrying",
        }
    }
}

#[cfg(test)]
mod tests {
    use journal::Filter;

    use super::*;
    use crate::api::query_params;

    #[test]
    fn what_is_shown_of_an_act_has_the_statuses_that_it_is_done_to() {
        for act in [
            OperationAct::RetryNow,
            OperationAct::Cancel,
            OperationAct::Expedite,
        ] {
            let query = format!("status={}", act.waiting_statuses());
            let (shown, _) = query_params::callbacks(&query).unwrap();
            let done_to = act.bulk().filter(Filter::default()).unwrap();
            assert_eq!(shown.statuses, done_to.statuses, "{act:?}");
        }
    }
}
