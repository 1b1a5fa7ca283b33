//! Can a callback still be withdrawn for certain?

use std::time::Duration;

use sqlx::{Error, PgPool, Row as _};
use uuid::Uuid;

use super::row::{self, code};
use crate::callback::Status;
use crate::fate::Cancelled;
use crate::precedence::{CANCELLED, number};

/// The row ends here, whatever is recorded of this generation later, unless it is a delivery.
const END: &str = "
UPDATE callbacks SET weight = $2, at = $3, tie = 0, status = $4, reason = NULL, waiting_for = NULL,
    next_attempt_at = NULL, dead_letter = NULL, body_since = NULL, replay_taken_at = NULL,
    withdrawn_at = $3
WHERE request_id = $1";

pub(super) async fn cancel(
    pool: &PgPool,
    request_id: Uuid,
    app_id: Option<&str>,
    now: u64,
    margin: Duration,
) -> Result<Cancelled, Error> {
    let mut transaction = pool.begin().await?;
    let found = sqlx::query(
        "SELECT status, next_attempt_at, app_id FROM callbacks WHERE request_id = $1 FOR UPDATE",
    )
    .bind(request_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(found) = found else {
        return Ok(Cancelled::Unknown);
    };
    let owner: &str = found.try_get("app_id")?;
    if app_id.is_some_and(|app| app != owner) {
        return Ok(Cancelled::Unknown);
    }
    match row::status(&found)? {
        Status::Queued | Status::Retrying | Status::Delivering => {}
        Status::Cancelled => return Ok(Cancelled::Certainly),
        ended @ (Status::Delivered | Status::Dead | Status::Expired) => {
            return Ok(Cancelled::Ended(ended));
        }
    }
    let margin = u64::try_from(margin.as_millis()).unwrap_or(u64::MAX);
    let next: Option<i64> = found.try_get("next_attempt_at")?;
    let certain = next.is_some_and(|at| at > number(now.saturating_add(margin)));
    if certain {
        sqlx::query(END)
            .bind(request_id)
            .bind(CANCELLED)
            .bind(number(now))
            .bind(code(Status::Cancelled))
            .execute(&mut *transaction)
            .await?;
    } else {
        sqlx::query(
            "UPDATE callbacks SET cancel_requested = true, withdrawn_at = $2 \
             WHERE request_id = $1",
        )
        .bind(request_id)
        .bind(number(now))
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(if certain {
        Cancelled::Certainly
    } else {
        Cancelled::Perhaps
    })
}
