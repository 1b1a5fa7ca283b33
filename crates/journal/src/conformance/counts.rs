//! The counts per app equal what a count of the rows gives, whatever happened in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::journal::Journal;
use crate::model::{AppCount, Filter, Origin, Record, RecordedState, Retention, UnfinishedCounts};

use super::fixture::{
    DAY, HOUR, JournalFixture, QUEUED, SECOND, accepted, attempted, dead, deferred, now,
    of_generation, open, origin, record, retrying, store,
};

const ALL: u32 = 1_000;

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "counts").await;
    every_change_is_counted_once(&journal).await;
    apps_with_nothing_unfinished_are_not_listed(&journal).await;
    retention_counts_nothing(&journal).await;
    journal.close().await;
    let journal = open(fixture, "counts-random").await;
    random_changes_in_any_order_are_counted(&journal).await;
    journal.close().await;
    let journal = open(fixture, "counts-concurrent").await;
    concurrent_writers_count_the_same(&journal).await;
    journal.close().await;
    the_first_figures_are_those_of_the_rows(fixture).await;
}

async fn counts(journal: &Journal) -> UnfinishedCounts {
    journal.unfinished(ALL).await.expect("counts")
}

/// Unfinished and waiting of one app.
async fn of_app(journal: &Journal, app_id: &str) -> (u64, u64) {
    let apps = counts(journal).await.apps;
    let found = apps.into_iter().find(|app| app.app_id == app_id);
    found.map_or((0, 0), |app| (app.unfinished, app.waiting))
}

fn of(app_id: &str, at: u64) -> Origin {
    Origin {
        app_id: app_id.to_owned(),
        ..origin(at)
    }
}

fn delayed(callback: &Origin, not_before: u64) -> Record {
    let state = RecordedState::Queued {
        not_before: Some(not_before),
    };
    record(callback, 1, callback.accepted_at, state)
}

