//! A pause holds until it is resumed, for every process.

use crate::journal::Journal;
use crate::model::{Pause, PauseKind};

use super::fixture::{JournalFixture, SECOND, now, open};

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    let journal = open(fixture, "pauses").await;
    a_pause_holds_until_it_is_resumed(&journal).await;
    of_concurrent_pauses_one_is_first(&journal).await;
    pauses_of_every_kind_are_kept(&journal).await;
    let left = a_pause(PauseKind::Target, "https://left.example:443", now());
    assert!(journal.pause(&left).await.expect("a result"));
    journal.close().await;
    let journal = open(fixture, "pauses").await;
    let found = journal.pauses().await.expect("a result");
    assert_eq!(found, [left], "kept over a restart");
    journal.close().await;
}

fn a_pause(kind: PauseKind, name: &str, at: u64) -> Pause {
    Pause {
        kind,
        name: name.to_owned(),
        paused_by: "ann@ops".to_owned(),
        paused_at: at,
        reason: "planned maintenance".to_owned(),
    }
}

async fn all(journal: &Journal) -> Vec<Pause> {
    journal.pauses().await.expect("a result")
}

async fn a_pause_holds_until_it_is_resumed(journal: &Journal) {
    assert_eq!(all(journal).await, []);
    let (now, odd) = (now(), "T'001 \u{4e50}");
    let callee = a_pause(PauseKind::Callee, odd, now + SECOND);
    // The same name, of another kind.
    let target = a_pause(PauseKind::Target, odd, now);
    for pause in [&callee, &target] {
        assert!(journal.pause(pause).await.expect("a result"));
    }
    assert_eq!(all(journal).await, [target.clone(), callee.clone()]);
    let mut later = a_pause(PauseKind::Callee, odd, now + 9 * SECOND);
    later.paused_by = "auto".to_owned();
    assert!(
        !journal.pause(&later).await.expect("a result"),
        "the first pause stays"
    );
    assert_eq!(all(journal).await, [target.clone(), callee.clone()]);
    let resume = async |kind, name| journal.resume(kind, name).await.expect("a result");
    assert_eq!(resume(PauseKind::Callee, "another").await, None);
    assert_eq!(resume(PauseKind::Callee, odd).await, Some(callee));
    assert_eq!(resume(PauseKind::Callee, odd).await, None);
    assert_eq!(all(journal).await, std::slice::from_ref(&target));
    assert!(
        journal.pause(&later).await.expect("a result"),
        "paused again"
    );
    for pause in [target, later] {
        assert_eq!(resume(pause.kind, odd).await, Some(pause));
    }
    assert_eq!(all(journal).await, []);
}

async fn of_concurrent_pauses_one_is_first(journal: &Journal) {
    let pause = a_pause(PauseKind::Callee, "T002", now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (journal, pause) = (journal.clone(), pause.clone());
        tasks.spawn(async move { journal.pause(&pause).await.expect("a result") });
    }
    let first = tasks.join_all().await.into_iter().filter(|paused| *paused);
    assert_eq!(first.count(), 1);
    let resumed = journal.resume(pause.kind, &pause.name).await;
    assert_eq!(resumed.expect("a result"), Some(pause));
}

async fn pauses_of_every_kind_are_kept(journal: &Journal) {
    let now = now();
    let pauses = PauseKind::ALL.map(|kind| a_pause(kind, PauseKind::EVERYTHING, now));
    for pause in &pauses {
        assert!(journal.pause(pause).await.expect("a result"));
    }
    let mut found = all(journal).await;
    found.sort_by_key(|pause| pause.kind);
    assert_eq!(found, pauses);
    for pause in pauses {
        let resumed = journal.resume(pause.kind, &pause.name).await;
        assert_eq!(resumed.expect("a result"), Some(pause));
    }
}
