//! The disk of the embedded store is full up to its floor.

use std::fs::{self, File};
use std::net::SocketAddr;

use tests::callers::Wire;
use tests::ports::free_port;
use tests::{Callee, MetricsRecording, SingleProcess, callback};

use super::{TWO_HOURS, doctor_passes, doctor_says};
use crate::embedded::disk::unshare;

const MEBIBYTES: u32 = 64;
const FLOOR: u64 = 16 * 1024 * 1024;
/// What somebody else has on the disk.
const FILL: u64 = 56 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_at_its_floor_is_named_and_space_is_all_that_it_takes() {
    let unshare = match unshare() {
        Ok(unshare) => unshare,
        Err(reason) => {
            println!("NOT TESTED: a full disk. Mounting is forbidden here: {reason}");
            return;
        }
    };
    let callee = Callee::start().await;
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut gateway = SingleProcess::new(&[
        ("RINGBACK__BROKER__MIN_FREE_BYTES", &FLOOR.to_string()),
        ("RINGBACK__ADMIN__LISTEN", &admin.to_string()),
    ]);
    let disk = gateway.start_on_small_disk(MEBIBYTES, unshare).await;
    let mut wire = Wire::to(gateway.address);
    let body = callback(&callee.url("/ok")).to_string();
    let (status, _) = wire.post(body.as_bytes()).await.unwrap();
    assert_eq!(status, 200);
    doctor_passes(admin).await;
    let processes = [(gateway.metrics, "serve")].into_iter();
    let recording = MetricsRecording::at(processes).await;
    // The whole disk is below a gibibyte.
    let recording = recording.already(&["RingbackDiskLow"]);

    let fill = disk.join("fill");
    let written = vec![b'x'; usize::try_from(FILL).unwrap()];
    fs::write(&fill, written).unwrap();
    File::open(&fill).unwrap().sync_all().unwrap();
    let words = [
        "failure ",
        "the store takes no new callbacks: ",
        "Next: free space on that disk; it goes on by itself",
        "(runbook: memory-or-disk-alarm)",
    ];
    doctor_says(admin, "broker ", &words).await;
    let words = [
        "failure ",
        "the floor is 16 MiB (broker.min_free_bytes): new callbacks are refused",
        "Next: free space on it",
    ];
    doctor_says(admin, "disk ", &words).await;
    let (status, _) = wire.post(body.as_bytes()).await.unwrap();
    assert_eq!(status, 503);
    let alerts = [
        "RingbackBrokerBlocked",
        "RingbackCallersRefused",
        "RingbackDiskLow",
    ];
    recording.fires(&alerts, TWO_HOURS).await;

    // The next step.
    fs::remove_file(fill).unwrap();
    doctor_says(admin, "broker ", &["ok "]).await;
    doctor_passes(admin).await;
    let (status, _) = wire.post(body.as_bytes()).await.unwrap();
    assert_eq!(status, 200);
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}
