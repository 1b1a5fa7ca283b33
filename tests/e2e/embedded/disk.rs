//! A full disk, and one at its floor: callers get a 503 and no false `000`, and normal service once
//! there is space.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::callers::{CallerAnswer, Wire, acceptance};
use tests::ledger::Acceptance;
use tests::scenario::single_process::stored;
use tests::{Callee, Callers, SingleProcess, eventually, until_none_left};

use super::{SOON, STUCK};

const CALLERS: usize = 16;
/// More than the disk takes, as fast as it takes them.
const MANY: u64 = 10_000_000;
/// Room for what many callers have accepted, however fast, before each fill: without a floor (see
/// `MIN_FREE_BYTES` below) a disk full of callbacks has no room to end one.
const MEBIBYTES: u32 = 64;

/// The arguments of `unshare` for a mount namespace of one's own.
///
/// # Errors
/// As text, when it is not possible and we are not root, for whom it has to be.
pub(crate) fn unshare() -> Result<&'static [&'static str], String> {
    const AS_ROOT: &[&str] = &["-m", "--"];
    const AS_ANYBODY: &[&str] = &["-r", "-m", "--"];
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    let ways = if root { AS_ROOT } else { AS_ANYBODY };
    let script = "mount -t tmpfs -o size=1m tmpfs /mnt";
    let tried = Command::new("unshare")
        .args(ways)
        .args(["sh", "-c", script])
        .output();
    let reason = match tried {
        Ok(output) if output.status.success() => return Ok(ways),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(!root, "mounting a small disk is forbidden here: {reason}");
    Err(reason)
}

/// Fills the disk completely.
fn fill(file: &Path) {
    let mut file = File::create(file).unwrap();
    for piece in [64 * 1024, 4 * 1024, 1] {
        let piece = vec![b'x'; piece];
        loop {
            match file.write_all(&piece) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                    break;
                }
            }
        }
    }
}

