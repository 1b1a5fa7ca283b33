//! What of each recorder's stream is stored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::SystemTime;

use async_trait::async_trait;
use contract::unix_ms;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::row::{id, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    AbsenceEvidence, BatchPart, MAX_RECORDERS, RecorderInfo, RecorderState, StoredSpans,
    generated_at,
};
use crate::store::StreamStore;

#[async_trait]
impl StreamStore for SqliteJournal {
    async fn register(&self, recorder: &RecorderInfo, alone: bool, now: u64) -> JournalResult<()> {
        let recorder = *recorder;
        let work = move |conn: &Connection| {
            insert(conn, &recorder)?;
            if alone {
                conn.prepare_cached(
                    "UPDATE recorders SET ended_at = ?2 WHERE ended_at IS NULL AND id <> ?1",
                )?
                .execute(params![recorder.id.as_bytes(), bigint(now)])?;
            }
            Ok(())
        };
        self.writer.run(work).await
    }

    async fn absence_evidence(&self, request_id: Uuid) -> JournalResult<AbsenceEvidence> {
        let select = move |conn: &Connection| {
            let claimed = conn
                .prepare_cached("SELECT 1 FROM idempotency_keys WHERE request_id = ?1 LIMIT 1")?
                .exists([request_id.as_bytes()])?;
            let mut statement = conn.prepare_cached(
                "SELECT id, accepts, started_at, seen_at, ended_at, closed, spans FROM recorders
                 WHERE accepts AND started_at <= ?1 AND (ended_at IS NULL OR ended_at >= ?1)",
            )?;
            let found = statement.query_map([bigint(generated_at(request_id))], state)?;
            Ok(AbsenceEvidence {
                recorders: found.collect::<Result<_, _>>()?,
                claimed,
            })
        };
        self.reader.run(select).await
    }

    async fn recorder(&self, id: Uuid) -> JournalResult<Option<RecorderState>> {
        self.reader
            .run(move |conn: &Connection| find(conn, id))
            .await
    }

    async fn recorders(&self) -> JournalResult<Vec<RecorderState>> {
        let select = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT id, accepts, started_at, seen_at, ended_at, closed, spans FROM recorders
                 WHERE NOT settled ORDER BY started_at DESC, id LIMIT ?1",
            )?;
            let found = statement.query_map([MAX_RECORDERS], state)?;
            found.collect()
        };
        self.reader.run(select).await
    }

    async fn end_recorder(&self, id: Uuid, seen_at: u64, ended_at: u64) -> JournalResult<bool> {
        let work = move |conn: &Connection| {
            let ended = conn
                .prepare_cached(
                    "UPDATE recorders SET ended_at = ?3
                     WHERE id = ?1 AND seen_at = ?2 AND ended_at IS NULL",
                )?
                .execute(params![id.as_bytes(), bigint(seen_at), bigint(ended_at)])?;
            Ok(ended == 1)
        };
        self.writer.run(work).await
    }

    async fn forget_recorders(&self, settled: u64, any: u64) -> JournalResult<u64> {
        let work = move |conn: &Connection| {
            let forgotten = conn
                .prepare_cached(
                    "DELETE FROM recorders WHERE ended_at < ?2 OR (settled AND ended_at < ?1)",
                )?
                .execute(params![bigint(settled), bigint(any)])?;
            Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
        };
        self.writer.run(work).await
    }
}

/// Notes that these parts are stored. Returns which of their records are known not to have been stored
/// before, in their order.
pub(super) fn store_spans(conn: &Connection, batches: &[BatchPart]) -> rusqlite::Result<Vec<bool>> {
    let (mut states, mut is_new) = (BTreeMap::new(), Vec::new());
    for BatchPart { records, span } in batches {
        let Some(span) = span else {
            is_new.resize(is_new.len() + records, false);
            continue;
        };
        let recorder = span.recorder;
        let state = match states.entry(recorder.id) {
            Entry::Occupied(state) => state.into_mut(),
            Entry::Vacant(place) => {
                let stored = find(conn, recorder.id)?;
                if stored.is_none() {
                    insert(conn, &recorder)?;
                }
                place.insert(stored.unwrap_or_else(|| RecorderState::new(recorder)))
            }
        };
        is_new.extend(state.add_part(span, *records));
    }
    for state in states.values() {
        conn.prepare_cached(
            "UPDATE recorders SET seen_at = ?2, ended_at = ?3, closed = ?4, settled = ?5, spans = ?6
             WHERE id = ?1",
        )?
        .execute(params![
            state.recorder.id.as_bytes(),
            bigint(unix_ms(SystemTime::now())),
            state.ended_at.map(bigint),
            state.closed,
            state.is_settled(),
            state.spans.to_text(),
        ])?;
    }
    Ok(is_new)
}

fn find(conn: &Connection, id: Uuid) -> rusqlite::Result<Option<RecorderState>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, accepts, started_at, seen_at, ended_at, closed, spans FROM recorders
         WHERE id = ?1",
    )?;
    statement.query_row([id.as_bytes()], state).optional()
}

fn insert(conn: &Connection, recorder: &RecorderInfo) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO recorders (id, accepts, started_at, seen_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    statement
        .execute(params![
            recorder.id.as_bytes(),
            recorder.accepts,
            bigint(recorder.started_at),
            bigint(unix_ms(SystemTime::now())),
        ])
        .map(drop)
}

fn state(row: &Row<'_>) -> rusqlite::Result<RecorderState> {
    let ended_at: Option<i64> = row.get(4)?;
    let spans: String = row.get(6)?;
    Ok(RecorderState {
        recorder: RecorderInfo {
            id: id(row, 0)?,
            accepts: row.get(1)?,
            started_at: unsigned(row, 2)?,
        },
        seen_at: unsigned(row, 3)?,
        ended_at: ended_at.and_then(|at| u64::try_from(at).ok()),
        closed: row.get(5)?,
        spans: StoredSpans::of_text(&spans),
    })
}
