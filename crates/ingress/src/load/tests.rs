//! Tests of the figures that admission uses.

use journal::AppCount;

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn counts(apps: &[(&str, u64, u64)]) -> UnfinishedCounts {
    UnfinishedCounts {
        total: apps.iter().map(|app| app.1).sum(),
        waiting: apps.iter().map(|app| app.2).sum(),
        apps: apps
            .iter()
            .map(|(app_id, unfinished, waiting)| AppCount {
                app_id: (*app_id).to_owned(),
                unfinished: *unfinished,
                waiting: *waiting,
            })
            .collect(),
    }
}

fn broker(delayed: u64, journal_batches: u64) -> BrokerLoad {
    BrokerLoad {
        due: Some(7),
        delayed: Some(delayed),
        journal_batches: Some(journal_batches),
        is_current: true,
    }
}

#[test]
fn an_apps_figure_is_the_journals_plus_what_was_accepted_since() {
    let mut state = State::default();
    state.recent.add("a", true, at(10));
    assert_eq!(state.of_app("a", at(10)), AppLoad::default(), "never read");
    state.read(counts(&[("a", 5, 3)]), &broker(3, 0), at(20), at(20));
    assert_eq!(state.of_app("a", at(20)), AppLoad { due: 2, waiting: 3 });
    // A record takes a moment to the journal.
    state.recent.add("a", false, at(19));
    state.recent.add("a", true, at(21));
    state.recent.add("new", true, at(21));
    assert_eq!(state.of_app("a", at(21)), AppLoad { due: 3, waiting: 4 });
    assert_eq!(state.of_app("new", at(21)), AppLoad { due: 0, waiting: 1 });
    // With the journal away the last reading holds, and what was accepted long ago is not added.
    assert_eq!(state.of_app("a", at(90)), AppLoad { due: 2, waiting: 3 });
    state.read(counts(&[]), &broker(0, 0), at(91), at(91));
    assert_eq!(state.of_app("a", at(91)), AppLoad::default());
}

#[test]
fn messages_of_cancelled_callbacks_do_not_wait() {
    let mut state = State::default();
    let waiting = |state: &State, broker: &BrokerLoad, now| state.load(broker, now).waiting();
    // All wait.
    state.read(counts(&[("a", 100, 100)]), &broker(100, 0), at(20), at(20));
    assert_eq!(waiting(&state, &broker(100, 0), at(20)), Some(100));
    // All are cancelled; RabbitMQ keeps the messages.
    state.read(counts(&[]), &broker(100, 0), at(30), at(30));
    assert_eq!(waiting(&state, &broker(100, 0), at(30)), Some(0));
    let load = state.load(&broker(100, 0), at(30));
    assert_eq!((load.delayed, load.stale), (Some(100), 100));
    // New ones wait at once, before both are read again, and are counted once then.
    state.recent.add("a", true, at(31));
    assert_eq!(waiting(&state, &broker(100, 0), at(31)), Some(1));
    state.read(counts(&[("a", 1, 1)]), &broker(101, 0), at(40), at(40));
    assert_eq!(waiting(&state, &broker(101, 0), at(40)), Some(1));
}

#[test]
fn records_on_their_way_to_the_journal_make_nothing_stale() {
    let mut state = State::default();
    state.read(counts(&[("a", 5, 5)]), &broker(105, 0), at(20), at(20));
    assert_eq!(state.stale, 100);
    // The journal's queue is not empty, or a figure is of another time: the last value holds.
    state.read(counts(&[]), &broker(500, 3), at(21), at(21));
    assert_eq!(state.stale, 100);
    let old = BrokerLoad {
        is_current: false,
        ..broker(500, 0)
    };
    state.read(counts(&[]), &old, at(22), at(22));
    assert_eq!(state.stale, 100);
    // Accepted a moment ago: perhaps not in the journal yet.
    state.recent.add("a", true, at(39));
    state.read(counts(&[]), &broker(0, 0), at(40), at(40));
    assert_eq!(state.stale, 0);
}

#[test]
fn what_the_broker_never_said_is_unknown() {
    let mut state = State::default();
    let unknown = BrokerLoad::default();
    state.read(counts(&[("a", 5, 5)]), &unknown, at(20), at(20));
    let load = state.load(&unknown, at(20));
    assert_eq!((load, load.waiting()), (Load::default(), None));
}

#[test]
fn the_apps_with_the_most_have_series_and_the_rest_share_one() {
    let mut state = State::default();
    let names: Vec<String> = (0..100).map(|number| format!("app-{number:02}")).collect();
    let mut apps: Vec<(&str, u64, u64)> = names.iter().map(|name| (&**name, 2, 1)).collect();
    apps.push(("most", 50, 10));
    apps.push(("other", 40, 4));
    state.read(counts(&apps), &broker(0, 0), at(20), at(20));
    let samples = state.samples(at(20));
    assert_eq!(samples.len(), MAX_NAMED_APPS + 1);
    assert_eq!((&*samples[0].app_id, samples[0].unfinished), ("most", 50));
    assert_eq!((&*samples[1].app_id, samples[1].waiting), ("app-00", 1));
    let others: Vec<_> = samples.iter().filter(|app| app.app_id == "other").collect();
    assert_eq!(
        others.len(),
        1,
        "an app of this name makes no second series"
    );
    assert_eq!(
        (others[0].unfinished, others[0].waiting),
        (81 * 2 + 40, 81 + 4)
    );
    let all: u64 = samples.iter().map(|app| app.unfinished).sum();
    assert_eq!(all, 290);
}
