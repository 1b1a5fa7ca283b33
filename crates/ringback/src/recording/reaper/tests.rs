//! Tests of whole rounds, on the embedded store and its journal.

use std::path::PathBuf;

use broker::{BrokerMessage, Depth, EmbeddedOptions, Queue, Settlement};
use contract::{CallbackStatus, Message, Probe, ProbeAnswer};
use delivery::CalleeRegistry;
use journal::{Origin, Record, RecordedState};
use runtime::{MetricsRegistry, Reloadable};

use super::*;
use crate::recording::sinks::DirectSink;
use crate::recording::write_health::WriteHealth;

/// `journal.unaccounted_after`.
const AFTER: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(60);
/// Longer than a round with all evidence takes.
const LONGER: Duration = Duration::from_secs(8);

/// A store, a journal, and a reaper that is not running yet.
struct Fixture {
    directory: PathBuf,
    broker: Broker,
    journal: Journal,
    recorder: Recorder,
    metrics: RecordingMetrics,
    stop: CancellationToken,
}

impl Fixture {
    async fn new() -> Self {
        let name = format!("ringback-reaper-{}", Uuid::now_v7());
        let directory = std::env::temp_dir().join(name);
        let broker = Broker::open(&EmbeddedOptions {
            directory: directory.clone(),
            publish_timeout: SOON,
            min_free_bytes: 0,
        });
        let journal = Journal::open(&directory).unwrap();
        let metrics = MetricsRegistry::new().add(RecordingMetrics::register);
        let sink = DirectSink {
            journal: journal.clone(),
            metrics: metrics.clone(),
            health: WriteHealth::new(Duration::from_secs(60)),
        };
        Self {
            directory,
            broker: broker.unwrap(),
            recorder: Recorder::start(std::sync::Arc::new(sink), 1_000),
            journal,
            metrics,
            stop: CancellationToken::new(),
        }
    }

    /// Runs a reaper that looks for messages there.
    fn reap(&self, location: MessageLocation) {
        let reaper = Reaper {
            location,
            broker: self.broker.clone(),
            journal: self.journal.clone(),
            recorder: self.recorder.clone(),
            reconciler: Reconciler {
                broker: self.broker.clone(),
                journal: self.journal.clone(),
                callee_registry: Reloadable::new(CalleeRegistry::new([]).unwrap()),
                retention: Duration::from_secs(86_400),
                dead_letter_retention: Duration::from_secs(86_400),
            },
            metrics: self.metrics.clone(),
            after: AFTER,
            stop: self.stop.clone(),
            reading: TaskTracker::new(),
        };
        tokio::spawn(reaper.run());
    }

