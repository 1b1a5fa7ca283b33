//! What the sink does not take in time is in the spool, and leaves it as soon as the sink works.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::super::fixture::{SinkBehavior, TIMEOUT, TestSink, eventually, id, record};
use super::super::{Recorder, RecorderOptions, Spool};
use super::*;

/// No heartbeat comes in between.
fn options(capacity: usize) -> RecorderOptions {
    RecorderOptions {
        capacity,
        accepts: false,
        heartbeat: Duration::from_secs(3_600),
    }
}

/// A spool's directory, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("ringback-late-{}", Uuid::now_v7());
        Self(std::env::temp_dir().join(name))
    }

    fn recorder(&self, sink: &Arc<TestSink>) -> Recorder {
        let spool = Spool::open(&self.0).unwrap();
        let sink = Arc::clone(sink);
        Recorder::start_with(sink, options(100_000), Some(spool))
    }

    /// Whether the process that used it last has ended.
    fn is_free(&self) -> bool {
        let instances = std::fs::read_dir(&self.0).unwrap();
        instances
            .map(|instance| instance.unwrap().path())
            .all(|path| {
                let lock = std::fs::File::open(path.join("lock")).unwrap();
                lock.try_lock().is_ok()
            })
    }

    /// Whether there is a file with records.
    fn holds_records(&self) -> bool {
        fn any(directory: &Path) -> bool {
            let entries = std::fs::read_dir(directory).unwrap().flatten();
            entries.map(|entry| entry.path()).any(|path| {
                path.extension().is_some_and(|it| it == "spool") || path.is_dir() && any(&path)
            })
        }
        any(&self.0)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Records so many, one after the other, each durably. Returns their ids.
async fn record_durably(recorder: &Recorder, count: usize) -> BTreeSet<Uuid> {
    let mut ids = BTreeSet::new();
    for _ in 0..count {
        let record = record();
        ids.insert(id(&record));
        let recorded = tokio::time::timeout(TIMEOUT, recorder.record_durably(record));
        recorded.await.unwrap().unwrap();
    }
    ids
}

fn spooled(recorder: &Recorder) -> u64 {
    recorder.spool().unwrap().content().borrow().records
}

#[tokio::test]
async fn while_the_sink_works_nothing_is_written_to_the_disk() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Works));
    let recorder = directory.recorder(&sink);
    for _ in 0..2_000 {
        recorder.record(record());
    }
    record_durably(&recorder, 5).await;
    eventually("all written", || recorder.buffered() == 0).await;
    assert_eq!(sink.ids().len(), 2_005);
    assert!(!directory.holds_records());
    recorder.close().await;
    let left = std::fs::read_dir(&directory.0).unwrap().count();
    assert_eq!(left, 0, "the directory of the instance is left");
}

#[tokio::test]
async fn a_process_that_ends_while_the_sink_fails_leaves_its_records_to_the_next() {
    for behavior in [SinkBehavior::Fails, SinkBehavior::Hangs] {
        let (directory, sink) = (Directory::new(), TestSink::new(behavior));
        let path = directory.0.clone();
        let ended = {
            let sink = Arc::clone(&sink);
            std::thread::spawn(move || {
                // Its tasks end with it in the middle of their work.
                let runtime = tokio::runtime::Runtime::new().unwrap();
                let ids = runtime.block_on(async {
                    let spool = Spool::open(&path).unwrap();
                    let recorder = Recorder::start_with(sink, options(100_000), Some(spool));
                    record_durably(&recorder, 50).await
                });
                runtime.shutdown_timeout(Duration::ZERO);
                ids
            })
        };
        let ids = ended.join().unwrap();
        assert!(sink.ids().is_empty());

        sink.set(SinkBehavior::Works);
        eventually("the lock to be free", || directory.is_free()).await;
        let recorder = directory.recorder(&sink);
        eventually("all adopted", || sink.id_set() == ids).await;
        eventually("all erased", || {
            !directory.holds_records() && recorder.oldest_buffered().is_none()
        })
        .await;
        assert_eq!(recorder.dropped(), 0);
        recorder.close().await;
    }
}

#[tokio::test]
async fn late_records_leave_memory_and_follow_when_the_sink_works_again() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Fails));
    let recorder = directory.recorder(&sink);
    let begun = Instant::now();
    let ids = record_durably(&recorder, 20).await;
    // Two batches are tried again and again; the others wait on the disk alone.
    assert!(recorder.buffered() <= 2, "{}", recorder.buffered());
    assert_eq!(spooled(&recorder), 20);
    assert!(recorder.oldest_buffered().unwrap() <= Instant::now());
    assert!(recorder.oldest_buffered().unwrap() + Duration::from_secs(1) > begun);
    sink.set(SinkBehavior::Works);
    eventually("all written", || sink.id_set() == ids).await;
    eventually("all erased", || spooled(&recorder) == 0).await;
    assert!(!directory.holds_records());
    assert_eq!(sink.ids().len(), ids.len(), "each once");
    recorder.close().await;
    assert_eq!((recorder.dropped(), recorder.spool_failures()), (0, 0));
}

#[tokio::test]
async fn a_slow_batch_is_not_written_twice() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Hangs));
    let recorder = directory.recorder(&sink);
    record_durably(&recorder, 1).await;
    assert_eq!(spooled(&recorder), 1);
    sink.set(SinkBehavior::Works);
    eventually("erased", || spooled(&recorder) == 0).await;
    assert_eq!(sink.puts(), 1);
    assert_eq!(sink.ids().len(), 1);
    recorder.close().await;
}

