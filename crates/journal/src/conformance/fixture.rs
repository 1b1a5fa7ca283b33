//! What the parts of the suite share: the fixture, and the records of a callback.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use crate::journal::Journal;
use crate::model::{AttemptRecord, Callback, Origin, Record, RecordedState};

/// What an adapter's test gives the suite.
pub trait JournalFixture {
    /// Opens the journal called `name`: empty at first, and with its contents when it is opened
    /// again. The suite migrates it.
    ///
    /// # Errors
    /// What the adapter said.
    fn open(&self, name: &str) -> impl Future<Output = Result<Journal, String>>;

    /// The version of the adapter's schema.
    fn schema_version(&self) -> u32;

    /// Makes a claim of the app `crm` older by so many ms, in a journal that is open.
    fn age_key(&self, name: &str, key: &str, ms: u64) -> impl Future<Output = ()>;

    /// Changes the schema version of a journal that was opened and closed: in PostgreSQL
    /// `UPDATE migrations SET version = ..`, in SQLite `PRAGMA user_version = ..`.
    fn set_schema_version(&self, name: &str, version: u32) -> impl Future<Output = ()>;

    /// Removes from a journal that was opened and closed what the versions after 3 added, so that it
    /// is as 0.2.0 left it.
    fn downgrade_to_version_3(&self, name: &str) -> impl Future<Output = ()>;

    /// The same, of the versions after 5.
    fn downgrade_to_version_5(&self, name: &str) -> impl Future<Output = ()>;
}

pub(super) const SECOND: u64 = 1_000;
pub(super) const HOUR: u64 = 3_600 * SECOND;
pub(super) const DAY: u64 = 24 * HOUR;

/// Opens a journal and creates its tables, twice at once as several processes would.
pub(super) async fn open(fixture: &impl JournalFixture, name: &str) -> Journal {
    let journal = fixture.open(name).await.expect("a journal");
    let (one, other) = tokio::join!(journal.migrate(), journal.migrate());
    one.expect("tables");
    other.expect("tables that exist already");
    journal
}

/// Unix ms.
pub(super) fn now() -> u64 {
    contract::unix_ms(SystemTime::now())
}

/// A new id of version 7, of this time (Unix ms); later calls return greater ids.
pub(super) fn id(at: u64) -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut unique = [0; 10];
    unique[2..].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(at, &unique).into_uuid()
}

/// A callback accepted at this time (Unix ms), with every field set.
pub(super) fn origin(accepted_at: u64) -> Origin {
    Origin {
        request_id: id(accepted_at),
        app_id: "crm".to_owned(),
        caller_no: Some("C001".to_owned()),
        callee_no: Some("T001".to_owned()),
        message_type: "order.paid".to_owned(),
        callback_url: Some("https://callee.example/paid?token=***".to_owned()),
        target: "https://callee.example:443".to_owned(),
        accepted_at,
    }
}

/// A record of the first generation, without an attempt. A dead letter has its body.
pub(super) fn record(origin: &Origin, attempt: u32, at: u64, state: RecordedState) -> Record {
    let is_dead = matches!(state, RecordedState::Dead { .. } | RecordedState::Expired);
    Record {
        origin: origin.clone(),
        generation: 0,
        attempt,
        at,
        state,
        attempted: None,
        hold: 0,
        message: is_dead.then(|| letter(origin)),
    }
}

pub(super) fn accepted(origin: &Origin) -> Record {
    record(origin, 1, origin.accepted_at, QUEUED)
}

pub(super) const QUEUED: RecordedState = RecordedState::Queued { not_before: None };

/// A record of the attempt `number`, started and ended at this time.
pub(super) fn attempted(
    origin: &Origin,
    number: u32,
    run: u64,
    at: u64,
    state: RecordedState,
) -> Record {
    let delivered = state == RecordedState::Delivered;
    Record {
        attempted: Some(AttemptRecord {
            generation: 0,
            number,
            run,
            started_at: at,
            duration_ms: 12,
            outcome: if delivered { "delivered" } else { "refused" }.to_owned(),
            http_status: delivered.then_some(200),
            detail: (!delivered).then(|| "connection refused".to_owned()),
            cause: None,
            answer: None,
        }),
        ..record(origin, number, at, state)
    }
}

/// The same record, of another generation.
pub(super) fn of_generation(generation: u32, mut record: Record) -> Record {
    record.generation = generation;
    if let Some(attempt) = &mut record.attempted {
        attempt.generation = generation;
    }
    record
}

pub(super) fn dead(reason: &str) -> RecordedState {
    RecordedState::Dead {
        reason: reason.to_owned(),
    }
}

pub(super) fn retrying(next_attempt_at: u64) -> RecordedState {
    RecordedState::Retrying { next_attempt_at }
}

pub(super) fn deferred(next_attempt_at: u64) -> RecordedState {
    RecordedState::Deferred {
        next_attempt_at,
        reason: "target busy".to_owned(),
    }
}

/// The queue message of a dead letter.
pub(super) fn letter(origin: &Origin) -> Bytes {
    format!("{{\"v\":1,\"id\":\"{}\"}}", origin.request_id).into()
}

pub(super) async fn store(journal: &Journal, records: &[Record]) {
    journal.record(records).await.expect("stored records");
}

pub(super) async fn find(journal: &Journal, origin: &Origin) -> Callback {
    let found = journal.find(origin.request_id).await.expect("an answer");
    found.expect("a known callback")
}
