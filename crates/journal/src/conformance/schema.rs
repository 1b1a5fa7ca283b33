//! Tables of an older version are upgraded with their rows. Those of versions that are too old or too
//! new are refused, with a sentence that says what to do.

use crate::error::JournalError;
use crate::journal::Journal;
use crate::model::{RetryOutcome, TargetAnswer};

use super::fixture::{
    HOUR, JournalFixture, SECOND, accepted, attempted, dead, find, letter, now, open, origin,
    retrying, store,
};

/// The oldest version that is upgraded.
const OLDEST: u32 = 3;

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    version_5_is_upgraded_with_its_rows(fixture).await;
    others_are_refused(fixture).await;
}

async fn version_5_is_upgraded_with_its_rows(fixture: &impl JournalFixture) {
    let name = "schema-5";
    let journal = open(fixture, name).await;
    let at = now() - SECOND;
    let (waits, died) = (origin(at), origin(at));
    let failed = attempted(&waits, 1, 1, at, retrying(at + HOUR));
    let exhausted = attempted(&died, 1, 1, at, dead("exhausted"));
    store(&journal, &[failed, exhausted]).await;
    let before = (find(&journal, &waits).await, find(&journal, &died).await);
    journal.close().await;

    fixture.downgrade_to_version_5(name).await;
    let journal = open(fixture, name).await;
    let after = (find(&journal, &waits).await, find(&journal, &died).await);
    assert_eq!(after, before);
    assert_eq!(before.0.hold, 0);
    let kept = journal.message(died.request_id).await;
    assert_eq!(kept.expect("a result"), Some(letter(&died)));

    // What version 6 added has its place.
    let mut failed = attempted(&waits, 2, 2, at, retrying(at + HOUR));
    failed.message = Some(letter(&waits));
    let attempt = failed.attempted.as_mut().expect("an attempt");
    attempt.cause = Some("certificate expired".to_owned());
    attempt.answer = Some(TargetAnswer {
        content_type: None,
        text: "busy".to_owned(),
    });
    let attempt = attempt.clone();
    store(&journal, &[failed]).await;
    let found = find(&journal, &waits).await;
    assert_eq!(found.attempts.last(), Some(&attempt));
    let taken = journal.take_retry(waits.request_id, now()).await;
    let RetryOutcome::Retry(taken) = taken.expect("a result") else {
        panic!("it waits, and has a message");
    };
    assert_eq!((taken.hold, taken.message), (1, letter(&waits)));
    journal.close().await;
}

async fn others_are_refused(fixture: &impl JournalFixture) {
    let current = fixture.schema_version();
    for (name, version, advice) in [
        ("schema-newer", current + 1, "newer ringback"),
        ("schema-far-newer", 999, "newer ringback"),
        ("schema-older", OLDEST - 1, "before ringback 0.2.0"),
    ] {
        let journal = open(fixture, name).await;
        let callback = origin(now());
        store(&journal, &[accepted(&callback)]).await;
        journal.close().await;

        fixture.set_schema_version(name, version).await;
        let reason = refusal(fixture, name).await;
        assert!(reason.contains(&format!("version {version},")), "{reason}");
        assert!(reason.contains(advice), "{reason}");

        // Nothing was changed by the refusal.
        fixture.set_schema_version(name, current).await;
        let journal: Journal = open(fixture, name).await;
        find(&journal, &callback).await;
        journal.close().await;
    }
}

/// Why the journal cannot be opened, or cannot be migrated if it opens.
async fn refusal(fixture: &impl JournalFixture, name: &str) -> String {
    let journal = match fixture.open(name).await {
        Ok(journal) => journal,
        Err(reason) => return reason,
    };
    let error = journal.migrate().await.expect_err("a refusal");
    journal.close().await;
    assert!(matches!(error, JournalError::Incompatible(_)), "{error}");
    error.to_string()
}