#[tokio::test]
async fn a_graceful_stop_keeps_what_the_sink_does_not_take_and_drops_nothing() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Fails));
    let recorder = directory.recorder(&sink);
    for _ in 0..3_000 {
        recorder.record(record());
    }
    tokio::time::timeout(TIMEOUT, recorder.close())
        .await
        .unwrap();
    assert_eq!((recorder.dropped(), recorder.buffered()), (0, 0));
    assert!(directory.holds_records());
    sink.set(SinkBehavior::Works);
    let next = directory.recorder(&sink);
    eventually("all published by the next", || sink.ids().len() >= 3_000).await;
    // A stop waits for them, too.
    next.close().await;
    assert!(!directory.holds_records());
    assert_eq!(sink.id_set().len(), 3_000);
}

#[tokio::test]
async fn a_graceful_stop_drains_the_spool_into_a_sink_that_works_again() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Fails));
    let recorder = directory.recorder(&sink);
    let ids = record_durably(&recorder, 20).await;
    sink.set(SinkBehavior::Works);
    recorder.close().await;
    assert_eq!(sink.id_set(), ids);
    assert!(!directory.holds_records());
}

#[tokio::test]
async fn nobody_waits_for_a_spool_that_takes_nothing() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Hangs));
    let recorder = directory.recorder(&sink);
    // The disk is gone.
    std::fs::remove_dir_all(&directory.0).unwrap();
    for _ in 0..2 {
        let recorded = recorder.record_durably(record());
        assert!(recorded.await.is_err());
    }
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(recorder.record_durably(record()).await.is_err());
    }
    assert!(begun.elapsed() < LATE_AFTER, "{:?}", begun.elapsed());
    assert!(recorder.spool_failures() >= 2);
    // They are in memory, and none is lost while the process lives.
    assert_eq!((recorder.buffered(), recorder.dropped()), (102, 0));
    sink.set(SinkBehavior::Works);
    eventually("all written", || sink.ids().len() == 102).await;
    recorder.close().await;
}

#[tokio::test]
async fn what_neither_takes_is_bounded_by_the_buffer_and_counted() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Hangs));
    let spool = Spool::open(&directory.0).unwrap();
    let recorder = Recorder::start_with(Arc::clone(&sink) as _, options(1_000), Some(spool));
    std::fs::remove_dir_all(&directory.0).unwrap();
    for _ in 0..1_100 {
        recorder.record(record());
    }
    assert_eq!((recorder.buffered(), recorder.dropped()), (1_000, 100));
    recorder.close().await;
    assert_eq!((recorder.buffered(), recorder.dropped()), (0, 1_100));
}

#[tokio::test]
async fn those_who_wait_at_a_stop_are_answered_and_what_they_were_promised_is_kept() {
    for behavior in [SinkBehavior::Fails, SinkBehavior::Hangs] {
        let (directory, sink) = (Directory::new(), TestSink::new(behavior));
        let recorder = directory.recorder(&sink);
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..600 {
            let (recorder, record) = (recorder.clone(), record());
            waiting.spawn(async move { (id(&record), recorder.record_durably(record).await) });
        }
        eventually("handed over", || recorder.buffered() > 0).await;
        let close = tokio::time::timeout(TIMEOUT, recorder.close());
        let (closed, answers) = tokio::join!(close, waiting.join_all());
        closed.unwrap();
        let promised = answers.iter().filter(|(_, durable)| durable.is_ok());
        let promised: BTreeSet<Uuid> = promised.map(|(id, _)| *id).collect();
        assert!(!promised.is_empty());
        sink.set(SinkBehavior::Works);
        let next = directory.recorder(&sink);
        eventually("published by the next", || {
            promised.is_subset(&sink.id_set())
        })
        .await;
        next.close().await;
    }
}

#[tokio::test]
async fn a_slow_sink_keeps_the_spool_small_and_empties_it() {
    const RECORDS: usize = 2_400;
    let (directory, sink) = (
        Directory::new(),
        TestSink::new(SinkBehavior::Slow(Duration::from_secs(1))),
    );
    let recorder = directory.recorder(&sink);
    let (mut feed, mut most) = (tokio::time::interval(Duration::from_millis(5)), 0);
    let mut ids = BTreeSet::new();
    for _ in 0..RECORDS {
        feed.tick().await;
        let record = record();
        ids.insert(id(&record));
        recorder.record(record);
        most = most.max(spooled(&recorder));
    }
    // 200 a second: what comes in a few seconds.
    assert!((1..=1_000).contains(&most), "{most} records in the spool");
    eventually("all written", || sink.id_set() == ids).await;
    eventually("all erased", || spooled(&recorder) == 0).await;
    assert_eq!(sink.ids().len(), RECORDS, "each once");
    assert!(sink.puts() < RECORDS / 10, "{} puts", sink.puts());
    recorder.close().await;
    assert!(!directory.holds_records());
}

#[tokio::test]
async fn a_batch_of_another_version_is_kept_and_published_by_it() {
    let (directory, sink) = (Directory::new(), TestSink::new(SinkBehavior::Works));
    let spool = Spool::open(&directory.0).unwrap();
    let newer = Frame {
        body: bytes::Bytes::from_static(b"{\"v\":3,\"records\":[{}]}"),
        records: 1,
        recorded_at: 7,
    };
    spool.append(newer, FrameUse::Waiting).await.unwrap();
    let recorder = Recorder::start_with(Arc::clone(&sink) as _, options(10), Some(spool));
    let content = recorder.spool().unwrap().content();
    eventually("kept", || content.borrow().undecodable == 1).await;
    assert_eq!((spooled(&recorder), recorder.dropped()), (0, 0));
    assert!(recorder.oldest_buffered().is_some(), "it is not written");
    let closed = tokio::time::timeout(Duration::from_secs(4), recorder.close());
    closed.await.unwrap();
    assert!(directory.holds_records());
}
