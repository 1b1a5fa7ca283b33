//! What of each recorder's stream is stored.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Error, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::row::unsigned;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    AbsenceEvidence, BatchPart, MAX_RECORDERS, RecorderInfo, RecorderState, StoredSpans,
    generated_at,
};
use crate::store::StreamStore;

/// Adds recorders of which nothing is known yet.
const INSERT: &str = "
INSERT INTO recorders (id, accepts, started_at, seen_at)
SELECT *, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM unnest($1::uuid[], $2::boolean[], $3::bigint[])
ON CONFLICT DO NOTHING";

const UPDATE: &str = "
UPDATE recorders SET
    spans = new.spans, ended_at = new.ended_at, closed = new.closed, settled = new.settled,
    seen_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::boolean[], $5::boolean[])
    AS new (id, spans, ended_at, closed, settled)
WHERE recorders.id = new.id";

#[async_trait]
impl StreamStore for PostgresJournal {
    async fn register(&self, recorder: &RecorderInfo, alone: bool, now: u64) -> JournalResult<()> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            insert(&mut transaction, &[*recorder]).await?;
            if alone {
                sqlx::query(
                    "UPDATE recorders SET ended_at = $2 WHERE ended_at IS NULL AND id <> $1",
                )
                .bind(recorder.id)
                .bind(bigint(now))
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        })
        .await
    }

    async fn absence_evidence(&self, request_id: Uuid) -> JournalResult<AbsenceEvidence> {
        self.run(async {
            // One statement, so that all of it is of the same time.
            let rows = sqlx::query(
                "SELECT claimed, recorders.* FROM (SELECT EXISTS (\
                     SELECT FROM idempotency_keys WHERE request_id = $1) AS claimed) AS claims \
                 LEFT JOIN (\
                     SELECT id, accepts, started_at, seen_at, ended_at, closed, spans \
                     FROM recorders WHERE accepts AND started_at <= $2 \
                         AND (ended_at IS NULL OR ended_at >= $2)) AS recorders ON true",
            )
            .bind(request_id)
            .bind(bigint(generated_at(request_id)))
            .fetch_all(&self.pool)
            .await?;
            let mut evidence = AbsenceEvidence::default();
            for row in &rows {
                evidence.claimed = row.try_get("claimed")?;
                if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
                    evidence.recorders.push(state(row)?);
                }
            }
            Ok(evidence)
        })
        .await
    }

    async fn recorder(&self, id: Uuid) -> JournalResult<Option<RecorderState>> {
        self.run(async {
            let row = sqlx::query(
                "SELECT id, accepts, started_at, seen_at, ended_at, closed, spans FROM recorders \
                 WHERE id = $1",
            )
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
            row.as_ref().map(state).transpose()
        })
        .await
    }

    async fn recorders(&self) -> JournalResult<Vec<RecorderState>> {
        self.run(async {
            let rows = sqlx::query(
                "SELECT id, accepts, started_at, seen_at, ended_at, closed, spans FROM recorders \
                 WHERE NOT settled ORDER BY started_at DESC, id LIMIT $1",
            )
            .bind(i64::from(MAX_RECORDERS))
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(state).collect()
        })
        .await
    }

    async fn end_recorder(&self, id: Uuid, seen_at: u64, ended_at: u64) -> JournalResult<bool> {
        let update = sqlx::query(
            "UPDATE recorders SET ended_at = $3 \
             WHERE id = $1 AND seen_at = $2 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(bigint(seen_at))
        .bind(bigint(ended_at));
        let ended = self.run(update.execute(&self.pool)).await?;
        Ok(ended.rows_affected() == 1)
    }

    async fn forget_recorders(&self, settled: u64, any: u64) -> JournalResult<u64> {
        let delete =
            sqlx::query("DELETE FROM recorders WHERE ended_at < $2 OR (settled AND ended_at < $1)")
                .bind(bigint(settled))
                .bind(bigint(any));
        let forgotten = self.run(delete.execute(&self.pool)).await?;
        Ok(forgotten.rows_affected())
    }
}

