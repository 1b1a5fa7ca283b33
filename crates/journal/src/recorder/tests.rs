//! Nothing is lost while the sink fails, and everything that is dropped is counted.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::fixture::{SinkBehavior, TIMEOUT, TestSink, eventually, id, record};
use super::*;
use crate::model::{RecordedState, RecorderState, generated_at};

fn broken() -> (Arc<TestSink>, Recorder) {
    let memory = TestSink::new(SinkBehavior::Fails);
    let recorder = Recorder::start(memory.clone(), 10_000);
    (memory, recorder)
}

#[tokio::test]
async fn nothing_is_lost_while_the_sink_fails() {
    let (memory, recorder) = broken();
    let records: Vec<Record> = (0..1_000).map(|_| record()).collect();
    for record in records.clone() {
        recorder.record(record);
    }
    eventually("tried again", || memory.failures() >= 4).await;
    assert_eq!(recorder.buffered(), 1_000);
    assert!(recorder.oldest_buffered().is_some());
    memory.set(SinkBehavior::Works);
    eventually("all durable", || recorder.buffered() == 0).await;
    assert_eq!(recorder.oldest_buffered(), None);
    let wanted: BTreeSet<Uuid> = records.iter().map(id).collect();
    let got = memory.ids();
    assert_eq!(got.len(), wanted.len(), "each once");
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(recorder.dropped(), 0);
    recorder.close().await;
}

#[tokio::test]
async fn a_record_made_durably_is_in_the_sink() {
    let memory = TestSink::new(SinkBehavior::Works);
    let recorder = Recorder::start(memory.clone(), 10);
    let one = record();
    let wanted = id(&one);
    recorder.record_durably(one).await.unwrap();
    assert_eq!(memory.ids(), [wanted]);
    assert_eq!(recorder.buffered(), 0);
    recorder.close().await;
}

#[tokio::test]
async fn concurrent_records_share_batches_and_few_batches_are_in_flight() {
    let memory = TestSink::new(SinkBehavior::Hangs);
    let recorder = Recorder::start(memory.clone(), 10_000);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..2_000 {
        let recorder = recorder.clone();
        waiting.spawn(async move { recorder.record_durably(record()).await });
    }
    eventually("all recorded", || recorder.buffered() == 2_000).await;
    memory.set(SinkBehavior::Works);
    while let Some(durable) = waiting.join_next().await {
        durable.unwrap().unwrap();
    }
    let sizes: Vec<usize> = memory.batches().iter().map(Vec::len).collect();
    assert!(sizes.len() <= 12, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 256), "{sizes:?}");
    assert_eq!(memory.max_in_flight(), MAX_BATCHES_IN_FLIGHT);
    recorder.close().await;
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let memory = TestSink::new(SinkBehavior::Hangs);
    let recorder = Recorder::start(memory.clone(), 300);
    for _ in 0..310 {
        recorder.record(record());
    }
    assert_eq!(recorder.record_durably(record()).await, Err(RecordDropped));
    assert_eq!(recorder.dropped(), 11);
    assert_eq!(recorder.buffered(), 300);
    memory.set(SinkBehavior::Works);
    recorder.close().await;
    assert_eq!(memory.ids().len(), 300);
    assert_eq!(recorder.dropped(), 11);
}

#[tokio::test]
async fn a_flood_of_bodies_is_bounded_and_batches_stay_small() {
    let memory = TestSink::new(SinkBehavior::Hangs);
    let recorder = Recorder::start(memory.clone(), 10_000);
    let body = bytes::Bytes::from(vec![b'x'; 256 * 1024]);
    for _ in 0..300 {
        let mut record = record();
        record.state = RecordedState::Expired; // Its message is never left out.
        record.message = Some(body.clone());
        recorder.record(record);
    }
    // 64 MiB are 256 of them; records without a body still fit.
    assert_eq!(recorder.buffered(), 256);
    recorder.record(record());
    assert_eq!(recorder.dropped(), 44);
    memory.set(SinkBehavior::Works);
    recorder.close().await;
    let batches = memory.batches();
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 257);
    assert!(batches.iter().all(|batch| batch.len() <= 5));
}

#[tokio::test]
async fn closing_writes_what_is_buffered_and_accepts_no_more() {
    let memory = TestSink::new(SinkBehavior::Works);
    let recorder = Recorder::start(memory.clone(), 10_000);
    for _ in 0..1_000 {
        recorder.record(record());
    }
    tokio::join!(recorder.close(), recorder.close());
    assert_eq!(memory.ids().len(), 1_000);
    assert_eq!(recorder.dropped(), 0);
    recorder.record(record());
    assert_eq!(recorder.record_durably(record()).await, Err(RecordDropped));
    assert_eq!(recorder.dropped(), 2);
}

#[tokio::test]
async fn closing_interrupts_the_wait_before_a_retry() {
    let (memory, recorder) = broken();
    recorder.record(record());
    // The delays so far were 50 ms, 100 ms and 200 ms; the next ones are long.
    eventually("long waits", || memory.failures() >= 4).await;
    memory.set(SinkBehavior::Works);
    recorder.close().await;
    assert_eq!(memory.ids().len(), 1);
}