/// The same figures from the rows.
async fn counted_from_rows(journal: &Journal) -> UnfinishedCounts {
    let mut apps: BTreeMap<String, AppCount> = BTreeMap::new();
    let mut after = None;
    loop {
        let filter = Filter {
            discarded: true,
            ..Filter::default()
        };
        let page = journal.list(&filter, after, ALL, 0).await.expect("a page");
        for callback in page
            .callbacks
            .iter()
            .filter(|row| row.status.is_unfinished())
        {
            let app_id = &callback.origin.app_id;
            let app = apps.entry(app_id.clone()).or_insert_with(|| AppCount {
                app_id: app_id.clone(),
                unfinished: 0,
                waiting: 0,
            });
            app.unfinished += 1;
            app.waiting += u64::from(callback.next_attempt_at.is_some());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut apps: Vec<AppCount> = apps.into_values().collect();
    apps.sort_by(|one, other| {
        let most_first = other.unfinished.cmp(&one.unfinished);
        most_first.then_with(|| one.app_id.cmp(&other.app_id))
    });
    UnfinishedCounts {
        total: apps.iter().map(|app| app.unfinished).sum(),
        waiting: apps.iter().map(|app| app.waiting).sum(),
        apps,
    }
}

async fn every_change_is_counted_once(journal: &Journal) {
    let at = now();
    let app = "counted";
    let callback = of(app, at);
    let margin = Duration::from_secs(1);
    let id = callback.request_id;
    assert_eq!(of_app(journal, app).await, (0, 0));
    for _ in 0..3 {
        store(journal, &[accepted(&callback)]).await;
        assert_eq!(of_app(journal, app).await, (1, 0));
    }
    store(
        journal,
        &[attempted(&callback, 1, 1, at, retrying(at + HOUR))],
    )
    .await;
    assert_eq!(of_app(journal, app).await, (1, 1));
    store(journal, &[record(&callback, 2, at, deferred(at + HOUR))]).await;
    assert_eq!(of_app(journal, app).await, (1, 1));
    store(
        journal,
        &[attempted(&callback, 2, 2, at, dead("exhausted"))],
    )
    .await;
    assert_eq!(of_app(journal, app).await, (0, 0));
    // What comes late changes nothing.
    store(journal, &[accepted(&callback)]).await;
    assert_eq!(of_app(journal, app).await, (0, 0));
    journal
        .take_replay(id, crate::model::Replayable::Ended, at + 1)
        .await
        .expect("a replay");
    assert_eq!(of_app(journal, app).await, (1, 0));
    journal.confirm_replays(&[(id, 1)]).await.expect("a result");
    let again = of_generation(1, attempted(&callback, 1, 3, at + 2, retrying(at + HOUR)));
    store(journal, &[again]).await;
    assert_eq!(of_app(journal, app).await, (1, 1));
    for _ in 0..2 {
        let cancelled = journal.cancel(id, None, at + 3, margin).await;
        cancelled.expect("a result");
        assert_eq!(of_app(journal, app).await, (0, 0));
    }
    // A delivery that was under way beats the cancellation: ended, too.
    let delivered = attempted(&callback, 2, 4, at + 4, RecordedState::Delivered);
    store(journal, &[of_generation(1, delivered)]).await;
    assert_eq!(of_app(journal, app).await, (0, 0));
    let other = of(app, at);
    store(
        journal,
        &[delayed(&other, at + DAY), delayed(&of(app, at), at + DAY)],
    )
    .await;
    assert_eq!(of_app(journal, app).await, (2, 2));
    assert_eq!(counts(journal).await, counted_from_rows(journal).await);
}

async fn apps_with_nothing_unfinished_are_not_listed(journal: &Journal) {
    let at = now();
    for number in 0..50_u32 {
        let callback = of(&format!("brief-{number}"), at);
        store(journal, &[accepted(&callback)]).await;
        store(
            journal,
            &[record(&callback, 1, at, RecordedState::Delivered)],
        )
        .await;
    }
    let most = of("most", at);
    let many: Vec<Record> = (0..5).map(|_| accepted(&of("most", at))).collect();
    store(journal, &many).await;
    store(journal, &[accepted(&most)]).await;
    let all = counts(journal).await;
    assert_eq!(all, counted_from_rows(journal).await);
    assert_eq!(all.apps.len(), 2, "{all:?}");
    let one = journal.unfinished(1).await.expect("counts");
    assert_eq!(one.apps, all.apps[..1]);
    assert_eq!((one.total, one.waiting), (all.total, all.waiting));
    let none = journal.unfinished(0).await.expect("counts");
    assert_eq!((none.apps.len(), none.total), (0, all.total));
}

/// Retention removes what has ended, and idle apps with it; the figures stay the same.
async fn retention_counts_nothing(journal: &Journal) {
    let at = now() - 40 * DAY;
    let (ended, open) = (of("old", at), of("old", at + 5 * DAY));
    store(journal, &[accepted(&ended), accepted(&open)]).await;
    store(journal, &[record(&ended, 1, at, dead("exhausted"))]).await;
    let before = counts(journal).await;
    let retention = Retention {
        callbacks: 30 * Duration::from_millis(DAY),
        dead_letters: 30 * Duration::from_millis(DAY),
        delivered: Duration::ZERO,
        audits: 30 * Duration::from_millis(DAY),
        rollups: Duration::from_secs(30 * 24 * 3_600),
    };
    for _ in 0..3 {
        let applied = journal.apply_retention(retention, now()).await;
        applied.expect("progress");
    }
    assert_eq!(counts(journal).await, before);
    assert_eq!(of_app(journal, "old").await, (1, 0));
    assert_eq!(counts(journal).await, counted_from_rows(journal).await);
}

/// The same numbers in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let sides = u64::try_from(all.len()).expect("a length");
        &all[usize::try_from(self.roll(sides)).expect("an index")]
    }
}

/// Any record of a callback, of the past or of the future.
pub(super) fn any_record(dice: &mut Dice, callback: &Origin) -> Record {
    let at = callback.accepted_at + dice.roll(100);
    let attempt = u32::try_from(1 + dice.roll(3)).expect("a number");
    let state = match dice.roll(8) {
        0 => QUEUED,
        1 => RecordedState::Queued {
            not_before: Some(at + HOUR),
        },
        2 => deferred(at + HOUR),
        3 => retrying(at + HOUR),
        4 => RecordedState::Delivered,
        5 => dead("exhausted"),
        6 => RecordedState::Expired,
        _ => RecordedState::Cancelled,
    };
    let generation = u32::try_from(dice.roll(3)).expect("a number");
    of_generation(
        generation,
        attempted(callback, attempt, dice.roll(4), at, state),
    )
}

