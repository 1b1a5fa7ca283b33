//! A full disk: callers get a 503 and no false `000`, and normal service once there is space.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::callers::CallerAnswer;
use tests::scenario::single_process::stored;
use tests::{Callee, Callers, SingleProcess, eventually, until_none_left};

use super::{SOON, STUCK};

const CALLERS: usize = 16;
const MEBIBYTES: u32 = 8;

/// The arguments of `unshare` for a mount namespace of one's own.
///
/// # Errors
/// As text, when it is not possible and we are not root, for whom it has to be.
fn unshare() -> Result<&'static [&'static str], String> {
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
        let (status, body) = gateway.get("/readyz").await?;
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
    let mut gateway = SingleProcess::new(&[]);
    let disk = gateway.start_on_small_disk(MEBIBYTES, unshare).await;
    let paths = ["/ok", "/flaky/1", "/slow/300", "/status/400"];
    let targets: Vec<String> = paths.iter().map(|path| callee.url(path)).collect();
    let callers = Callers::start(gateway.address, &targets, CALLERS, u64::MAX);
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
