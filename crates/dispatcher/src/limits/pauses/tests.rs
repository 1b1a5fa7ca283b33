//! Tests of pauses without a journal, and of automatic pauses.

use super::*;

fn callee(no: &str) -> LimitKey {
    LimitKey::Callee(no.into())
}

fn callee_key(no: &str) -> PauseKey {
    callee(no).into()
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: None,
    }
}

/// How many callees and targets are paused.
fn paused(pauses: &PauseRegistry) -> usize {
    pauses.counts().targets
}

fn auto(on_gone: bool, after: Duration) -> PauseRegistry {
    PauseRegistry::new(None, AutoPauseConfig { on_gone, after })
}

#[tokio::test]
async fn without_a_journal_a_pause_lasts_in_this_process_until_it_is_resumed() {
    let pauses = PauseRegistry::default();
    let target = LimitKey::parse("https://host.example/x").unwrap();
    let pause = async |key: &LimitKey| {
        let key = PauseKey::from(key.clone());
        let made = pauses
            .pause(&key, "ann".to_owned(), "quiet".to_owned())
            .await;
        made.unwrap()
    };
    assert!(pause(&target).await);
    assert!(!pause(&target).await, "paused already");
    assert!(pause(&callee("A")).await);
    assert!(pauses.is_paused(&target) && pauses.is_paused(&callee("A")));
    assert!(!pauses.is_paused(&callee("B")));
    let names: Vec<String> = pauses
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|pause| pause.name)
        .collect();
    assert_eq!((names.len(), paused(&pauses)), (2, 2), "{names:?}");
    assert!(
        names.contains(&"https://host.example:443".to_owned()),
        "{names:?}"
    );
    let resumed = pauses
        .resume(&target.clone().into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (resumed.paused_by.as_str(), resumed.reason.as_str()),
        ("ann", "quiet")
    );
    assert!(!pauses.is_paused(&target));
    assert_eq!(pauses.resume(&target.clone().into()).await.unwrap(), None);
}

#[tokio::test]
async fn only_410_pauses_and_only_if_configured() {
    let (off, on) = (auto(false, Duration::ZERO), auto(true, Duration::ZERO));
    for status in [200, 404, 500, 503] {
        on.call_ended(Some(&callee("A")), &answered(status));
    }
    on.call_ended(None, &answered(410));
    assert_eq!(paused(&on), 0);
    for pauses in [&off, &on] {
        pauses.call_ended(Some(&callee("A")), &answered(410));
    }
    assert_eq!((paused(&off), paused(&on)), (0, 1));
    let made = &on.list().await.unwrap()[0];
    assert_eq!(made.paused_by, "auto");
    assert!(made.reason.contains("410"), "{made:?}");
}

#[tokio::test]
async fn a_long_failure_pauses_and_one_success_restarts_the_count() {
    let pauses = auto(false, Duration::from_millis(1));
    let (key, other) = (callee("A"), callee("B"));
    let wait = || tokio::time::sleep(Duration::from_millis(3));
    for key in [&key, &other] {
        pauses.call_ended(Some(key), &answered(503));
    }
    wait().await;
    pauses.call_ended(Some(&key), &answered(400)); // An answer, so a success for the target.
    pauses.call_ended(Some(&key), &Outcome::ConnectionRefused);
    pauses.call_ended(Some(&other), &Outcome::ResolverDown); // Not the target's fault.
    assert_eq!(paused(&pauses), 0);
    pauses.call_ended(Some(&other), &Outcome::Timeout);
    assert!(pauses.is_paused(&other) && !pauses.is_paused(&key));
    wait().await;
    pauses.call_ended(Some(&key), &Outcome::Timeout);
    assert!(pauses.is_paused(&key));
}

#[tokio::test]
async fn ten_thousand_dead_hosts_do_not_switch_auto_pause_off_for_others() {
    let pauses = auto(false, Duration::from_millis(1));
    for host in 0..MAX_FAILING {
        pauses.call_ended(Some(&callee(&host.to_string())), &answered(503));
    }
    // The oldest of them still fails.
    pauses.call_ended(Some(&callee("0")), &answered(503));
    assert!(pauses.0.failing.lock().unwrap().len() <= MAX_FAILING);
    let before = paused(&pauses);
    let key = callee("one more");
    pauses.call_ended(Some(&key), &answered(503));
    tokio::time::sleep(Duration::from_millis(3)).await;
    pauses.call_ended(Some(&key), &answered(503));
    assert!(pauses.is_paused(&key), "{before}");
    assert!(pauses.0.failing.lock().unwrap().len() <= MAX_FAILING);
}