/// Notes that these parts are stored. Returns which of their records are known not to have been stored
/// before, in their order. The rows are locked in the order of their ids, the same for all writers, and
/// after those of the callbacks: no deadlock.
pub(super) async fn store_spans(
    transaction: &mut Transaction<'_, Postgres>,
    batches: &[BatchPart],
) -> Result<Vec<bool>, Error> {
    let spans = batches.iter().filter_map(|batch| batch.span);
    let by_recorder: BTreeMap<Uuid, RecorderInfo> = spans
        .map(|span| (span.recorder.id, span.recorder))
        .collect();
    if by_recorder.is_empty() {
        return Ok(Vec::new());
    }
    let mut states = lock(transaction, &by_recorder).await?;
    if states.len() < by_recorder.len() {
        let missing = by_recorder
            .values()
            .filter(|recorder| !states.contains_key(&recorder.id));
        insert(transaction, &missing.copied().collect::<Vec<_>>()).await?;
        states = lock(transaction, &by_recorder).await?;
    }
    let mut is_new = Vec::new();
    for BatchPart { records, span } in batches {
        let state = span.and_then(|span| Some((span, states.get_mut(&span.recorder.id)?)));
        match state {
            Some((span, state)) => is_new.extend(state.add_part(&span, *records)),
            None => is_new.resize(is_new.len() + records, false),
        }
    }
    let states: Vec<&RecorderState> = states.values().collect();
    let ids: Vec<Uuid> = states.iter().map(|state| state.recorder.id).collect();
    let texts: Vec<String> = states.iter().map(|state| state.spans.to_text()).collect();
    let ended: Vec<Option<i64>> = states
        .iter()
        .map(|state| state.ended_at.map(bigint))
        .collect();
    let closed: Vec<bool> = states.iter().map(|state| state.closed).collect();
    let settled: Vec<bool> = states.iter().map(|state| state.is_settled()).collect();
    sqlx::query(UPDATE)
        .bind(ids)
        .bind(texts)
        .bind(ended)
        .bind(closed)
        .bind(settled)
        .execute(&mut **transaction)
        .await?;
    Ok(is_new)
}

async fn lock(
    transaction: &mut Transaction<'_, Postgres>,
    recorders: &BTreeMap<Uuid, RecorderInfo>,
) -> Result<BTreeMap<Uuid, RecorderState>, Error> {
    let ids: Vec<Uuid> = recorders.keys().copied().collect();
    let rows = sqlx::query(
        "SELECT id, accepts, started_at, seen_at, ended_at, closed, spans FROM recorders \
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind(ids)
    .fetch_all(&mut **transaction)
    .await?;
    let states = rows.iter().map(|row| {
        let state = state(row)?;
        Ok((state.recorder.id, state))
    });
    states.collect()
}

async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    recorders: &[RecorderInfo],
) -> Result<(), Error> {
    let ids: Vec<Uuid> = recorders.iter().map(|recorder| recorder.id).collect();
    let accept: Vec<bool> = recorders.iter().map(|recorder| recorder.accepts).collect();
    let started: Vec<i64> = recorders
        .iter()
        .map(|recorder| bigint(recorder.started_at))
        .collect();
    sqlx::query(INSERT)
        .bind(ids)
        .bind(accept)
        .bind(started)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn state(row: &PgRow) -> Result<RecorderState, Error> {
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    Ok(RecorderState {
        recorder: RecorderInfo {
            id: row.try_get("id")?,
            accepts: row.try_get("accepts")?,
            started_at: unsigned(row, "started_at")?,
        },
        seen_at: unsigned(row, "seen_at")?,
        ended_at: ended_at.and_then(|at| u64::try_from(at).ok()),
        closed: row.try_get("closed")?,
        spans: StoredSpans::of_text(row.try_get("spans")?),
    })
}
