//! A primary and its standby: records go to the primary alone, and to the other one once it takes over.

use std::time::Duration;

use journal::{Journal, JournalError};
use tests::{Postgres, eventually};

use super::{accepted, now, origin};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_found_among_several_servers_and_after_a_failover() {
    let primary = Postgres::start().await; // Its own: it is killed.
    let url = primary.database().await;
    let standby = primary.standby().await;
    let (one, other) = (standby.port(), primary.port());
    let both = url.replace(&format!(":{other}/"), &format!(":{one},127.0.0.1:{other}/"));

    // A standby alone is not used, not even to read.
    let alone = Journal::connect(&url.replace(&other.to_string(), &one.to_string())).unwrap();
    let error = alone.migrate().await.unwrap_err();
    assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("standby"), "{error}");
    alone.close().await;

    // The standby is the first of the two.
    let journal = Journal::connect(&both).unwrap();
    eventually("the primary", SOON, async || {
        journal.migrate().await.map_err(|error| error.to_string())
    })
    .await;
    let before = origin(now());
    journal.record(&[accepted(&before)]).await.unwrap();
    standby.has_replayed(&primary).await;

    primary.kill().await;
    standby.promote().await;
    let after = origin(now());
    eventually("the new primary", SOON, async || {
        let stored = journal.record(&[accepted(&after)]).await;
        stored.map_err(|error| error.to_string())
    })
    .await;
    for known in [&before, &after] {
        assert!(journal.find(known.request_id).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_utf_8_is_refused_by_name() {
    let postgres = Postgres::shared().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options =
            format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        let url = postgres.database_with(&options).await;
        let journal = Journal::connect(&url).unwrap();
        let error = journal.migrate().await.unwrap_err();
        assert!(matches!(error, JournalError::Incompatible(_)), "{error}");
        assert!(error.to_string().contains(encoding), "{error}");
    }
}
