//! When is what paused, without a journal and by itself?

use super::*;

fn callee(no: &str) -> Key {
    Key::Callee(no.into())
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: None,
    }
}

fn auto(on_gone: bool, after: Duration) -> Pauses {
    Pauses::new(None, AutoPause { on_gone, after })
}

#[tokio::test]
async fn without_a_journal_a_pause_holds_in_this_process_until_it_is_resumed() {
    let pauses = Pauses::default();
    let target = Key::named("https://host.example/x").unwrap();
    let pause = async |key: &Key| {
        let made = pauses
            .pause(key, "ann".to_owned(), "quiet".to_owned())
            .await;
        made.unwrap()
    };
    assert!(pause(&target).await);
    assert!(!pause(&target).await, "paused already");
    assert!(pause(&callee("A")).await);
    assert!(pauses.holds(&target) && pauses.holds(&callee("A")));
    assert!(!pauses.holds(&callee("B")));
    let names: Vec<String> = pauses
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!((names.len(), pauses.count()), (2, 2), "{names:?}");
    assert!(
        names.contains(&"https://host.example:443".to_owned()),
        "{names:?}"
    );
    let resumed = pauses.resume(&target).await.unwrap().unwrap();
    assert_eq!(
        (resumed.who.as_str(), resumed.reason.as_str()),
        ("ann", "quiet")
    );
    assert!(!pauses.holds(&target));
    assert_eq!(pauses.resume(&target).await.unwrap(), None);
}

#[tokio::test]
async fn gone_pauses_where_that_is_set_and_nothing_else_does() {
    let (off, on) = (auto(false, Duration::ZERO), auto(true, Duration::ZERO));
    for status in [200, 404, 500, 503] {
        on.ended(Some(&callee("A")), &answered(status));
    }
    on.ended(None, &answered(410));
    assert_eq!(on.count(), 0);
    for pauses in [&off, &on] {
        pauses.ended(Some(&callee("A")), &answered(410));
    }
    assert_eq!((off.count(), on.count()), (0, 1));
    let made = &on.list().await.unwrap()[0];
    assert_eq!(made.who, "auto");
    assert!(made.reason.contains("410"), "{made:?}");
}

#[tokio::test]
async fn a_long_failure_pauses_and_one_sign_of_life_begins_it_anew() {
    let pauses = auto(false, Duration::from_millis(1));
    let (key, other) = (callee("A"), callee("B"));
    let wait = || tokio::time::sleep(Duration::from_millis(3));
    for key in [&key, &other] {
        pauses.ended(Some(key), &answered(503));
    }
    wait().await;
    pauses.ended(Some(&key), &answered(400)); // It answers.
    pauses.ended(Some(&key), &Outcome::ConnectionRefused);
    pauses.ended(Some(&other), &Outcome::ResolverDown); // Our own fault.
    assert_eq!(pauses.count(), 0);
    pauses.ended(Some(&other), &Outcome::Timeout);
    assert!(pauses.holds(&other) && !pauses.holds(&key));
    wait().await;
    pauses.ended(Some(&key), &Outcome::Timeout);
    assert!(pauses.holds(&key));
}

#[test]
fn an_answer_from_before_a_change_does_not_undo_it() {
    let pauses = Pauses::default();
    let before = pauses.known().changes;
    let made = made(&callee("A"), "ann".to_owned(), "quiet".to_owned());
    pauses.change().held.insert(callee("A"), made.clone());
    pauses.learn(before, Vec::new());
    assert!(pauses.holds(&callee("A")));
    let now = pauses.known().changes;
    pauses.learn(now, Vec::new());
    assert!(!pauses.holds(&callee("A")));
    pauses.learn(now, vec![made]);
    assert!(pauses.holds(&callee("A")));
}
