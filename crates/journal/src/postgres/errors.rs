//! Is it the database that cannot answer now, or are these very records to blame?

use std::future::Future;
use std::time::Duration;

use sqlx::Error;

use crate::journal::JournalError;

/// No row of the partition's day.
const NO_PARTITION: &str = "23514";

/// Longer than the server's own limit on a statement, several times over: only a connection that
/// is gone without a word takes so long.
pub(super) const DEADLINE: Duration = Duration::from_secs(12);

/// Waits for an answer, for so long at most.
pub(super) async fn within<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, JournalError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| judge(&error)),
        Err(_) => Err(JournalError::Unavailable(format!(
            "no answer within {} s",
            deadline.as_secs()
        ))),
    }
}

/// Waits for an answer as long as is usual.
pub(super) async fn ask<T>(
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, JournalError> {
    within(DEADLINE, answer).await
}

/// Whether a row was refused because its day has no partition yet.
pub(super) fn lacks_partition(error: &Error) -> bool {
    // No table has a check of its own, so that the code means nothing else.
    code(error).as_deref() == Some(NO_PARTITION)
}

/// Whether a lock was not to be had in time.
pub(super) fn is_locked(error: &Error) -> bool {
    code(error).as_deref() == Some("55P03")
}

/// Whether the table is not there (any more).
pub(super) fn is_gone(error: &Error) -> bool {
    code(error).as_deref() == Some("42P01")
}

fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

fn judge(error: &Error) -> JournalError {
    let Some(from_database) = error.as_database_error() else {
        return JournalError::Unavailable(error.to_string());
    };
    // Its message alone: the detail may quote the row.
    let code = from_database.code().unwrap_or_default();
    let sentence = format!("{} ({code})", from_database.message());
    // Data that cannot be stored, constraints, limits of the server (a key too long to index).
    let by_data = ["22", "23", "54"].iter().any(|it| code.starts_with(it));
    if by_data && code != NO_PARTITION {
        JournalError::Refused(sentence)
    } else {
        JournalError::Unavailable(sentence)
    }
}
