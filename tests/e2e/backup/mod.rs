//! Backup and restore, as the guide describes them.
//!
//! - `embedded.rs`: `ringback backup` and `ringback restore` under load. `refusals.rs`: what they
//!   refuse
//! - `postgres.rs`: a dump of the journal. `rabbitmq.rs`: the data directory of a node, and its
//!   definitions

mod embedded;
mod postgres;
mod rabbitmq;
mod refusals;

use std::path::Path;
use std::time::Duration;

use tests::{Process, SingleProcess};

const SOON: Duration = Duration::from_secs(60);

/// Runs `ringback` with the variables of a gateway: whether it succeeded, and its output.
async fn run(gateway: &SingleProcess, arguments: &[&str]) -> (bool, String) {
    let mut process = Process::ringback(arguments, gateway.environment());
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

/// Makes a backup of a gateway.
async fn backed_up(gateway: &SingleProcess, directory: &Path) {
    let directory = directory.to_str().unwrap();
    let (succeeded, output) = run(gateway, &["backup", directory]).await;
    assert!(succeeded, "{output}");
    assert!(output.contains("queue.db ("), "{output}");
    assert!(output.contains("journal.db ("), "{output}");
}

/// A gateway on a restored backup, ready.
async fn restored(backup: &Path) -> SingleProcess {
    let mut gateway = SingleProcess::new(&[]);
    let (succeeded, output) = run(&gateway, &["restore", backup.to_str().unwrap()]).await;
    assert!(succeeded, "{output}");
    gateway.spawn();
    gateway.ready().await;
    gateway
}
