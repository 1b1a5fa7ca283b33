//! A backup of a gateway under load is what a crash at one moment would leave.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tests::callers::{CallerAnswer, accepted_ids};
use tests::cleanup::TempDirectory;
use tests::ledger::Fault;
use tests::scenario::single_process::stored;
use tests::{Callee, Callers, SingleProcess, eventually, until_none_left};

use super::{SOON, backed_up, restored};

const PATHS: [&str; 8] = [
    "/ok",
    "/flaky/1",
    "/ok",
    "/slow/20",
    "/ok",
    "/status/400",
    "/flaky/2",
    "/ok",
];
const CALLERS: usize = 2;
/// Of how many callbacks the status is asked; the ledger knows all. More are accepted meanwhile.
const ASKED: usize = 60;
/// Each is a copy of its own, at a random moment.
const BACKUPS: usize = 4;

/// The status of a callback; none where it is not known (yet).
async fn status(gateway: &SingleProcess, id: &str) -> Result<String, String> {
    let (status, body) = gateway.get(&format!("/api/callback/{id}")).await?;
    if status != 200 {
        return Err(format!("{id}: {status} {body}"));
    }
    let report: Value = serde_json::from_str(&body).unwrap();
    Ok(report["status"].as_str().unwrap().to_owned())
}

fn is_final(status: &str) -> bool {
    matches!(status, "delivered" | "dead")
}

/// The ids of some that were accepted: half are the last ones, of which some are unfinished.
fn asked(answers: &[CallerAnswer]) -> Vec<&str> {
    let mut ids: Vec<&str> = accepted_ids(answers).collect();
    let mut last = ids.split_off(ids.len().saturating_sub(ASKED / 2));
    let step = ids.len().div_ceil(ASKED / 2).max(1);
    last.extend(ids.into_iter().step_by(step));
    last
}

/// What the journal says of callbacks that have ended.
async fn ended(gateway: &SingleProcess, answers: &[CallerAnswer]) -> BTreeMap<String, String> {
    let mut ended = BTreeMap::new();
    for id in asked(answers) {
        if let Ok(status) = status(gateway, id).await
            && is_final(&status)
        {
            ended.insert(id.to_owned(), status);
        }
    }
    ended
}

/// How many callbacks the journal of a data directory takes for unfinished.
fn unfinished(directory: &Path) -> rusqlite::Result<u32> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(directory.join("journal.db"), flags)?;
    journal.busy_timeout(SOON)?;
    let sql = "SELECT count(*) FROM callbacks WHERE status NOT IN ('delivered', 'dead')";
    journal.query_row(sql, [], |row| row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_before_a_backup_under_load_is_delivered_after_its_restore() {
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[]).await;
    let targets: Vec<String> = PATHS.iter().map(|path| callee.url(path)).collect();
    let temp = TempDirectory::new("backups");
    let callers = Callers::start(gateway.address, &targets, CALLERS, u64::MAX);
    let mut backups: Vec<(PathBuf, Vec<CallerAnswer>, BTreeMap<String, String>)> = Vec::new();
    for number in 0..BACKUPS {
        callers.accepted_more(fastrand::usize(30..=150)).await;
        let before = callers.so_far();
        let ended = ended(&gateway, &before).await;
        let directory = temp.path().join(number.to_string());
        backed_up(&gateway, &directory).await;
        for file in fs::read_dir(&directory).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o77, 0, "{mode:o}");
        }
        backups.push((directory, before, ended));
    }
    callers.accepted_more(30).await;
    gateway.kill9();
    let answers = callers.stop().await;
    for (directory, before, ended) in backups {
        after_restore(&directory, &answers, &before, &ended, &callee).await;
    }
}

/// Restores a backup and checks what becomes of the callbacks that were accepted `before` it, and of
/// those that had `ended`.
async fn after_restore(
    backup: &Path,
    answers: &[CallerAnswer],
    before: &[CallerAnswer],
    ended: &BTreeMap<String, String>,
    callee: &Callee,
) {
    let mut gateway = restored(backup).await;
    let directory = gateway.directory();
    until_none_left("messages in the store", SOON, async || {
        let mut left = stored(&directory);
        left.retain(|(queue, _)| queue != "dead");
        Ok((left.len(), String::new()))
    })
    .await;
    // Queue and journal are of one moment: what the journal takes for unfinished is in the queue.
    until_none_left("unfinished callbacks", SOON, async || {
        let left = unfinished(&directory).map_err(|error| error.to_string())?;
        Ok((left as usize, left.to_string()))
    })
    .await;
    for id in asked(before) {
        let known = eventually("the callback's end", SOON, async || {
            let status = status(&gateway, id).await?;
            is_final(&status).then_some(status.clone()).ok_or(status)
        });
        let known = known.await;
        if let Some(ended) = ended.get(id) {
            assert_eq!(&known, ended, "{id} had ended before the backup");
        }
    }
    let stopped = gateway.stop().await;
    assert_eq!(stopped.code(), Some(0), "{stopped}");
    let audit = gateway.ledger(&directory, answers, callee).audit();
    let earlier: BTreeSet<u64> = before.iter().map(|answer| answer.token).collect();
    // What came later is in no backup; the same id is never another callback.
    let promised = |fault: &&Fault| match fault {
        Fault::Lost(token) => earlier.contains(token),
        _ => true,
    };
    let broken: Vec<&Fault> = audit.faults.iter().filter(promised).collect();
    assert!(broken.is_empty(), "{audit}: {broken:?}");
    assert!(
        !ended.is_empty() && asked(before).len() > ended.len(),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_in_the_spool_are_in_the_backup() {
    const CALLBACKS: usize = 40;
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[]).await;
    let journal = Connection::open(gateway.directory().join("journal.db")).unwrap();
    // No other writer until it ends.
    journal.execute_batch("BEGIN IMMEDIATE").unwrap();
    let targets = [callee.url("/ok")];
    let callers = Callers::start(gateway.address, &targets, 4, CALLBACKS.try_into().unwrap());
    let answers = callers.done().await;
    // Accepted and delivered.
    let all = format!("ringback_journal_spooled_records {}\n", 2 * CALLBACKS);
    eventually("all records in the spool", SOON, async || {
        let (_, page) = gateway.get_details("/metrics").await?;
        page.contains(&all).then_some(()).ok_or(page)
    })
    .await;
    let temp = TempDirectory::new("backups");
    let backup = temp.path().join("spooled");
    backed_up(&gateway, &backup).await;
    gateway.kill9();
    drop(journal);

    let gateway = restored(&backup).await;
    for id in accepted_ids(&answers) {
        eventually("the callback's end", SOON, async || {
            let status = status(&gateway, id).await?;
            (status == "delivered").then_some(()).ok_or(status)
        })
        .await;
    }
    let received = callee.requests.received();
    assert_eq!(received.len(), CALLBACKS, "none was delivered again");
}
