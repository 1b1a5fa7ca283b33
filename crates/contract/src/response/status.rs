//! The status of a callback.

use std::fmt;
use std::str::FromStr;

/// The status of a callback, as callers and operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackStatus {
    /// Waiting for its first attempt.
    Queued,
    /// An attempt is due or running.
    Delivering,
    /// An attempt failed; waiting for the next one.
    Retrying,
    /// The target has answered 2xx.
    Delivered,
    /// Dead-lettered.
    Dead,
    /// Expired before it could be delivered.
    Expired,
    /// Cancelled by its caller or an operator.
    Cancelled,
    /// Its message is nowhere, and no record says how it ended. For operators: its caller is told
    /// the status before.
    Unaccounted,
}

impl CallbackStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Delivering,
        Self::Retrying,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
        Self::Unaccounted,
    ];

    /// The name in answers, tables and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unaccounted => "unaccounted",
        }
    }

    /// Whether only a replay can change it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Delivering | Self::Retrying | Self::Unaccounted => false,
            Self::Delivered | Self::Dead | Self::Expired | Self::Cancelled => true,
        }
    }

    /// Whether it waits for an attempt, or is in one. What is unaccounted does not, although a late
    /// record can still change it.
    pub const fn is_unfinished(self) -> bool {
        match self {
            Self::Queued | Self::Delivering | Self::Retrying => true,
            Self::Delivered | Self::Dead | Self::Expired | Self::Cancelled | Self::Unaccounted => {
                false
            }
        }
    }
}

impl fmt::Display for CallbackStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that is not a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status {0:?}")]
pub struct UnknownStatus(String);

impl FromStr for CallbackStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::CallbackStatus;

    #[test]
    fn a_status_is_parsed_as_it_is_written_and_nothing_else_is() {
        for status in CallbackStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        let error = "shop".parse::<CallbackStatus>().unwrap_err();
        assert_eq!(error.to_string(), "unknown status \"shop\"");
    }
}
