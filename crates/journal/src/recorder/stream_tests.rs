//! However batches travel, nothing is claimed of an acceptance whose record is not stored.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use uuid::Uuid;

use super::buffer::{BATCH_DELAY, BufferedRecord, NextBatch, RecordBuffer};
use super::numbering::{AcceptanceKey, Numbering};
use crate::model::{BatchSpan, Origin, Record, RecordedState, RecorderState};

const START: u64 = 1_700_000_000_000;
const CAPACITY: usize = 5;

/// What may happen. A number chooses one of those that there are.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(u64),
    /// The machine's clock is set back.
    SetBack(u64),
    Begin,
    Generate(usize),
    Record(usize),
    InDoubt(usize),
    Refuse(usize),
    Batch,
    Durable,
    Store(usize),
    StoreHalf(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..20_u64).prop_map(Event::Pass),
        1 => (0..60_u64).prop_map(Event::SetBack),
        4 => Just(Event::Begin),
        3 => any::<usize>().prop_map(Event::Generate),
        5 => any::<usize>().prop_map(Event::Record),
        1 => any::<usize>().prop_map(Event::InDoubt),
        1 => any::<usize>().prop_map(Event::Refuse),
        4 => Just(Event::Batch),
        3 => Just(Event::Durable),
        3 => any::<usize>().prop_map(Event::Store),
        1 => any::<usize>().prop_map(Event::StoreHalf),
    ]
}

struct PendingAcceptance {
    key: AcceptanceKey,
    generated_at: Option<u64>,
}

/// A recorder, its batches on their way, and a journal.
struct Simulation {
    base: Instant,
    /// What has passed, in ms, whatever the clock says.
    passed: u64,
    /// The machine's clock.
    now: u64,
    latest: u64,
    buffer: RecordBuffer,
    under_way: Vec<PendingAcceptance>,
    /// When the ids of records were generated, by the number within the record.
    recorded: Vec<Option<u64>>,
    stored: Vec<bool>,
    /// Of what will never be recorded.
    lost: Vec<Option<u64>>,
    not_durable: Vec<super::buffer::RecordBatch>,
    /// They may be stored in any order, repeatedly, or never.
    sent: Vec<(BatchSpan, Vec<usize>)>,
    journal: RecorderState,
}

impl Simulation {
    fn new() -> Self {
        let numbering = Numbering::new(true, START);
        let journal = RecorderState::new(numbering.recorder());
        Self {
            base: Instant::now(),
            passed: 0,
            now: START,
            latest: START,
            buffer: RecordBuffer::new(CAPACITY, Duration::from_millis(10), numbering),
            under_way: Vec::new(),
            recorded: Vec::new(),
            stored: Vec::new(),
            lost: Vec::new(),
            not_durable: Vec::new(),
            sent: Vec::new(),
            journal,
        }
    }

    fn instant(&self) -> Instant {
        self.base + Duration::from_millis(self.passed)
    }

    fn apply(&mut self, event: Event) {
        let index = |number: usize, length: usize| number.checked_rem(length);
        match event {
            Event::Pass(ms) => self.pass(ms),
            Event::SetBack(ms) => self.now -= ms,
            Event::Begin => {
                let key = self.buffer.begin(self.now);
                self.under_way.push(PendingAcceptance {
                    key,
                    generated_at: None,
                });
            }
            Event::Generate(number) => {
                if let Some(index) = index(number, self.under_way.len()) {
                    let acceptance = &mut self.under_way[index];
                    // A marked id is not denied.
                    if self.buffer.generated(acceptance.key, self.now) {
                        acceptance.generated_at.get_or_insert(self.now);
                    }
                }
            }
            Event::Record(number) => {
                if let Some(index) = index(number, self.under_way.len()) {
                    let acceptance = self.under_way.swap_remove(index);
                    let generated_at = self.generate(&acceptance);
                    self.record(generated_at);
                    self.buffer.end(acceptance.key);
                }
            }
            Event::InDoubt(number) => {
                if let Some(index) = index(number, self.under_way.len()) {
                    let acceptance = self.under_way.swap_remove(index);
                    let generated_at = self.generate(&acceptance);
                    self.lost.push(generated_at);
                    self.buffer.skip(self.now);
                    self.buffer.end(acceptance.key);
                }
            }
            Event::Refuse(number) => {
                if let Some(index) = index(number, self.under_way.len()) {
                    let acceptance = self.under_way.swap_remove(index);
                    self.buffer.end(acceptance.key);
                }
            }
            Event::Batch => self.batch(),
            Event::Durable => {
                if let Some(batch) = self.not_durable.pop() {
                    self.buffer.complete(&batch);
                }
            }
            Event::Store(number) => {
                if let Some(index) = index(number, self.sent.len()) {
                    let (span, records) = self.sent[index].clone();
                    self.store(&span, &records);
                }
            }
            Event::StoreHalf(number) => {
                if let Some(index) = index(number, self.sent.len())
                    && let (span, records) = self.sent[index].clone()
                    && records.len() > 1
                {
                    let middle = records.len() / 2;
                    let (front, back) = span.split(middle);
                    match number % 2 {
                        0 => self.store(&front, &records[..middle]),
                        _ => self.store(&back, &records[middle..]),
                    }
                }
            }
        }
    }