/// One change of a random kind.
async fn change(
    journal: &Journal,
    dice: &mut Dice,
    callbacks: &[Origin],
    written: &mut Vec<Record>,
) {
    let callback = dice.pick(callbacks);
    let (id, at) = (callback.request_id, callback.accepted_at + dice.roll(100));
    match dice.roll(8) {
        0 => {
            let margin = Duration::from_secs(dice.roll(2) * 7_200);
            let cancelled = journal.cancel(id, None, at, margin).await;
            cancelled.expect("a result");
        }
        1 => {
            let taken = journal
                .take_replay(id, crate::model::Replayable::Ended, at)
                .await;
            taken.expect("a result");
        }
        2 => {
            let filter = Filter {
                app_id: Some(callback.app_id.clone()),
                ..Filter::default()
            };
            let taken = journal.take_replays(&filter, 3, at).await;
            taken.expect("replays");
        }
        3 => {
            let generation = u32::try_from(dice.roll(3)).expect("a number");
            let confirmed = journal.confirm_replays(&[(id, generation)]).await;
            confirmed.expect("a result");
        }
        4 => {
            let discarded = journal.discard_one(id).await;
            discarded.expect("a result");
        }
        5 if !written.is_empty() => {
            let again: Vec<Record> = (0..4).map(|_| dice.pick(written).clone()).collect();
            store(journal, &again).await;
        }
        _ => {
            let batch: Vec<Record> = (0..=dice.roll(6))
                .map(|_| {
                    let callback = dice.pick(callbacks);
                    any_record(dice, callback)
                })
                .collect();
            store(journal, &batch).await;
            written.extend(batch);
        }
    }
}

fn some_callbacks(apps: usize, each: usize) -> Vec<Origin> {
    let at = now();
    let apps = (0..apps).map(|number| format!("app-{number}"));
    apps.flat_map(|app| (0..each).map(move |_| of(&app, at)))
        .collect()
}

async fn random_changes_in_any_order_are_counted(journal: &Journal) {
    let mut written = Vec::new();
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let callbacks = some_callbacks(4, 6);
        for step in 0..60 {
            change(journal, &mut dice, &callbacks, &mut written).await;
            let counted = counts(journal).await;
            assert_eq!(
                counted,
                counted_from_rows(journal).await,
                "seed {seed}, step {step}"
            );
        }
        written.clear();
    }
}

/// Several writers, whose batches name the same apps and callbacks in any order, while idle apps
/// are removed.
async fn concurrent_writers_count_the_same(journal: &Journal) {
    let callbacks = some_callbacks(6, 4);
    let mut writers = tokio::task::JoinSet::new();
    for seed in 0..8 {
        let (journal, callbacks) = (journal.clone(), callbacks.clone());
        writers.spawn(async move {
            let mut dice = Dice(seed);
            let mut written = Vec::new();
            for _ in 0..40 {
                change(&journal, &mut dice, &callbacks, &mut written).await;
            }
        });
    }
    let tidying = async {
        let retention = Retention {
            callbacks: Duration::from_millis(DAY),
            dead_letters: Duration::from_millis(DAY),
            delivered: Duration::ZERO,
            audits: Duration::from_millis(DAY),
            rollups: Duration::from_secs(30 * 24 * 3_600),
        };
        loop {
            let applied = journal.apply_retention(retention, now()).await;
            applied.expect("progress");
            tokio::time::sleep(Duration::from_millis(SECOND / 100)).await;
        }
    };
    let writing = async {
        while let Some(ended) = writers.join_next().await {
            ended.expect("a writer without a deadlock");
        }
    };
    tokio::select! {
        () = writing => {}
        () = tidying => {}
    }
    assert_eq!(counts(journal).await, counted_from_rows(journal).await);
    // Everything ends.
    let ends: Vec<Record> = callbacks
        .iter()
        .map(|callback| {
            let delivered = record(callback, 9, now(), RecordedState::Delivered);
            of_generation(99, delivered)
        })
        .collect();
    store(journal, &ends).await;
    assert_eq!(counts(journal).await, UnfinishedCounts::default());
}

/// Tables of version 3, of 0.2.0, are upgraded with what they hold.
async fn the_first_figures_are_those_of_the_rows(fixture: &impl JournalFixture) {
    let name = "counts-upgrade";
    let journal = open(fixture, name).await;
    let at = now();
    let (one, other) = (of("one", at), of("other", at));
    store(&journal, &[accepted(&one), delayed(&other, at + DAY)]).await;
    store(
        &journal,
        &[accepted(&of("one", at)), accepted(&of("ended", at))],
    )
    .await;
    let ended = record(&of("ended", at), 1, at, RecordedState::Delivered);
    store(&journal, &[ended]).await;
    let before = counts(&journal).await;
    journal.close().await;
    fixture.downgrade_to_version_3(name).await;
    let journal = open(fixture, name).await;
    assert_eq!(counts(&journal).await, before);
    assert_eq!(counts(&journal).await, counted_from_rows(&journal).await);
    store(&journal, &[record(&one, 1, at, RecordedState::Delivered)]).await;
    assert_eq!(of_app(&journal, "one").await, (1, 0));
    journal.close().await;
}
