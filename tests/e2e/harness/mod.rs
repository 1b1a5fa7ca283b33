//! Tests of the test harness: RabbitMQ nodes here, processes and targets in the modules.

mod process;
mod targets;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use tests::{RabbitMq, eventually, http};

const SOON: Duration = Duration::from_secs(60);

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn declare_quorum_queue(rabbit: &RabbitMq, name: &str) {
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_restarted_node_has_its_messages() {
    let rabbit = RabbitMq::start().await;
    declare_quorum_queue(&rabbit, "kept").await;
    for body in ["a", "b"] {
        rabbit.publish("", "kept", body.as_bytes()).await.unwrap();
    }
    rabbit.flush_declarations().await;
    let beam = rabbit.pid();
    rabbit.kill().await;
    assert!(!is_running(beam));
    rabbit.connect().await.unwrap_err();

    rabbit.restart().await;
    assert_ne!(rabbit.pid(), beam);
    // A quorum queue elects its leader after the listeners are up.
    let first = eventually("the queue's leader", SOON, async || {
        rabbit.take("kept").await
    })
    .await;
    assert_eq!(&first.unwrap().body[..], b"a");
    assert_eq!(rabbit.depth("kept").await, Ok(1));

    let (beam, reaper) = (rabbit.pid(), rabbit.reaper_pid());
    let directory = rabbit.directory().to_owned();
    drop(rabbit);
    assert!(!directory.exists());
    for pid in [beam, reaper] {
        eventually("the processes to end", SOON, async || {
            (!is_running(pid)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_shared_node_listens_on_loopback_alone() {
    let rabbit = RabbitMq::shared().await;
    let sockets = rabbit.ctl(&["eval", "inet:i()."]).await;
    let listeners: Vec<&str> = sockets
        .lines()
        .filter(|line| line.contains("ACCEPTING"))
        .collect();
    assert!(listeners.len() >= 2, "AMQP and distribution: {sockets}");
    let local = |line: &&&str| line.contains(" localhost:") || line.contains(" 127.0.0.1:");
    assert_eq!(
        listeners.iter().filter(local).count(),
        listeners.len(),
        "{sockets}"
    );
}

#[tokio::test]
async fn a_memory_alarm_blocks_publishers_until_it_is_cleared() {
    let rabbit = RabbitMq::start().await;
    declare_quorum_queue(&rabbit, "alarm").await;
    rabbit.raise_memory_alarm().await;
    let mut publish = Box::pin(rabbit.publish("", "alarm", b"late"));
    let blocked = tokio::time::timeout(Duration::from_secs(1), &mut publish).await;
    assert!(blocked.is_err(), "published during the alarm: {blocked:?}");
    rabbit.clear_memory_alarm().await;
    tokio::time::timeout(SOON, publish).await.unwrap().unwrap();
    assert_eq!(rabbit.depth("alarm").await, Ok(1));
}

#[tokio::test]
async fn the_management_api_answers_when_enabled() {
    let rabbit = RabbitMq::start_with_management().await;
    let url = format!("{}/api/overview", rabbit.management_url());
    let request = http::client().get(url).basic_auth("guest", Some("guest"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
}

/// Not a test of its own: the next test runs it in a process that it then kills.
#[tokio::test]
#[ignore = "run by the test below"]
async fn a_node_is_left_behind() {
    let rabbit = RabbitMq::shared().await;
    println!(
        "left {} {} {} .",
        rabbit.pid(),
        rabbit.reaper_pid(),
        rabbit.directory().display()
    );
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_test_leaves_nothing_behind() {
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "harness::a_node_is_left_behind",
            "--ignored",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = test.stdout.take().unwrap();
    let printed = tokio::task::spawn_blocking(move || {
        let mut printed = String::new();
        let mut byte = [0];
        while !printed.ends_with(" .") && output.read(&mut byte).unwrap() == 1 {
            printed.push(char::from(byte[0]));
        }
        printed
    });
    let printed = tokio::time::timeout(Duration::from_secs(120), printed)
        .await
        .unwrap()
        .unwrap();
    let words: Vec<&str> = printed.split("left ").last().unwrap().split(' ').collect();
    let [beam, reaper, directory, "."] = words[..] else {
        panic!("{printed}")
    };
    let (beam, reaper) = (beam.parse().unwrap(), reaper.parse().unwrap());
    assert!(is_running(beam) && is_running(reaper) && Path::new(directory).exists());

    test.kill().unwrap();
    test.wait().unwrap();
    let owned = format!("RABBITMQ_MNESIA_BASE={directory}");
    eventually("the reaper's work", SOON, async || {
        if is_running(beam) || is_running(reaper) || Path::new(directory).exists() {
            return Err(format!(
                "beam {}, reaper {}",
                is_running(beam),
                is_running(reaper)
            ));
        }
        // epmd and the node's helpers: every process that works in the directory.
        let left = living_in(Path::new(directory));
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{owned}: still running {left:?}"))
        }
    })
    .await;
}

/// The processes whose working directory is `directory`, even if it has been removed.
fn living_in(directory: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let home = std::fs::read_link(process.path().join("cwd")).unwrap_or_default();
            home.to_string_lossy()
                .starts_with(&*directory.to_string_lossy())
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}
