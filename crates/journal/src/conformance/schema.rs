//! A journal whose tables are of another version is refused, with a sentence that says what to do.

use crate::error::JournalError;
use crate::journal::Journal;

use super::fixture::{JournalFixture, accepted, find, now, open, origin, store};

/// The version of both adapters.
const VERSION: u32 = 5;
/// The oldest version that is upgraded.
const OLDEST: u32 = 3;

pub(super) async fn exercise(fixture: &impl JournalFixture) {
    for (name, version, advice) in [
        ("schema-newer", VERSION + 1, "newer ringback"),
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
        fixture.set_schema_version(name, VERSION).await;
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