    /// When the id of the acceptance was generated, now at the latest. `None`: it is marked.
    fn generate(&mut self, acceptance: &PendingAcceptance) -> Option<u64> {
        let generated = acceptance.generated_at;
        generated.or_else(|| {
            let proven = self.buffer.generated(acceptance.key, self.now);
            proven.then_some(self.now)
        })
    }

    /// When the id of the acceptance was or would be generated. `None`: it is marked.
    fn id_time(&self, acceptance: &PendingAcceptance) -> Option<u64> {
        let now = acceptance.key.bears_on(self.now).then_some(self.now);
        acceptance.generated_at.or(now)
    }

    fn pass(&mut self, ms: u64) {
        self.passed += ms;
        self.now += ms;
        self.latest = self.latest.max(self.now);
    }

    fn record(&mut self, generated_at: Option<u64>) {
        let number = self.recorded.len();
        let record = Record {
            origin: Origin {
                request_id: Uuid::nil(),
                app_id: String::new(),
                caller_no: None,
                callee_no: None,
                message_type: String::new(),
                callback_url: None,
                target: String::new(),
                accepted_at: u64::try_from(number).unwrap(),
            },
            generation: 0,
            attempt: 1,
            at: self.now,
            state: RecordedState::Queued { not_before: None },
            attempted: None,
            hold: 0,
            message: None,
        };
        let buffered = BufferedRecord {
            record,
            durable: None,
            recorded_at: self.instant(),
        };
        match self.buffer.push(buffered, self.now) {
            Ok(_) => {
                self.recorded.push(generated_at);
                self.stored.push(false);
            }
            Err(_) => self.lost.push(generated_at),
        }
    }

    fn batch(&mut self) {
        if let NextBatch::Ready(batch) =
            self.buffer
                .next_batch(self.instant(), self.now, BATCH_DELAY)
        {
            let records = batch
                .records()
                .iter()
                .map(|record| record.origin.accepted_at);
            let records = records.map(|number| usize::try_from(number).unwrap());
            self.sent.push((*batch.span(), records.collect()));
            self.not_durable.push(batch);
        }
    }

    fn store(&mut self, span: &BatchSpan, records: &[usize]) {
        self.journal.add(span);
        for record in records {
            self.stored[*record] = true;
        }
    }

    /// The times of ids that the journal does not know and that exist, or may.
    fn unknown(&self) -> Vec<u64> {
        let unstored = self.recorded.iter().zip(&self.stored);
        let unstored = unstored.filter(|(_, stored)| !**stored).map(|(at, _)| *at);
        let under_way = self.under_way.iter();
        let under_way = under_way.map(|acceptance| self.id_time(acceptance));
        unstored
            .chain(under_way)
            .chain(self.lost.iter().copied())
            .flatten()
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_id_whose_record_is_not_stored_is_never_proven_unknown(
        events in prop::collection::vec(event(), 1..150)
    ) {
        let mut simulation = Simulation::new();
        for event in events {
            simulation.apply(event);
            for at in simulation.unknown() {
                prop_assert!(simulation.journal.may_hold(at), "{at} after {event:?}");
            }
        }
        // When all is stored, only what was lost stays open.
        for acceptance in std::mem::take(&mut simulation.under_way) {
            simulation.buffer.end(acceptance.key);
        }
        simulation.now = simulation.latest;
        for _ in 0..200 {
            simulation.pass(10);
            simulation.batch();
            while let Some(batch) = simulation.not_durable.pop() {
                simulation.buffer.complete(&batch);
            }
        }
        for (span, records) in simulation.sent.clone() {
            simulation.store(&span, &records);
        }
        for at in simulation.unknown() {
            prop_assert!(simulation.journal.may_hold(at));
        }
        if simulation.lost.is_empty() {
            for at in START..simulation.now {
                prop_assert!(!simulation.journal.may_hold(at), "{}", at - START);
            }
        } else {
            prop_assert!(!simulation.journal.may_hold(simulation.now - 100));
        }
    }
}
