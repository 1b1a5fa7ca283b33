//! What must every journal do alike? One suite, run against each adapter.
//!
//! A promise that two adapters could keep differently belongs here first. Each part of the suite
//! works in journals of its own; all moments are near the real now, because an adapter may lay out
//! its tables by time.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise must fail loudly"
)]

mod cancels;
mod claims;
mod keeping;
mod lists;
mod pauses;
mod records;
mod replays;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use uuid::Uuid;

use crate::{Attempt, Callback, Journal, Origin, Record, State};

/// What the suite needs from the one who runs it.
pub trait Rig {
    /// Opens the journal called `name`: empty at first, and with what it held when it is opened
    /// again. The suite migrates it.
    fn open(&self, name: &str) -> impl Future<Output = Journal>;
}

/// Runs every promise.
pub async fn exercise(rig: &impl Rig) {
    records::exercise(rig).await;
    lists::exercise(rig).await;
    cancels::exercise(rig).await;
    claims::exercise(rig).await;
    replays::exercise(rig).await;
    keeping::exercise(rig).await;
    pauses::exercise(rig).await;
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Opens a journal and makes its tables, twice as several processes would.
async fn open(rig: &impl Rig, name: &str) -> Journal {
    let journal = rig.open(name).await;
    let (one, other) = tokio::join!(journal.migrate(), journal.migrate());
    one.expect("tables");
    other.expect("tables that are there already");
    journal
}

/// Unix ms.
fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    u64::try_from(since.as_millis()).expect("a moment within reach")
}

/// A new id of version 7, of this moment (Unix ms); later calls give greater ids.
fn id(at: u64) -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut unique = [0; 10];
    unique[2..].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(at, &unique).into_uuid()
}

/// A callback accepted at this moment, with every part known.
fn origin(accepted_at: u64) -> Origin {
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

/// A record of the first generation, without an attempt. What is given up has a body.
fn record(origin: &Origin, attempt: u32, at: u64, state: State) -> Record {
    let ends = matches!(state, State::Dead { .. } | State::Expired);
    Record {
        origin: origin.clone(),
        generation: 0,
        attempt,
        at,
        state,
        attempted: None,
        dead_letter: ends.then(|| letter(origin)),
    }
}

fn accepted(origin: &Origin) -> Record {
    record(origin, 1, origin.accepted_at, QUEUED)
}

const QUEUED: State = State::Queued { not_before: None };

/// A record of the attempt `number`, made and ended at this moment.
fn attempted(origin: &Origin, number: u32, run: u64, at: u64, state: State) -> Record {
    let delivered = state == State::Delivered;
    Record {
        attempted: Some(Attempt {
            generation: 0,
            number,
            run,
            started_at: at,
            duration_ms: 12,
            outcome: if delivered { "delivered" } else { "refused" }.to_owned(),
            http_status: delivered.then_some(200),
            detail: (!delivered).then(|| "connection refused".to_owned()),
        }),
        ..record(origin, number, at, state)
    }
}

/// The same record, of another generation.
fn of_generation(generation: u32, mut record: Record) -> Record {
    record.generation = generation;
    if let Some(attempt) = &mut record.attempted {
        attempt.generation = generation;
    }
    record
}

fn dead(reason: &str) -> State {
    State::Dead {
        reason: reason.to_owned(),
    }
}

fn retrying(next_attempt_at: u64) -> State {
    State::Retrying { next_attempt_at }
}

fn parked(next_attempt_at: u64) -> State {
    State::Parked {
        next_attempt_at,
        why: "target busy".to_owned(),
    }
}

/// The queue message of a callback given up.
fn letter(origin: &Origin) -> Bytes {
    format!("{{\"v\":1,\"id\":\"{}\"}}", origin.request_id).into()
}

async fn store(journal: &Journal, records: &[Record]) {
    journal.record(records).await.expect("stored records");
}

async fn find(journal: &Journal, origin: &Origin) -> Callback {
    let found = journal.find(origin.request_id).await.expect("an answer");
    found.expect("a known callback")
}
