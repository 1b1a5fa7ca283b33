//! Which database errors mean that the journal is unavailable, and which that records are refused.

use crate::error::JournalError;

/// Converts the error of one piece of work.
pub(super) fn classify(error: &rusqlite::Error) -> JournalError {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    let by_data = matches!(
        error.sqlite_error_code(),
        Some(ConstraintViolation | TooBig | TypeMismatch)
    );
    if by_data {
        return JournalError::Refused(error.to_string());
    }
    unavailable(error)
}

/// Converts the error of a transaction.
pub(super) fn unavailable(error: &rusqlite::Error) -> JournalError {
    JournalError::Unavailable(error.to_string())
}
