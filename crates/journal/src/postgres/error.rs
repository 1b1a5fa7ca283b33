//! Which database errors mean that the journal is unavailable, and which that records are refused.

use std::future::Future;
use std::time::Duration;

use sqlx::Error;

use crate::error::{JournalError, JournalResult};

/// `check_violation`: no partition takes the row.
const NO_PARTITION: &str = "23514";
/// `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";
/// `query_canceled`: by `statement_timeout`.
const QUERY_CANCELED: &str = "57014";
/// `undefined_table`.
const UNDEFINED_TABLE: &str = "42P01";

/// Runs a query with a timeout.
pub(super) async fn with_timeout<T>(
    timeout: Duration,
    query: impl Future<Output = Result<T, Error>>,
) -> JournalResult<T> {
    match tokio::time::timeout(timeout, query).await {
        Ok(result) => result.map_err(|error| classify(&error)),
        Err(_) => Err(JournalError::Unavailable(format!(
            "no response within {} s",
            timeout.as_secs()
        ))),
    }
}

/// Whether a row was refused because its day has no partition yet.
pub(super) fn lacks_partition(error: &Error) -> bool {
    // No table has a check constraint, so the code means nothing else.
    code(error).as_deref() == Some(NO_PARTITION)
}

/// Whether the server stopped the query because it took too long.
pub(super) fn is_stopped(error: &Error) -> bool {
    code(error).as_deref() == Some(QUERY_CANCELED)
}

/// Whether a lock was not available in time.
pub(super) fn is_locked(error: &Error) -> bool {
    code(error).as_deref() == Some(LOCK_NOT_AVAILABLE)
}

/// Whether the session takes no writes: its server is a standby, or was made read-only.
pub(super) fn is_read_only(error: &Error) -> bool {
    code(error).as_deref() == Some(READ_ONLY)
}

/// Whether the table does not exist, or no longer.
pub(super) fn is_undefined_table(error: &Error) -> bool {
    code(error).as_deref() == Some(UNDEFINED_TABLE)
}

fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

fn classify(error: &Error) -> JournalError {
    let Some(database) = error.as_database_error() else {
        return JournalError::Unavailable(error.to_string());
    };
    // Only the message: the detail may quote the row.
    let code = database.code().unwrap_or_default();
    let sentence = format!("{} ({code})", database.message());
    // Data that cannot be stored, constraints, limits of the server (a key too long to index).
    let by_data = ["22", "23", "54"]
        .iter()
        .any(|class| code.starts_with(class));
    if by_data && code != NO_PARTITION {
        JournalError::Refused(sentence)
    } else {
        JournalError::Unavailable(sentence)
    }
}
