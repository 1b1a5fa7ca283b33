//! The rollups equal what happened, whatever came twice and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::journal::Journal;
use crate::model::{
    BatchPart, BatchSpan, MAX_ROLLUP_NAMES, MINUTE_MS, OTHER_NAMES, Origin, Record, RecordedState,
    RecorderInfo, Replayable, Retention, RollupFigures, RollupPoint, RollupQuery, RollupSubject,
};

use super::counts::{Dice, any_record};
use super::fixture::{
    DAY, HOUR, JournalFixture, SECOND, accepted, attempted, dead, deferred, now, of_generation,
    open, origin, record, retrying, store,
};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "rollup").await;
    a_batch_that_is_stored_twice_is_counted_once(&journal).await;
    what_is_counted_counts_for_all_for_what_is_called_and_for_the_app(&journal).await;
    batches_in_any_order_count_the_same(&journal).await;
    a_batch_that_came_in_part_counts_the_rest(&journal).await;
    a_later_end_of_the_same_generation_takes_the_place_of_the_earlier(&journal).await;
    a_replay_counts_its_own_end_and_no_acceptance(&journal).await;
    steps_begin_at_multiples_and_add_up(&journal).await;
    old_minutes_are_removed(&journal).await;
    journal.close().await;
    let journal = open(fixture, "rollup-random").await;
    random_records_in_any_order_count_the_same(&journal).await;
    journal.close().await;
    let journal = open(fixture, "rollup-places").await;
    the_rest_of_a_minute_is_counted_together(&journal).await;
    journal.close().await;
    let journal = open(fixture, "rollup-writers").await;
    concurrent_writers_count_the_same(&journal).await;
    journal.close().await;
    they_begin_with_the_upgrade(fixture).await;
}

/// The start of a minute, an hour ago.
fn minute() -> u64 {
    let at = now() - HOUR;
    at - at % MINUTE_MS
}

fn of(app_id: &str, at: u64) -> Origin {
    Origin {
        app_id: app_id.to_owned(),
        ..origin(at)
    }
}

fn app(app_id: &str) -> RollupSubject {
    RollupSubject::App(app_id.to_owned())
}

/// The figures of each minute of the last day.
async fn minutes(journal: &Journal, subject: RollupSubject) -> BTreeMap<u64, RollupFigures> {
    let query = RollupQuery {
        subject,
        from: now() - DAY,
        until: now() + DAY,
        step: MINUTE_MS,
    };
    let points = journal.rollup(&query).await.expect("figures").into_iter();
    let filled = points.filter(|point| !point.figures.is_empty());
    filled.map(|point| (point.at, point.figures)).collect()
}

/// The figures of the last day.
async fn total(journal: &Journal, subject: RollupSubject) -> RollupFigures {
    let mut total = RollupFigures::default();
    for figures in minutes(journal, subject).await.values() {
        total += figures;
    }
    total
}

/// Accepted, delivered, failed, deferred, dead.
fn five(figures: &RollupFigures) -> [u64; 5] {
    let RollupFigures {
        accepted,
        delivered,
        failed,
        deferred,
        dead,
        ..
    } = *figures;
    [accepted, delivered, failed, deferred, dead]
}

/// Batches of one recorder, numbered one after the other.
struct Stream {
    recorder: RecorderInfo,
    last: u64,
}

impl Stream {
    fn new() -> Self {
        let recorder = RecorderInfo {
            id: Uuid::new_v4(),
            accepts: true,
            started_at: now() - HOUR,
        };
        Self { recorder, last: 0 }
    }

    fn batch(&mut self, records: &[Record]) -> (Vec<Record>, BatchPart) {
        let count = u64::try_from(records.len()).expect("a length");
        let first = self.last + 1;
        self.last += count;
        (records.to_vec(), self.part(first, self.last))
    }

    fn part(&self, first: u64, last: u64) -> BatchPart {
        let started_at = self.recorder.started_at;
        BatchPart {
            records: usize::try_from(last + 1 - first).expect("a length"),
            span: Some(BatchSpan {
                recorder: self.recorder,
                first,
                last,
                since: started_at + first,
                until: started_at + last + 1,
                closes: false,
            }),
        }
    }
}

async fn store_batch(journal: &Journal, (records, part): &(Vec<Record>, BatchPart)) {
    let stored = journal.record_batches(records, &[*part]).await;
    stored.expect("a stored batch");
}

/// A callback that is deferred twice, fails, and is delivered: five records.
fn life(callback: &Origin) -> [Record; 5] {
    let at = callback.accepted_at;
    [
        accepted(callback),
        record(callback, 1, at + 1, deferred(at + 10)),
        record(callback, 1, at + 2, deferred(at + 20)),
        attempted(callback, 1, 1, at + 3, retrying(at + HOUR)),
        attempted(callback, 2, 2, at + 4, RecordedState::Delivered),
    ]
}