#[tokio::test]
async fn a_pause_that_the_journal_refuses_does_not_stop_the_reading_of_the_others() {
    let name = format!("ringback-pauses-{}", uuid::Uuid::now_v7());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    let journal = Journal::open(&directory).unwrap();
    journal.migrate().await.unwrap();
    let file = rusqlite::Connection::open(directory.join("journal.db")).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON pauses WHEN NEW.name = 'BAD'
        BEGIN SELECT RAISE(ABORT, 'refused by the test'); END";
    file.execute_batch(refuse).unwrap();
    let config = AutoPauseConfig {
        on_gone: true,
        after: Duration::ZERO,
    };
    let pauses = PauseRegistry::new(Some(journal.clone()), config);
    for no in ["BAD", "GOOD"] {
        pauses.call_ended(Some(&callee(no)), &answered(410));
    }
    // An operator pauses another one, through another process.
    let other = new_pause(&callee_key("OTHER"), "ann".to_owned(), "quiet".to_owned());
    journal.pause(&other).await.unwrap();
    pauses.refresh().await;
    assert!(pauses.is_paused(&callee("OTHER")));
    assert!(pauses.is_paused(&callee("BAD")), "in this process");
    let stored: Vec<String> = journal
        .pauses()
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert!(stored.contains(&"GOOD".to_owned()), "{stored:?}");
    // Once it is accepted, it is stored.
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    pauses.refresh().await;
    let stored = journal.pauses().await.unwrap();
    assert!(stored.iter().any(|it| it.name == "BAD"), "{stored:?}");
    drop(file);
    let _ = std::fs::remove_dir_all(directory);
}

#[tokio::test]
async fn pauses_are_read_while_none_can_be_written() {
    let name = format!("ringback-pauses-{}", uuid::Uuid::now_v7());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    let journal = Journal::open(&directory).unwrap();
    journal.migrate().await.unwrap();
    let other = new_pause(&callee_key("OTHER"), "ann".to_owned(), "quiet".to_owned());
    journal.pause(&other).await.unwrap();
    let file = rusqlite::Connection::open(directory.join("journal.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let config = AutoPauseConfig {
        on_gone: true,
        after: Duration::ZERO,
    };
    let pauses = PauseRegistry::new(Some(journal), config);
    pauses.call_ended(Some(&callee("GONE")), &answered(410));
    pauses.refresh().await;
    assert!(pauses.is_paused(&callee("OTHER")));
    assert!(pauses.is_paused(&callee("GONE")), "in this process");
    drop(file);
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn an_answer_of_the_journal_from_before_a_change_does_not_undo_it() {
    let pauses = PauseRegistry::default();
    let before = pauses.known().changes;
    let made = new_pause(&callee_key("A"), "ann".to_owned(), "quiet".to_owned());
    pauses.change(|known| known.active.insert(callee_key("A"), made.clone()));
    pauses.apply(before, Vec::new());
    assert!(pauses.is_paused(&callee("A")));
    let now = pauses.known().changes;
    pauses.apply(now, Vec::new());
    assert!(!pauses.is_paused(&callee("A")));
    pauses.apply(now, vec![made]);
    assert!(pauses.is_paused(&callee("A")));
}

#[tokio::test]
async fn an_app_and_a_message_type_are_paused_whatever_they_call() {
    let pauses = PauseRegistry::default();
    let keys = [
        PauseKey::App("crm".into()),
        PauseKey::MessageType("paid".into()),
    ];
    for key in &keys {
        let made = pauses.pause(key, "ann".to_owned(), "quiet".to_owned());
        assert!(made.await.unwrap());
    }
    assert!(pauses.in_force().covers("crm", "other") && pauses.in_force().covers("erp", "paid"));
    // A name of one kind means nothing as another.
    assert!(!pauses.in_force().covers("paid", "crm") && !pauses.is_paused(&callee("crm")));
    assert_eq!(pauses.find(&keys).len(), 2);
    for key in &keys {
        assert!(pauses.resume(key).await.unwrap().is_some());
    }
    assert!(!pauses.in_force().covers("crm", "paid"));
    assert_eq!(pauses.counts(), PauseCounts::default());
}

#[tokio::test]
async fn the_switches_are_told_to_those_who_wait_for_them() {
    let pauses = PauseRegistry::default();
    let (intake, mut deliveries) = (pauses.intake(), pauses.deliveries());
    let key = PauseKey::Switch(Switch::Deliveries);
    let made = pauses.pause(&key, "ann".to_owned(), "quiet".to_owned());
    assert!(made.await.unwrap());
    let stopped = deliveries.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(stopped.as_ref().map(|it| &*it.reason), Some("quiet"));
    assert!(intake.borrow().is_none(), "the other switch");
    assert_eq!(pauses.switches(), Vec::from_iter(stopped));
    assert!(pauses.counts().deliveries && !pauses.counts().intake);
    assert!(pauses.resume(&key).await.unwrap().is_some());
    assert!(deliveries.wait_for(Option::is_none).await.is_ok());
    assert_eq!(pauses.switches(), []);
}

#[tokio::test]
async fn the_last_known_switches_hold_while_the_journal_is_away() {
    let name = format!("ringback-pauses-{}", uuid::Uuid::now_v7());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    let journal = Journal::open(&directory).unwrap();
    journal.migrate().await.unwrap();
    let key = PauseKey::Switch(Switch::Intake);
    let stored = new_pause(&key, "ann".to_owned(), "quiet".to_owned());
    journal.pause(&stored).await.unwrap();
    let pauses = PauseRegistry::new(Some(journal.clone()), AutoPauseConfig::default());
    pauses.refresh().await;
    assert_eq!(pauses.switches(), std::slice::from_ref(&stored));
    journal.close().await;
    pauses.refresh().await;
    assert_eq!(pauses.switches(), [stored]);
    let _ = std::fs::remove_dir_all(directory);
}
