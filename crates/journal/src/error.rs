//! Errors of journal operations.

/// The result of every journal operation.
pub type JournalResult<T> = Result<T, JournalError>;

/// A journal operation failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Unreachable or too slow: try again later.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// A query for people was stopped, so that it does not hold the database: one that selects less can succeed.
    #[error("the journal stopped a query: {0}")]
    TooSlow(String),
    /// These records cannot be stored; others can.
    #[error("the journal refuses a record: {0}")]
    Refused(String),
    /// The tables were made by another version of this program. Retrying does not help; the text
    /// says what to do.
    #[error("the journal's schema is incompatible: {0}")]
    Incompatible(String),
}

impl JournalError {
    /// The reason without the kind.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason)
            | Self::TooSlow(reason)
            | Self::Refused(reason)
            | Self::Incompatible(reason) => reason,
        }
    }
}
