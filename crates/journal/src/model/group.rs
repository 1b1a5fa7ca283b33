//! Callbacks grouped by what they have in common.

use std::str::FromStr as _;

use contract::CallbackStatus;

/// An hour, in ms.
pub(crate) const GROUP_HOUR_MS: u64 = 60 * 60 * 1_000;

/// How many groups are returned: the largest.
pub(crate) const MAX_GROUPS: u32 = 100;

/// By what callbacks are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// By scheme, host and port.
    Target,
    /// By status, and the reason of a dead letter.
    End,
    /// By outcome and HTTP status of the last attempt.
    LastAttempt,
    /// By the hour of the last change: of a dead letter, that of its death.
    Hour,
    /// By what unfinished callbacks wait for.
    Wait,
}

impl GroupBy {
    /// How many entries of an index are looked at. Of the last attempt each needs a look of its own.
    pub(crate) const fn max_examined(self, look: GroupLook) -> u32 {
        match (look, self) {
            (GroupLook::First, Self::LastAttempt) => 1_000,
            (GroupLook::First, _) => 5_000,
            (GroupLook::Further, Self::LastAttempt) => 10_000,
            (GroupLook::Further, _) => 50_000,
        }
    }

    /// Whether the oldest are looked at first, for the time since when they wait.
    pub(crate) const fn oldest_first(self) -> bool {
        matches!(self, Self::Wait)
    }
}

/// How far a page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupLook {
    /// As far as takes no time that a reader notices.
    First,
    /// Ten times as far, for who asks for it.
    Further,
}

/// What an unfinished callback waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitKind {
    /// For nothing: it is due.
    Due,
    /// For the time that its caller asked for.
    Delayed,
    /// For its next attempt after a failure.
    Retrying,
    /// For a limit, a breaker or the end of a pause.
    Deferred,
}

impl WaitKind {
    const ALL: [Self; 4] = [Self::Due, Self::Delayed, Self::Retrying, Self::Deferred];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Delayed => "delayed",
            Self::Retrying => "retrying",
            Self::Deferred => "deferred",
        }
    }
}

/// What the callbacks of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKey {
    /// Their scheme, host and port.
    Target(String),
    /// How they ended, or have not.
    End {
        /// Their status.
        status: CallbackStatus,
        /// Why they were dead-lettered.
        reason: Option<String>,
    },
    /// How their last attempts ended.
    LastAttempt {
        /// The label of the outcome; `None`: none was made, or recorded.
        outcome: Option<String>,
        /// The status of the answer, if there was one.
        http_status: Option<u16>,
        /// One of the causes, if there is one.
        cause: Option<String>,
        /// How many different causes there are.
        causes: u64,
    },
    /// When the hour begins, Unix ms.
    Hour(u64),
    /// What they wait for.
    Wait {
        /// In a word.
        kind: WaitKind,
        /// Why they were deferred.
        reason: Option<String>,
    },
}

/// The columns that make a key, as the adapters read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupColumns {
    pub(crate) first: Option<String>,
    pub(crate) second: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) causes: u64,
}

impl GroupKey {
    /// The key of these columns; `None` if they hold what no adapter writes.
    pub(crate) fn of(by: GroupBy, columns: GroupColumns) -> Option<Self> {
        let GroupColumns {
            first,
            second,
            cause,
            causes,
        } = columns;
        Some(match by {
            GroupBy::Target => Self::Target(first?),
            GroupBy::End => Self::End {
                status: CallbackStatus::from_str(&first?).ok()?,
                reason: second,
            },
            GroupBy::LastAttempt => Self::LastAttempt {
                outcome: first,
                http_status: second.and_then(|status| status.parse().ok()),
                cause,
                causes,
            },
            GroupBy::Hour => Self::Hour(first?.parse::<u64>().ok()?.checked_mul(GROUP_HOUR_MS)?),
            GroupBy::Wait => {
                let name = first?;
                let mut kinds = WaitKind::ALL.into_iter();
                Self::Wait {
                    kind: kinds.find(|kind| kind.as_str() == name)?,
                    reason: second,
                }
            }
        })
    }
}