async fn a_batch_that_is_stored_twice_is_counted_once(journal: &Journal) {
    let mut stream = Stream::new();
    let callback = of("twice", minute());
    let batch = stream.batch(&life(&callback));
    for _ in 0..3 {
        store_batch(journal, &batch).await;
        let figures = total(journal, app("twice")).await;
        assert_eq!(five(&figures), [1, 1, 1, 2, 0]);
        assert_eq!((figures.attempts(), figures.duration_ms), (2, 24));
        assert_eq!(figures.latency[2], 2, "12 ms are between 10 and 25");
    }
    // The same part twice in one transaction.
    let callback = of("twice-at-once", minute());
    let (records, part) = stream.batch(&life(&callback));
    let both = [records.clone(), records].concat();
    let stored = journal.record_batches(&both, &[part, part]).await;
    stored.expect("two stored batches");
    let figures = total(journal, app("twice-at-once")).await;
    assert_eq!(five(&figures), [1, 1, 1, 2, 0]);
}

async fn what_is_counted_counts_for_all_for_what_is_called_and_for_the_app(journal: &Journal) {
    let at = minute() - 5 * MINUTE_MS;
    let mut by_number = of("subjects", at);
    by_number.callback_url = None;
    by_number.callee_no = Some("T-subjects".to_owned());
    let mut by_url = of("subjects", at);
    by_url.target = "https://subjects.example:443".to_owned();
    by_url.callee_no = Some("T-subjects".to_owned());
    let mut stream = Stream::new();
    for callback in [&by_number, &by_url] {
        store_batch(journal, &stream.batch(&life(callback))).await;
    }
    let callee = RollupSubject::Callee("T-subjects".to_owned());
    let target = RollupSubject::Target(by_url.target.clone());
    for (subject, callbacks) in [
        (RollupSubject::All, 2),
        (callee, 1),
        (target, 1),
        (app("subjects"), 2),
    ] {
        let figures = minutes(journal, subject.clone()).await[&at];
        let expected = [1, 1, 1, 2, 0].map(|count| count * callbacks);
        assert_eq!(five(&figures), expected, "{subject:?}");
    }
    let unknown = RollupSubject::Target("https://unknown.example:443".to_owned());
    assert_eq!(minutes(journal, unknown).await, BTreeMap::new());
}

async fn batches_in_any_order_count_the_same(journal: &Journal) {
    for (number, order) in [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 4, 0, 3, 1],
        [3, 1, 4, 0, 2],
        [1, 0, 2, 4, 3],
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = Stream::new();
        let name = format!("order-{number}");
        let callback = of(&name, minute());
        let batches = life(&callback).map(|record| stream.batch(&[record]));
        for index in order {
            store_batch(journal, &batches[index]).await;
            store_batch(journal, &batches[order[0]]).await;
        }
        let figures = total(journal, app(&name)).await;
        assert_eq!(five(&figures), [1, 1, 1, 2, 0], "{order:?}");
    }
}

/// A batch whose publish was in doubt is put again together with the next one.
async fn a_batch_that_came_in_part_counts_the_rest(journal: &Journal) {
    let mut stream = Stream::new();
    let callback = of("in-part", minute());
    let records = life(&callback);
    let first = stream.batch(&records[..2]);
    store_batch(journal, &first).await;
    assert_eq!(total(journal, app("in-part")).await.deferred, 1);
    stream.batch(&records[2..]);
    let whole = (records.to_vec(), stream.part(1, 5));
    for _ in 0..2 {
        store_batch(journal, &whole).await;
        let figures = total(journal, app("in-part")).await;
        assert_eq!(five(&figures), [1, 1, 1, 2, 0]);
    }
}

/// A dispatcher gives a callback up and is killed before it settles the message; another one delivers.
async fn a_later_end_of_the_same_generation_takes_the_place_of_the_earlier(journal: &Journal) {
    let at = minute();
    for (name, first, second) in [("ends-1", 0, 1), ("ends-2", 1, 0)] {
        let callback = of(name, at);
        let records = [
            attempted(&callback, 1, 1, at + 1, dead("rejected")),
            attempted(&callback, 1, 2, at + MINUTE_MS, RecordedState::Delivered),
        ];
        store(journal, &records[first..=first]).await;
        store(journal, &records[second..=second]).await;
        let minutes = minutes(journal, app(name)).await;
        assert_eq!(five(&minutes[&at]), [1, 0, 1, 0, 0], "{name}");
        assert_eq!(five(&minutes[&(at + MINUTE_MS)]), [0, 1, 0, 0, 0], "{name}");
    }
}