/// Waits until `/readyz` reports this state of the store. Its status must be 200 throughout.
async fn store_is(gateway: &SingleProcess, state: &str) -> String {
    eventually(&format!("the store to be {state}"), SOON, async || {
        let (status, body) = gateway.get_details("/readyz").await?;
        assert_eq!(status, 200, "{body}");
        let seen: Value = serde_json::from_str(&body).unwrap();
        let seen = seen["broker"].as_str().unwrap().to_owned();
        if seen.starts_with(state) {
            Ok(seen)
        } else {
            Err(seen)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_503_until_there_is_space_again() {
    let unshare = match unshare() {
        Ok(unshare) => unshare,
        Err(reason) => {
            println!("NOT TESTED: a full disk. Mounting is forbidden here: {reason}");
            return;
        }
    };
    let callee = Callee::start_with_full_log().await;
    // The floor would refuse callbacks before the disk is full.
    let mut gateway = SingleProcess::new(&[("RINGBACK__BROKER__MIN_FREE_BYTES", "0")]);
    let disk = gateway.start_on_small_disk(MEBIBYTES, unshare).await;
    let paths = ["/ok", "/flaky/1", "/slow/300", "/status/400"];
    let targets: Vec<String> = paths.iter().map(|path| callee.url(path)).collect();
    let callers = Callers::start(gateway.address, &targets, CALLERS, MANY);
    for _ in 0..2 {
        // The write-ahead log is still short: it would have to grow, and cannot.
        callers.accepted_more(50).await;
        fill(&disk.join("fill"));
        let reason = store_is(&gateway, "blocked").await;
        assert!(reason.contains("full"), "{reason}");
        // New requests are refused from now on: two answers per caller are certainly among them.
        let refused = |answer: &CallerAnswer| answer.status == Some(503) && answer.refused();
        let (before, accepted) = (
            callers.count(refused),
            callers.count(CallerAnswer::accepted),
        );
        eventually("refusals", SOON, async || {
            let now = callers.count(refused) - before;
            if now >= 4 * CALLERS {
                Ok(())
            } else {
                Err(format!("{now}"))
            }
        })
        .await;
        let meanwhile = callers.count(CallerAnswer::accepted) - accepted;
        // Answers that were in progress when the store was seen blocked.
        assert!(meanwhile <= CALLERS, "{meanwhile} accepted by a full disk");
        fs::remove_file(disk.join("fill")).unwrap();
        store_is(&gateway, "connected").await;
    }
    callers.accepted_more(100).await;
    let answers = callers.stop().await;
    until_none_left("messages in the store", STUCK, async || {
        // The process is stopped while it is copied, and needs time to work between two checks.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut left = stored(&gateway.copied(&disk).await);
        left.retain(|(queue, _)| queue != "dead");
        Ok((left.len(), format!("{} left", left.len())))
    })
    .await;
    // While the process runs: the disk is unmounted with it.
    let copy = gateway.copied(&disk).await;
    let audit = gateway.ledger(&copy, &answers, &callee).audit().sound();
    println!("full disk: {audit}");
    let there = audit.delivered + audit.dead;
    assert_eq!(audit.accepted + audit.recovered, there, "{audit}");
    assert!(
        audit.refused >= 8 * CALLERS && audit.repeats == 0,
        "{audit}"
    );
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}

const FLOOR: u64 = 16 * 1024 * 1024;
const LARGE: usize = 250_000;

/// POSTs a large callback that waits so long; `None`: it was refused.
async fn waiting(wire: &mut Wire, target: &str, seconds: u64) -> Option<String> {
    let text = "x".repeat(LARGE);
    let body = format!(
        r#"{{"callback_url":"{target}","app_id":"waits","message_type":"wait","request_message":{{"text":"{text}"}},"options":{{"delay_seconds":{seconds}}}}}"#
    );
    let (status, answer) = wire.post(body.as_bytes()).await.unwrap();
    let acceptance = acceptance(status, &answer);
    assert!(!matches!(acceptance, Acceptance::Unknown(_)), "{status}");
    match acceptance {
        Acceptance::Accepted(id) => Some(id),
        Acceptance::Refused | Acceptance::Unknown(_) => None,
    }
}

/// The free bytes of the file system of this directory.
fn free_bytes(directory: &Path) -> u64 {
    let seen = Command::new("stat")
        .args(["-f", "-c", "%a %S"])
        .arg(directory)
        .output()
        .unwrap();
    let seen = String::from_utf8(seen.stdout).unwrap();
    let numbers: Vec<u64> = seen
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    numbers.iter().product()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_that_wait_leave_the_floor_free_and_cancelling_them_makes_room() {
    const A_WEEK: u64 = 604_800;
    let unshare = match unshare() {
        Ok(unshare) => unshare,
        Err(reason) => {
            println!("NOT TESTED: a disk at its floor. Mounting is forbidden here: {reason}");
            return;
        }
    };
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::new(&[
        ("RINGBACK__INGRESS__MAX_BACKLOG", "100"),
        ("RINGBACK__BROKER__MIN_FREE_BYTES", &FLOOR.to_string()),
    ]);
    let disk = gateway.start_on_small_disk(64, unshare).await;
    let mut wire = Wire::to(gateway.address);
    // Accepted before the disk is low, due while it is.
    let mut due = Vec::new();
    for _ in 0..5 {
        due.push(
            waiting(&mut wire, &callee.url("/flaky/1"), 45)
                .await
                .unwrap(),
        );
    }
    let (mut ids, mut refused) = (Vec::new(), 0);
    for _ in 0..240 {
        match waiting(&mut wire, &callee.url("/ok"), A_WEEK).await {
            Some(id) => ids.push(id),
            None => refused += 1,
        }
    }
    let free = free_bytes(&disk);
    println!(
        "{} accepted, {refused} refused, {free} bytes free",
        ids.len()
    );
    assert!(ids.len() > 60 && refused > 0, "{}", ids.len());
    assert!(free >= FLOOR / 2, "{free}");
    let reason = store_is(&gateway, "publishing: blocked").await;
    assert!(reason.contains("broker.min_free_bytes"), "{reason}");
    // What was accepted is attempted, retried and delivered.
    eventually("deliveries below the floor", STUCK + SOON, async || {
        let delivered = super::delivered(&callee);
        due.iter().all(|id| delivered.contains(id)).then_some(())
    })
    .await;
    store_is(&gateway, "publishing: blocked").await;
    assert!(free_bytes(&disk) >= FLOOR / 2);

    let client = tests::http::client();
    for id in &ids {
        let url = format!("http://{}/api/callback/{id}?app_id=waits", gateway.address);
        let answer = client.delete(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{id}");
    }
    // The rows are gone at once, and new callbacks take their place.
    store_is(&gateway, "connected").await;
    let left = stored(&gateway.copied(&disk).await);
    assert_eq!(left.iter().filter(|(queue, _)| queue == "retry").count(), 0);
    for _ in 0..ids.len() / 2 {
        let again = waiting(&mut wire, &callee.url("/ok"), A_WEEK).await;
        assert!(
            again.is_some(),
            "the space of what was cancelled is not used"
        );
    }
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}