/// Some callbacks with something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackGroup {
    /// What that is.
    pub key: GroupKey,
    /// How many they are, of those that were looked at.
    pub count: u64,
    /// When the oldest of them was accepted, Unix ms.
    pub oldest_accepted_at: u64,
    /// When the one changed last that has not changed for the longest time, Unix ms.
    pub first_updated_at: u64,
    /// When one of them changed last, Unix ms.
    pub last_updated_at: u64,
}

/// The groups of callbacks that match a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackGroups {
    /// The largest groups, the largest first.
    pub groups: Vec<CallbackGroup>,
    /// How many callbacks were counted, those of further groups among them.
    pub examined: u64,
    /// The look ended at callbacks that were accepted at this time (Unix ms): older ones, or of [`GroupBy::Wait`]
    /// newer ones, are not counted. `None`: all that match are.
    pub looked_to: Option<u64>,
}

/// The SQL of both key columns and the cause, of a row `chosen`; `last` is its last attempt, and `now` is Unix
/// ms. Both adapters' SQL has these words.
pub(crate) fn key_sql(by: GroupBy, status_name: &str, now: i64) -> (String, String, &'static str) {
    let (first, second) = match by {
        GroupBy::Target => ("target".to_owned(), "NULL".to_owned()),
        GroupBy::End => (status_name.to_owned(), "reason".to_owned()),
        GroupBy::LastAttempt => (
            "last_outcome".to_owned(),
            "CAST(last_http_status AS TEXT)".to_owned(),
        ),
        GroupBy::Hour => (
            format!("CAST(updated_at / {GROUP_HOUR_MS} AS TEXT)"),
            "NULL".to_owned(),
        ),
        GroupBy::Wait => {
            let is_due = format!("next_attempt_at IS NULL OR next_attempt_at <= {now}");
            (
                format!(
                    "CASE WHEN {is_due} THEN 'due' WHEN deferred_reason IS NOT NULL THEN 'deferred' \
                     WHEN {status_name} = 'retrying' THEN 'retrying' ELSE 'delayed' END"
                ),
                format!("CASE WHEN {is_due} THEN NULL ELSE deferred_reason END"),
            )
        }
    };
    let cause = match by {
        GroupBy::LastAttempt => "last_cause",
        GroupBy::Target | GroupBy::End | GroupBy::Hour | GroupBy::Wait => "NULL",
    };
    (first, second, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(first: Option<&str>, second: Option<&str>) -> GroupColumns {
        GroupColumns {
            first: first.map(str::to_owned),
            second: second.map(str::to_owned),
            ..GroupColumns::default()
        }
    }

    #[test]
    fn a_key_is_read_from_its_columns_or_not_at_all() {
        let key = |by, first, second| GroupKey::of(by, columns(first, second));
        assert_eq!(
            key(GroupBy::Hour, Some("2"), None),
            Some(GroupKey::Hour(7_200_000))
        );
        assert_eq!(
            key(GroupBy::Wait, Some("deferred"), Some("paused")),
            Some(GroupKey::Wait {
                kind: WaitKind::Deferred,
                reason: Some("paused".to_owned())
            })
        );
        assert_eq!(
            key(GroupBy::LastAttempt, None, None),
            Some(GroupKey::LastAttempt {
                outcome: None,
                http_status: None,
                cause: None,
                causes: 0
            })
        );
        for (by, first) in [
            (GroupBy::Hour, Some("soon")),
            (GroupBy::Hour, Some("9999999999999999999")),
            (GroupBy::End, Some("alive")),
            (GroupBy::Wait, Some("tired")),
            (GroupBy::Target, None),
        ] {
            assert_eq!(key(by, first, None), None, "{by:?} {first:?}");
        }
    }
}
