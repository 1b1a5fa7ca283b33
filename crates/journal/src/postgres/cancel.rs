//! Cancellation, and the control states that workers read.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use contract::{CallbackStatus, duration_ms};
use sqlx::postgres::PgRow;
use sqlx::{Error, Postgres, QueryBuilder, Row as _, Transaction};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::filter::push_all;
use super::row::{code, status, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::CANCELLED;
use crate::model::{CancelOutcome, CancelledMany, ControlState, Filter, MAX_CANCELLED};
use crate::store::ControlStore;

/// Cancels the callback. Of later records of this generation, only a delivery wins over it.
const CANCEL: &str = "
UPDATE callbacks SET progress = $2, updated_at = $3, tiebreak = 0, status = $4, reason = NULL,
    deferred_reason = NULL, next_attempt_at = NULL, dead_letter = NULL, dead_letter_since = NULL,
    replay_taken_at = NULL, cancel_requested_at = $3, unaccounted_from = NULL, unaccounted_at = NULL
WHERE request_id = ANY($1)";

const REQUEST: &str = "
UPDATE callbacks SET cancel_requested = true, cancel_requested_at = $2 WHERE request_id = ANY($1)";

#[async_trait]
impl ControlStore for PostgresJournal {
    async fn control_states(
        &self,
        request_ids: &[Uuid],
    ) -> JournalResult<HashMap<Uuid, ControlState>> {
        let query = async {
            let rows = sqlx::query(
                "SELECT request_id, generation, hold, status, cancel_requested, discarded \
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
                    cancel_rows(&mut transaction, vec![request_id], now).await?;
                }
                CancelOutcome::Requested => {
                    request_rows(&mut transaction, vec![request_id], now).await?;
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

    /// Rows that another process has locked are skipped: processes share the work.
    async fn cancel_matching(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
        margin: Duration,
    ) -> JournalResult<CancelledMany> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new(
                "SELECT request_id, status, next_attempt_at FROM callbacks \
                 WHERE status IN (0, 1, 6) AND NOT cancel_requested AND ",
            );
            push_all(&mut sql, filter, now);
            sql.push(" ORDER BY request_id LIMIT ")
                .push_bind(i64::from(limit))
                .push(" FOR UPDATE SKIP LOCKED");
            let rows = sql.build().fetch_all(&mut *transaction).await?;
            let in_flight_until = bigint(now.saturating_add(duration_ms(margin)));
            let mut many = CancelledMany::default();
            for row in &rows {
                let next_attempt_at = row.try_get("next_attempt_at")?;
                let outcome = CancelOutcome::of(status(row)?, next_attempt_at, in_flight_until);
                many.add(row.try_get("request_id")?, outcome);
            }
            cancel_rows(&mut transaction, many.cancelled.clone(), now).await?;
            request_rows(&mut transaction, many.requested.clone(), now).await?;
            transaction.commit().await?;
            Ok(many)
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

async fn cancel_rows(
    transaction: &mut Transaction<'_, Postgres>,
    ids: Vec<Uuid>,
    now: u64,
) -> Result<(), Error> {
    let update = sqlx::query(CANCEL)
        .bind(ids)
        .bind(CANCELLED)
        .bind(bigint(now))
        .bind(code(CallbackStatus::Cancelled));
    update.execute(&mut **transaction).await.map(drop)
}

/// They are cancelled when they have to wait again.
async fn request_rows(
    transaction: &mut Transaction<'_, Postgres>,
    ids: Vec<Uuid>,
    now: u64,
) -> Result<(), Error> {
    let update = sqlx::query(REQUEST).bind(ids).bind(bigint(now));
    update.execute(&mut **transaction).await.map(drop)
}

fn control_state(row: &PgRow) -> Result<(Uuid, ControlState), Error> {
    let status = status(row)?;
    let cancel_requested: bool = row.try_get("cancel_requested")?;
    let state = ControlState {
        generation: unsigned(row, "generation")?,
        hold: unsigned(row, "hold")?,
        status,
        cancelled: cancel_requested || status == CallbackStatus::Cancelled,
        discarded: row.try_get("discarded")?,
    };
    Ok((row.try_get("request_id")?, state))
}
