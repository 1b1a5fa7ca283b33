//! Which database errors mean that the journal is unavailable, and which that records are refused.

use crate::error::JournalError;

/// Converts the error of one piece of work on this file.
pub(super) fn classify(error: &rusqlite::Error, file: &str) -> JournalError {
    use rusqlite::ErrorCode::{ConstraintViolation, OperationInterrupted, TooBig, TypeMismatch};
    let by_data = matches!(
        error.sqlite_error_code(),
        Some(ConstraintViolation | TooBig | TypeMismatch)
    );
    if by_data {
        return JournalError::Refused(error.to_string());
    }
    if error.sqlite_error_code() == Some(OperationInterrupted) {
        return JournalError::TooSlow(error.to_string());
    }
    unavailable(error, file)
}

/// Converts the error of a transaction.
pub(super) fn unavailable(error: &rusqlite::Error, file: &str) -> JournalError {
    JournalError::Unavailable(format!("{error} ({file})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_the_file() {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let error = rusqlite::Error::SqliteFailure(full, None);
        let found = classify(&error, "/data/journal.db").to_string();
        assert!(found.ends_with("full (/data/journal.db)"), "{found}");
    }
}
