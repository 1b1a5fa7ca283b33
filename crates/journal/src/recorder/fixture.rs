//! What the tests of the recorder share: records, and a sink in memory.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use super::sink::RecordSink;
use crate::model::{BatchSpan, Origin, Record, RecordedState};

pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// How a sink behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SinkBehavior {
    Works,
    /// It takes a batch after so long.
    Slow(Duration),
    Fails,
    Hangs,
}

/// A sink in memory.
pub(super) struct TestSink {
    pub(super) behavior: watch::Sender<SinkBehavior>,
    batches: Mutex<Vec<Vec<Record>>>,
    /// Of all batches, those without records included.
    spans: Mutex<Vec<BatchSpan>>,
    puts: AtomicUsize,
    failures: AtomicUsize,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
}

impl TestSink {
    pub(super) fn new(behavior: SinkBehavior) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            behavior: watch::Sender::new(behavior),
            batches: Mutex::default(),
            spans: Mutex::default(),
            puts: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            max_in_flight: AtomicUsize::new(0),
        })
    }

    pub(super) fn set(&self, behavior: SinkBehavior) {
        self.behavior.send_replace(behavior);
    }

    /// The records of each batch that it has taken, without the batches that hold none.
    pub(super) fn batches(&self) -> Vec<Vec<Record>> {
        self.batches.lock().unwrap().clone()
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        let batches = self.batches.lock().unwrap();
        batches.iter().flatten().map(id).collect()
    }

    /// Its ids, each once.
    pub(super) fn id_set(&self) -> BTreeSet<Uuid> {
        self.ids().into_iter().collect()
    }

    pub(super) fn spans(&self) -> Vec<BatchSpan> {
        self.spans.lock().unwrap().clone()
    }

    /// How many puts of records it was asked for.
    pub(super) fn puts(&self) -> usize {
        self.puts.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> usize {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn max_in_flight(&self) -> usize {
        self.max_in_flight.load(Ordering::Relaxed)
    }

    async fn take(&self, records: &[Record]) -> Result<(), String> {
        // Lets other batches arrive meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut behavior = self.behavior.subscribe();
        let now = behavior.wait_for(|now| *now != SinkBehavior::Hangs).await;
        let now = *now.unwrap();
        match now {
            SinkBehavior::Works | SinkBehavior::Hangs => {}
            SinkBehavior::Slow(delay) => tokio::time::sleep(delay).await,
            SinkBehavior::Fails => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                return Err("broken".to_owned());
            }
        }
        self.batches.lock().unwrap().push(records.to_vec());
        Ok(())
    }
}

#[async_trait]
impl RecordSink for TestSink {
    async fn put(&self, records: &[Record], span: Option<&BatchSpan>) -> Result<(), String> {
        let mut taken = Ok(());
        if !records.is_empty() {
            self.puts.fetch_add(1, Ordering::Relaxed);
            let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            self.max_in_flight.fetch_max(in_flight, Ordering::Relaxed);
            taken = self.take(records).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if taken.is_ok() {
            self.spans.lock().unwrap().extend(span);
        }
        taken
    }
}

pub(super) fn record() -> Record {
    Record {
        origin: Origin {
            request_id: Uuid::now_v7(),
            app_id: "crm".to_owned(),
            caller_no: None,
            callee_no: None,
            message_type: "order".to_owned(),
            callback_url: None,
            target: String::new(),
            accepted_at: 1,
        },
        generation: 0,
        attempt: 1,
        at: 1,
        state: RecordedState::Queued { not_before: None },
        attempted: None,
        hold: 0,
        message: None,
    }
}

pub(super) fn id(record: &Record) -> Uuid {
    record.origin.request_id
}

pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < TIMEOUT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