async fn a_replay_counts_its_own_end_and_no_acceptance(journal: &Journal) {
    let at = minute();
    let callback = of("replayed", at);
    let id = callback.request_id;
    let first = [
        accepted(&callback),
        attempted(&callback, 1, 1, at + 1, dead("exhausted")),
    ];
    store(journal, &first).await;
    let taken = journal
        .take_replay(id, Replayable::DeadLetters, at + 2)
        .await;
    taken.expect("a replay");
    let confirmed = journal.confirm_replays(&[(id, 1)]).await;
    confirmed.expect("a result");
    assert_eq!(
        five(&total(journal, app("replayed")).await),
        [1, 0, 1, 0, 1]
    );
    let delivered = attempted(&callback, 1, 2, at + 3, RecordedState::Delivered);
    let again = of_generation(1, delivered);
    for _ in 0..2 {
        store(journal, std::slice::from_ref(&again)).await;
        // The records of the first generation come again as well.
        store(journal, &first).await;
        assert_eq!(
            five(&total(journal, app("replayed")).await),
            [1, 1, 1, 0, 1]
        );
    }
}

async fn steps_begin_at_multiples_and_add_up(journal: &Journal) {
    let at = minute() - HOUR;
    let at = at - at % HOUR;
    for number in 0..10 {
        store(journal, &[accepted(&of("steps", at + number * MINUTE_MS))]).await;
    }
    let query = |from, until, step| RollupQuery {
        subject: app("steps"),
        from,
        until,
        step,
    };
    let counts = async |query: RollupQuery| {
        let points = journal.rollup(&query).await.expect("figures").into_iter();
        let points = points.map(|RollupPoint { at, figures }| (at, figures.accepted));
        points.collect::<Vec<_>>()
    };
    let five_minutes = 5 * MINUTE_MS;
    let by_five = counts(query(at, at + HOUR, five_minutes)).await;
    assert_eq!(by_five, [(at, 5), (at + five_minutes, 5)]);
    let bounded = counts(query(at + MINUTE_MS, at + 3 * MINUTE_MS, HOUR)).await;
    assert_eq!(bounded, [(at, 2)]);
    assert_eq!(counts(query(at + HOUR, at + DAY, HOUR)).await, []);
}

async fn old_minutes_are_removed(journal: &Journal) {
    let kept = Duration::from_secs(3 * 3_600);
    let retention = Retention {
        callbacks: 30 * Duration::from_millis(DAY),
        dead_letters: 30 * Duration::from_millis(DAY),
        delivered: Duration::ZERO,
        audits: 30 * Duration::from_millis(DAY),
        rollups: kept,
    };
    let (old, young) = (now() - 4 * HOUR, minute());
    store(
        journal,
        &[accepted(&of("kept", old)), accepted(&of("kept", young))],
    )
    .await;
    assert_eq!(total(journal, app("kept")).await.accepted, 2);
    let mut removed = 0;
    loop {
        let progress = journal.apply_retention(retention, now()).await;
        let progress = progress.expect("progress");
        removed += progress.rollups;
        if !progress.more {
            break;
        }
    }
    assert!(removed >= 3, "{removed}");
    let left: Vec<u64> = minutes(journal, app("kept")).await.into_keys().collect();
    assert_eq!(left, [young]);
}

/// The same records, once in their order and once in another, in other batches, and some twice.
async fn random_records_in_any_order_count_the_same(journal: &Journal) {
    for seed in 0..8 {
        let mut dice = Dice(seed);
        let names = ["ordered", "shuffled"].map(|name| format!("{name}-{seed}"));
        let at = minute();
        let callbacks: Vec<[Origin; 2]> = (0..6)
            .map(|_| [of(&names[0], at), of(&names[1], at)])
            .collect();
        let mut records: [Vec<Record>; 2] = [Vec::new(), Vec::new()];
        for run in 0..60 {
            let [one, other] = dice.pick(&callbacks);
            let mut record = any_record(&mut dice, one);
            record.at += dice.roll(4) * MINUTE_MS;
            let attempt = record.attempted.as_mut().expect("an attempt");
            attempt.run = run;
            let record = of_generation(0, record);
            records[1].push(Record {
                origin: other.clone(),
                ..record.clone()
            });
            records[0].push(record);
        }
        let mut stream = Stream::new();
        store_batch(journal, &stream.batch(&records[0])).await;

        let mut stream = Stream::new();
        let mut batches = Vec::new();
        let mut left = records[1].as_slice();
        while !left.is_empty() {
            let size = usize::try_from(1 + dice.roll(7)).expect("a size");
            let (batch, rest) = left.split_at(size.min(left.len()));
            batches.push(stream.batch(batch));
            left = rest;
        }
        let mut stored = Vec::new();
        while !batches.is_empty() {
            let sides = u64::try_from(batches.len()).expect("a length");
            let next = usize::try_from(dice.roll(sides)).expect("an index");
            stored.push(batches.swap_remove(next));
            store_batch(journal, stored.last().expect("a batch")).await;
            store_batch(journal, dice.pick(&stored)).await;
        }
        let [ordered, shuffled] = &names;
        let ordered = minutes(journal, app(ordered)).await;
        assert_eq!(
            minutes(journal, app(shuffled)).await,
            ordered,
            "seed {seed}"
        );
        let accepted: u64 = ordered.values().map(|it| it.accepted).sum();
        assert!((1..=6).contains(&accepted), "{ordered:?}");
    }
}

