//! Does a pause hold until it is resumed, for everybody who asks?

use crate::{Journal, Pause, PauseKind};

use super::{Rig, SECOND, now, open};

pub(super) async fn exercise(rig: &impl Rig) {
    let journal = open(rig, "pauses").await;
    a_pause_holds_until_it_is_resumed(&journal).await;
    of_several_who_pause_one_is_first(&journal).await;
    let left = a_pause(PauseKind::Target, "https://left.example:443", now());
    assert!(journal.pause(&left).await.expect("an answer"));
    journal.close().await;
    let journal = open(rig, "pauses").await;
    let found = journal.pauses().await.expect("an answer");
    assert_eq!(found, [left], "kept over a restart");
    journal.close().await;
}

fn a_pause(kind: PauseKind, name: &str, at: u64) -> Pause {
    Pause {
        kind,
        name: name.to_owned(),
        who: "ann@ops".to_owned(),
        at,
        reason: "they asked for quiet".to_owned(),
    }
}

async fn all(journal: &Journal) -> Vec<Pause> {
    journal.pauses().await.expect("an answer")
}

async fn a_pause_holds_until_it_is_resumed(journal: &Journal) {
    assert_eq!(all(journal).await, []);
    let (now, odd) = (now(), "T'001 \u{4e50}");
    let callee = a_pause(PauseKind::Callee, odd, now + SECOND);
    // The same name, and another kind of thing.
    let target = a_pause(PauseKind::Target, odd, now);
    for pause in [&callee, &target] {
        assert!(journal.pause(pause).await.expect("an answer"));
    }
    assert_eq!(all(journal).await, [target.clone(), callee.clone()]);
    let mut later = a_pause(PauseKind::Callee, odd, now + 9 * SECOND);
    later.who = "auto".to_owned();
    assert!(
        !journal.pause(&later).await.expect("an answer"),
        "the first word stays"
    );
    assert_eq!(all(journal).await, [target.clone(), callee.clone()]);
    let resume = async |kind, name| journal.resume(kind, name).await.expect("an answer");
    assert_eq!(resume(PauseKind::Callee, "another").await, None);
    assert_eq!(resume(PauseKind::Callee, odd).await, Some(callee));
    assert_eq!(resume(PauseKind::Callee, odd).await, None);
    assert_eq!(all(journal).await, std::slice::from_ref(&target));
    assert!(
        journal.pause(&later).await.expect("an answer"),
        "paused anew"
    );
    for pause in [target, later] {
        assert_eq!(resume(pause.kind, odd).await, Some(pause));
    }
    assert_eq!(all(journal).await, []);
}

async fn of_several_who_pause_one_is_first(journal: &Journal) {
    let pause = a_pause(PauseKind::Callee, "T002", now());
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (journal, pause) = (journal.clone(), pause.clone());
        askers.spawn(async move { journal.pause(&pause).await.expect("an answer") });
    }
    let first = askers.join_all().await.into_iter().filter(|it| *it);
    assert_eq!(first.count(), 1);
    let resumed = journal.resume(pause.kind, &pause.name).await;
    assert_eq!(resumed.expect("an answer"), Some(pause));
}
