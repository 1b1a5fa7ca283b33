//! Cancellation, and the control states that workers read.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use contract::{CallbackStatus, duration_ms};
use sqlx::postgres::PgRow;
use sqlx::{Error, Row as _};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::row::{code, status, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::CANCELLED;
use crate::model::{CancelOutcome, ControlState, MAX_CANCELLED};
use crate::store::ControlStore;

/// Cancels the callback. Of later records of this generation, only a delivery wins over it.
const CANCEL: &str = "
UPDATE callbacks SET progress = $2, updated_at = $3, tiebreak = 0, status = $4, reason = NULL,
    deferred_reason = NULL, next_attempt_at = NULL, dead_letter = NULL, dead_letter_since = NULL,
    replay_taken_at = NULL, cancel_requested_at = $3, unaccounted_from = NULL, unaccounted_at = NULL
WHERE request_id = $1";

#[async_trait]
impl ControlStore for PostgresJournal {
    async fn control_states(
        &self,
        request_ids: &[Uuid],
    ) -> JournalResult<HashMap<Uuid, ControlState>> {
        let query = async {
            let rows = sqlx::query(
                "SELECT request_id, generation, status, cancel_requested, discarded \
                 FROM callbacks WHERE request_id = ANY($1)",
            )
            .bind(request_ids)
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(control_state).collect()
        };
        self.run(query).await
    }

    async fn cancel(
        &self,
        request_id: Uuid,
        app_id: Option<&str>,
        now: u64,
        margin: Duration,
    ) -> JournalResult<CancelOutcome> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let found = sqlx::query(
                "SELECT status, next_attempt_at, app_id FROM callbacks \
                 WHERE request_id = $1 FOR UPDATE",
            )
            .bind(request_id)
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(found) = found else {
                return Ok(CancelOutcome::Unknown);
            };
            let owner: &str = found.try_get("app_id")?;
            if app_id.is_some_and(|app| app != owner) {
                return Ok(CancelOutcome::Unknown);
            }
            let status = status(&found)?;
            let in_flight_until = bigint(now.saturating_add(duration_ms(margin)));
            let outcome =
                CancelOutcome::of(status, found.try_get("next_attempt_at")?, in_flight_until);
            match outcome {
                CancelOutcome::Cancelled if status != CallbackStatus::Cancelled => {
                    let update = sqlx::query(CANCEL)
                        .bind(request_id)
                        .bind(CANCELLED)
                        .bind(bigint(now))
                        .bind(code(CallbackStatus::Cancelled));
                    update.execute(&mut *transaction).await?;
                }
                CancelOutcome::Requested => {
                    let update = sqlx::query(
                        "UPDATE callbacks SET cancel_requested = true, cancel_requested_at = $2 \
                         WHERE request_id = $1",
                    )
                    .bind(request_id)
                    .bind(bigint(now));
                    update.execute(&mut *transaction).await?;
                }
                CancelOutcome::Cancelled
                | CancelOutcome::AlreadyEnded(_)
                | CancelOutcome::Unknown => {
                    return Ok(outcome);
                }
            }
            transaction.commit().await?;
            Ok(outcome)
        })
        .await
    }

    async fn cancelled_since(&self, since: u64) -> JournalResult<Vec<(Uuid, u32)>> {
        let query = sqlx::query(
            "SELECT request_id, generation FROM callbacks WHERE cancel_requested_at >= $1 \
             ORDER BY cancel_requested_at DESC LIMIT $2",
        )
        .bind(bigint(since))
        .bind(i64::from(MAX_CANCELLED))
        .try_map(|row: PgRow| Ok((row.try_get("request_id")?, unsigned(&row, "generation")?)));
        self.run(query.fetch_all(&self.pool)).await
    }
}

fn control_state(row: &PgRow) -> Result<(Uuid, ControlState), Error> {
    let status = status(row)?;
    let cancel_requested: bool = row.try_get("cancel_requested")?;
    let state = ControlState {
        generation: unsigned(row, "generation")?,
        status,
        cancelled: cancel_requested || status == CallbackStatus::Cancelled,
        discarded: row.try_get("discarded")?,
    };
    Ok((row.try_get("request_id")?, state))
}