async fn the_rest_of_a_minute_is_counted_together(journal: &Journal) {
    let (at, most) = (minute(), MAX_ROLLUP_NAMES);
    let name = |number: usize| format!("app-{number:04}");
    let of_apps = |numbers: std::ops::Range<usize>, at| -> Vec<Record> {
        numbers
            .map(|number| accepted(&of(&name(number), at)))
            .collect()
    };
    let count = async |name: &str, at| {
        let minutes = minutes(journal, app(name)).await;
        minutes.get(&at).map_or(0, |figures| figures.accepted)
    };
    store(journal, &of_apps(0..most - 10, at)).await;
    // Of a batch with more new names than places, those with the most get them.
    let mut batch = of_apps(most - 10..most + 30, at);
    batch.extend(of_apps(most + 20..most + 30, at));
    store(journal, &batch).await;
    assert_eq!(count(&name(most + 25), at).await, 2);
    assert_eq!(count(&name(most), at).await, 0);
    assert_eq!(count(OTHER_NAMES, at).await, 30);
    // Later ones find no place, those that have one keep it, and another minute has places of its own.
    store(journal, &of_apps(most..most + 1, at)).await;
    store(journal, &of_apps(0..1, at)).await;
    store(journal, &of_apps(most..most + 1, at + MINUTE_MS)).await;
    assert_eq!(count(OTHER_NAMES, at).await, 31);
    assert_eq!(count(&name(0), at).await, 2);
    assert_eq!(count(&name(most), at + MINUTE_MS).await, 1);
    // One that calls itself like the rest is counted with them.
    store(journal, &[accepted(&of(OTHER_NAMES, at))]).await;
    assert_eq!(count(OTHER_NAMES, at).await, 32);
    let all = minutes(journal, RollupSubject::All).await[&at].accepted;
    let mut named = 0;
    for number in 0..most + 30 {
        named += count(&name(number), at).await;
    }
    assert_eq!(named + 32, all, "nothing is lost");
}

/// Several writers, whose batches name the same minutes, apps and new names in any order.
async fn concurrent_writers_count_the_same(journal: &Journal) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 12;
    const SIZE: u64 = 15;
    let at = minute();
    let mut writers = tokio::task::JoinSet::new();
    for seed in 0..WRITERS {
        let journal = journal.clone();
        writers.spawn(async move {
            let mut dice = Dice(seed);
            let mut stream = Stream::new();
            for batch in 0..BATCHES {
                let records = (0..SIZE).map(|number| {
                    let shared = number < SIZE / 2;
                    let name = match shared {
                        true => format!("shared-{}", dice.roll(5)),
                        false => format!("own-{seed}-{batch}-{number}"),
                    };
                    let at = at + dice.roll(3) * MINUTE_MS;
                    attempted(&of(&name, at), 1, 1, at, RecordedState::Delivered)
                });
                let records: Vec<Record> = records.collect();
                store_batch(&journal, &stream.batch(&records)).await;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer without a deadlock");
    }
    let callbacks = WRITERS * BATCHES * SIZE;
    let all = total(journal, RollupSubject::All).await;
    assert_eq!(five(&all), [callbacks, callbacks, 0, 0, 0]);
    let mut shared = 0;
    for number in 0..5 {
        shared += total(journal, app(&format!("shared-{number}")))
            .await
            .accepted;
    }
    assert_eq!(shared, WRITERS * BATCHES * (SIZE / 2));
}

async fn they_begin_with_the_upgrade(fixture: &impl JournalFixture) {
    let name = "rollup-upgrade";
    let journal = open(fixture, name).await;
    let at = minute();
    let callback = of("upgraded", at);
    store(&journal, &[accepted(&callback)]).await;
    journal.close().await;
    fixture.downgrade_to_version_5(name).await;
    let journal = open(fixture, name).await;
    assert_eq!(
        total(&journal, RollupSubject::All).await,
        RollupFigures::default()
    );
    let delivered = attempted(&callback, 1, 1, at + SECOND, RecordedState::Delivered);
    store(&journal, &[accepted(&callback), delivered]).await;
    let figures = total(&journal, RollupSubject::All).await;
    assert_eq!(five(&figures), [0, 1, 0, 0, 0], "it was accepted before");
    journal.close().await;
}