#[tokio::test]
async fn closing_ends_even_if_the_sink_takes_nothing() {
    for hangs in [false, true] {
        let (memory, recorder) = broken();
        if hangs {
            memory.set(SinkBehavior::Hangs);
        }
        let waiter = recorder.clone();
        let waiter = tokio::spawn(async move { waiter.record_durably(record()).await });
        for _ in 0..999 {
            recorder.record(record());
        }
        eventually("all recorded", || recorder.buffered() == 1_000).await;
        tokio::time::timeout(TIMEOUT, recorder.close())
            .await
            .unwrap();
        assert_eq!(waiter.await.unwrap(), Err(RecordDropped));
        assert_eq!((recorder.dropped(), recorder.buffered()), (1_000, 0));
    }
}

#[tokio::test]
async fn an_acceptance_that_outlives_the_close_waits_for_nothing_and_leaves_its_time_open() {
    let memory = TestSink::new(SinkBehavior::Works);
    let recorder = Recorder::start(memory.clone(), 10);
    recorder.set_registered();
    let (late, dropped) = (recorder.begin(), recorder.begin());
    let ids = [late.new_request_id(), dropped.new_request_id()];
    tokio::time::timeout(TIMEOUT, recorder.close())
        .await
        .unwrap();
    assert_eq!(late.record_durably(record()).await, Err(RecordDropped));
    drop(dropped);
    assert_eq!(recorder.dropped(), 1);
    let state = stored(&memory, &recorder);
    assert!(!state.is_settled());
    assert!(ids.iter().all(|id| state.may_hold(generated_at(*id))));
}

#[tokio::test]
async fn a_dropped_recorder_writes_what_is_buffered() {
    let memory = TestSink::new(SinkBehavior::Works);
    let recorder = Recorder::start(memory.clone(), 10);
    recorder.record(record());
    drop(recorder);
    eventually("written", || memory.ids().len() == 1).await;
    eventually("the tasks have ended", || Arc::strong_count(&memory) == 1).await;
}

/// What the journal would know of the recorder.
fn stored(memory: &TestSink, recorder: &Recorder) -> RecorderState {
    let mut state = RecorderState::new(recorder.info());
    for span in &memory.spans() {
        state.add(span);
    }
    state
}

#[tokio::test]
async fn a_recorder_announces_itself_and_says_that_it_has_nothing() {
    let memory = TestSink::new(SinkBehavior::Works);
    let recorder = Recorder::start(memory.clone(), 10);
    eventually("announced", || {
        stored(&memory, &recorder).last_number() == 1
    })
    .await;
    let began = now_ms();
    tokio::time::sleep(Duration::from_millis(2)).await;
    recorder.flush().await.unwrap();
    assert!(!stored(&memory, &recorder).may_hold(began));
    recorder.close().await;
    let state = stored(&memory, &recorder);
    assert!(state.is_settled());
    assert!(
        !state.may_hold(now_ms() + 1),
        "within its last millisecond it may"
    );
    assert!(recorder.flush().await.is_err(), "it has ended");
}

#[tokio::test]
async fn a_recorder_without_records_sends_heartbeats() {
    let memory = TestSink::new(SinkBehavior::Works);
    let options = RecorderOptions {
        capacity: 10,
        accepts: true,
        heartbeat: Duration::from_millis(5),
    };
    let recorder = Recorder::start_with(memory.clone(), options, None);
    eventually("heartbeats", || memory.spans().len() > 3).await;
    recorder.close().await;
    assert!(stored(&memory, &recorder).is_settled());
}

#[tokio::test]
async fn nothing_is_claimed_of_an_acceptance_under_way_in_doubt_or_dropped() {
    let (memory, recorder) = broken();
    memory.set(SinkBehavior::Works);
    recorder.set_registered();
    let under_way = recorder.begin();
    let id = under_way.new_request_id();
    tokio::time::sleep(Duration::from_millis(2)).await;
    recorder.flush().await.unwrap();
    assert!(stored(&memory, &recorder).may_hold(generated_at(id)));
    under_way.not_accepted();
    recorder.flush().await.unwrap();
    assert!(!stored(&memory, &recorder).may_hold(generated_at(id)));

    let in_doubt = recorder.begin();
    let id = in_doubt.new_request_id();
    drop(in_doubt); // Its caller went away.
    tokio::time::sleep(Duration::from_millis(2)).await;
    recorder.flush().await.unwrap();
    recorder.flush().await.unwrap();
    assert!(stored(&memory, &recorder).may_hold(generated_at(id)));

    let accepted = recorder.begin();
    let mut one = record();
    one.origin.request_id = accepted.new_request_id();
    let id = generated_at(one.origin.request_id);
    accepted.record_durably(one).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    recorder.flush().await.unwrap();
    assert!(!stored(&memory, &recorder).may_hold(id));
    recorder.close().await;
    assert!(!stored(&memory, &recorder).is_settled(), "one is in doubt");
}

#[tokio::test]
async fn ids_are_marked_until_the_journal_knows_the_recorder() {
    use crate::model::AbsenceEvidence;

    let recorder = Recorder::start(TestSink::new(SinkBehavior::Works), 10);
    let known = |id| AbsenceEvidence::default().is_proof(id, now_ms() + 1);
    assert!(!known(recorder.begin().new_request_id()));
    recorder.set_registered();
    assert!(known(recorder.begin().new_request_id()));
    recorder.close().await;
}