    /// Answers probes as a dispatcher does, and settles whatever else it receives.
    fn dispatch(&self, queue: Queue) {
        let (broker, stop) = (self.broker.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut consumer = broker.consume(queue, 9);
            while let Some(received) = stop.run_until_cancelled(consumer.next()).await {
                let error = Message::decode(&received.body).err();
                let probe = error.and_then(|error| Probe::in_undecoded(&received.body, &error));
                if let Some(Probe {
                    probe_id, reply_to, ..
                }) = probe
                {
                    let answer = ProbeAnswer {
                        probe_id,
                        received_at: now_ms(),
                    };
                    broker.reply(reply_to, answer.encode().into());
                }
                received.settle(Settlement::Complete).await.unwrap();
            }
        });
    }

    /// A callback that was to be tried again ten seconds ago.
    async fn overdue(&self) -> Uuid {
        let at = now_ms() - 10_000;
        let unique = Uuid::now_v7().into_bytes();
        let unique = unique[6..].try_into().unwrap();
        let request_id = uuid::Builder::from_unix_timestamp_millis(at, unique).into_uuid();
        let record = Record {
            origin: Origin {
                request_id,
                app_id: "crm".to_owned(),
                caller_no: None,
                callee_no: None,
                message_type: "order.paid".to_owned(),
                callback_url: None,
                target: "https://callee.example:443".to_owned(),
                accepted_at: at,
            },
            generation: 0,
            attempt: 2,
            at,
            state: RecordedState::Retrying {
                next_attempt_at: at,
            },
            attempted: None,
            hold: 0,
            message: None,
        };
        self.journal.record(&[record]).await.unwrap();
        request_id
    }

    async fn status(&self, id: Uuid) -> CallbackStatus {
        self.journal.find(id).await.unwrap().unwrap().status
    }

    async fn becomes_unaccounted(&self, id: Uuid) {
        let begun = Instant::now();
        while self.status(id).await != CallbackStatus::Unaccounted {
            assert!(begun.elapsed() < SOON, "{}", self.status(id).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.recorder.close().await;
        self.journal.close().await;
        self.broker.close().await;
        std::fs::remove_dir_all(self.directory).unwrap();
    }
}

fn message(id: Uuid) -> BrokerMessage {
    BrokerMessage {
        id: id.hyphenated().to_string(),
        kind: "test",
        headers: Vec::new(),
        body: "{}".into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_marked_until_a_dispatcher_has_answered_the_probes() {
    let fixture = Fixture::new().await;
    let id = fixture.overdue().await;
    fixture.reap(MessageLocation::Queues);
    fixture.dispatch(Queue::First);
    tokio::time::sleep(LONGER).await;
    assert_eq!(fixture.status(id).await, CallbackStatus::Retrying);
    fixture.dispatch(Queue::Retry);
    fixture.becomes_unaccounted(id).await;
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_attempt_reads_leaves_everything_open() {
    let fixture = Fixture::new().await;
    let id = fixture.overdue().await;
    let mut first = fixture.broker.consume(Queue::First, 1);
    fixture.broker.publish(message(Uuid::nil())).await.unwrap();
    let quarantine = Settlement::Quarantine {
        reason: "test".to_owned(),
        at: now_ms(),
    };
    first.next().await.settle(quarantine).await.unwrap();
    first.close().await;
    fixture.reap(MessageLocation::Queues);
    fixture.dispatch(Queue::First);
    fixture.dispatch(Queue::Retry);
    tokio::time::sleep(LONGER).await;
    assert_eq!(fixture.status(id).await, CallbackStatus::Retrying);
    fixture.dispatch(Queue::Unreadable);
    fixture.becomes_unaccounted(id).await;
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_holds_is_never_marked_and_a_paused_target_neither() {
    let fixture = Fixture::new().await;
    let (gone, waits, in_flight) = (
        fixture.overdue().await,
        fixture.overdue().await,
        fixture.overdue().await,
    );
    let a_day = Duration::from_secs(86_400);
    let later = fixture.broker.publish_later(message(waits), a_day).await;
    later.unwrap();
    fixture.broker.publish(message(in_flight)).await.unwrap();
    let mut first = fixture.broker.consume(Queue::First, 1);
    let held = first.next().await;
    let pause = Pause {
        kind: PauseKind::Target,
        name: "https://callee.example:443".to_owned(),
        paused_by: "ann".to_owned(),
        paused_at: now_ms(),
        reason: "test".to_owned(),
    };
    assert!(fixture.journal.pause(&pause).await.unwrap());
    fixture.reap(MessageLocation::Store);
    tokio::time::sleep(LONGER / 2).await;
    assert_eq!(fixture.status(gone).await, CallbackStatus::Retrying);
    let resumed = fixture.journal.resume(pause.kind, &pause.name).await;
    assert!(resumed.unwrap().is_some());
    fixture.becomes_unaccounted(gone).await;
    for id in [waits, in_flight] {
        assert_eq!(fixture.status(id).await, CallbackStatus::Retrying);
    }
    held.settle(Settlement::Complete).await.unwrap();
    fixture.becomes_unaccounted(in_flight).await;
    assert_eq!(fixture.status(waits).await, CallbackStatus::Retrying);
    first.close().await;
    fixture.close().await;
}

#[test]
fn a_queue_that_no_attempt_reads_must_be_known_to_be_empty() {
    let empty = Depths {
        delivery_limit: Depth::fresh(0),
        unrouted: Depth::fresh(0),
        unreadable: Depth::fresh(0),
        dead: Depth::fresh(9),
        ..Depths::default()
    };
    assert_eq!(stray(&empty), StrayMessages::None);
    assert_eq!(stray(&Depths::default()), StrayMessages::Unknown);
    let of = |unrouted| Depths { unrouted, ..empty };
    assert_eq!(stray(&of(Depth::stale(0))), StrayMessages::Unknown);
    assert_eq!(stray(&of(Depth::fresh(1))), StrayMessages::Some);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_journal_is_waited_for_and_not_for_ever() {
    let begun = Instant::now();
    let until = || Some(begun.elapsed().as_secs());
    assert_eq!(complete_until(60, until).await, Some(60));
    assert_eq!(complete_until(60, || Some(7)).await, Some(7));
    assert_eq!(complete_until(60, || None).await, None);
    assert!(begun.elapsed() > COMPLETE_TIMEOUT);
}
