//! Faults of the gateway's own parts: messages, journal, broker, clocks.

use std::path::Path;
use std::process::Command;

use tests::{
    BrokerUnderTest, ExclusiveRabbitMq, Gateway, GatewayOptions, GatewayRole, MetricsRecording,
    Postgres, Process, callback, eventually, on_shared_runtime,
};

use super::{
    SOON, TWO_HOURS, admin, doctor_passes, doctor_says, is_rabbitmq, prints, run, shows, start_with,
};
use crate::fixtures::message;

/// `/readyz` of this process, once it has all these words.
async fn ready_says(gateway: &Gateway<'_>, role: GatewayRole, words: &[&str]) {
    eventually(&format!("/readyz to say {words:?}"), SOON, async || {
        let (_, page) = gateway.get_details(role, "/readyz").await;
        let all = words.iter().all(|words| page.contains(words));
        all.then_some(()).ok_or(page)
    })
    .await;
}

#[test]
fn an_unreadable_message_is_listed_with_the_reason() {
    on_shared_runtime(async {
        let mut fixture = start_with(&[]).await;
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let text = message(&fixture.callee.url("/ok")).encode().to_vec();
        let text = String::from_utf8(text).unwrap();
        let future = text.replacen(r#"{"v":2,"#, r#"{"v":99,"#, 1).into_bytes();
        fixture.gateway.insert_messages("first", &[future]).await;
        let fixture = fixture.in_test();
        let admin = admin(&fixture);
        let words = [
            "warning ",
            "cannot be decoded. Next: `",
            "ringback unreadable list`",
        ];
        doctor_says(admin, "unreadable", &words).await;
        let listed = prints(admin, &["unreadable", "list"], &["version 99", "first"]).await;
        let line = listed.lines().find(|line| line.contains("version 99"));
        if is_rabbitmq() {
            // The embedded store got it while its process was stopped: there is no page from before.
            let alerts = ["RingbackUnreadableMessages"];
            recording.fires(&alerts, TWO_HOURS).await;
        }
        // Its id is hexadecimal.
        let mut columns = line.unwrap().split_whitespace();
        let is_id = |word: &&str| word.len() >= 16 && word.bytes().all(|it| it.is_ascii_hexdigit());
        let id = columns.find(is_id).unwrap_or_else(|| panic!("{listed}"));
        let discard = ["unreadable", "discard", id, "--reason", "a drill", "--yes"];
        let (discarded, output) = run(admin, &discard).await;
        assert!(discarded, "{output}");
        doctor_says(admin, "unreadable", &["ok ", "no message is unreadable"]).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_down_is_named_and_callbacks_go_on() {
    if !is_rabbitmq() {
        return; // Embedded, the journal is a file.
    }
    let postgres = Postgres::start().await; // Its own: it is killed.
    let url = postgres.database().await;
    let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let callee = tests::Callee::start().await;
    let id = gateway.post(&callback(&callee.url("/ok"))).await.accepted();
    let admin = gateway.dispatchers[0].admin;
    shows(admin, &id, &["status  delivered"]).await;
    doctor_passes(admin).await;
    let recording = MetricsRecording::begin(&gateway).await;
    postgres.kill().await;
    ready_says(
        &gateway,
        GatewayRole::Dispatcher(0),
        &[r#""journal":"unreachable: "#],
    )
    .await;
    let words = [
        "failure ",
        "it is unreachable: ",
        "Next: repair PostgreSQL; callbacks go on, and records wait in the queue",
        "(runbook: the-journal-is-unreachable)",
    ];
    doctor_says(admin, "journal ", &words).await;
    let (shown, output) = run(admin, &["callback", "show", &id]).await;
    assert!(!shown && output.contains("journal"), "{output}");
    let during = gateway.post(&callback(&callee.url("/ok"))).await.accepted();
    eventually("a delivery meanwhile", SOON, async || {
        (!callee.requests.for_id(&during).is_empty()).then_some(())
    })
    .await;
    recording.fires(&["RingbackJournalDown"], TWO_HOURS).await;
    postgres.restart().await;
    doctor_says(admin, "journal ", &["ok ", "the journal is reachable"]).await;
    doctor_passes(admin).await;
    // What waited in the queue.
    shows(admin, &during, &["status  delivered"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_an_alarm_and_one_that_is_lost_are_named() {
    if !is_rabbitmq() {
        return;
    }
    let rabbit = ExclusiveRabbitMq::take().await;
    let options = GatewayOptions::default().with_journal();
    let gateway = Gateway::start(&rabbit, options).await;
    let callee = tests::Callee::start().await;
    // RabbitMQ tells of an alarm to connections that have published.
    gateway.post(&callback(&callee.url("/ok"))).await.accepted();
    let retried = callback(&callee.url("/flaky/1"));
    let retried = gateway.post(&retried).await.accepted();
    let admin = gateway.dispatchers[0].admin;
    shows(admin, &retried, &["status  delivered"]).await;
    doctor_passes(admin).await;
    let recording = MetricsRecording::begin(&gateway).await;
    rabbit.raise_memory_alarm().await;
    ready_says(&gateway, GatewayRole::Ingress, &["blocked", "memory"]).await;
    let words = [
        "failure ",
        "RabbitMQ blocks publishers: ",
        "memory",
        "Next: free memory or disk on its nodes; do not restart dispatchers",
        "(runbook: memory-or-disk-alarm)",
    ];
    doctor_says(admin, "broker ", &words).await;
    let refused = gateway.post(&callback(&callee.url("/ok"))).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let alerts = ["RingbackBrokerBlocked", "RingbackCallersRefused"];
    recording.fires(&alerts, TWO_HOURS).await;
    rabbit.clear_memory_alarm().await;
    ready_says(&gateway, GatewayRole::Ingress, &[r#""broker":"connected"#]).await;
    doctor_says(admin, "broker ", &["ok ", "RabbitMQ is connected"]).await;
    doctor_passes(admin).await;
    gateway.post(&callback(&callee.url("/ok"))).await.accepted();
    // What waited has been written.
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        ready_says(&gateway, role, &[r#""journal":"connected"#]).await;
    }
    let recording = MetricsRecording::begin(&gateway).await;
    rabbit.kill().await;
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        ready_says(&gateway, role, &["disconnected"]).await;
    }
    let words = [
        "failure ",
        "the broker is unreachable: ",
        "Next: repair the broker; the processes connect again by themselves",
        "(runbook: the-broker-is-unreachable)",
    ];
    doctor_says(admin, "broker ", &words).await;
    let alone = "other processes cannot be asked now";
    prints(admin, &["instances"], &[alone]).await;
    recording.fires(&["RingbackBrokerLost"], TWO_HOURS).await;
    rabbit.restart().await;
    ready_says(&gateway, GatewayRole::Ingress, &[r#""broker":"connected"#]).await;
    doctor_passes(admin).await;
    let after = gateway.post(&callback(&callee.url("/ok"))).await.accepted();
    shows(admin, &after, &["status  delivered"]).await;
}

/// A library that puts the clock of a process ahead by ten minutes.
fn clock_ahead(directory: &Path) -> String {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *time) {
            static int (*real)(clockid_t, struct timespec *);
            if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
            int result = real(clock, time);
            if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += 600;
            return result;
        }
    "#;
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success());
    library.display().to_string()
}

#[test]
fn a_clock_that_is_wrong_is_named_with_its_process() {
    if !is_rabbitmq() {
        return; // There is one process.
    }
    on_shared_runtime(async {
        let fixture = start_with(&[]).await;
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let temp = tests::cleanup::TempDirectory::new("clock");
        let library = clock_ahead(temp.path());
        let mut variables = fixture.gateway.variables().clone();
        variables.insert("LD_PRELOAD".to_owned(), library);
        let listen = "RINGBACK__DISPATCHER__LISTEN".to_owned();
        variables.insert(listen, "127.0.0.1:0".to_owned());
        let mut skewed = Process::ringback(&["dispatcher"], variables);
        let name = format!(":{}", skewed.pid());
        let admin = admin(&fixture);
        let printed = prints(admin, &["instances"], &[&name, "clock"]).await;
        let printed = match printed.contains("! ") {
            true => printed,
            false => prints(admin, &["instances"], &["! "]).await,
        };
        let warning = printed.lines().find(|line| line.starts_with("! "));
        let warning = warning.unwrap_or_else(|| panic!("{printed}"));
        assert!(
            warning.contains(&name) && warning.contains("ahead"),
            "{printed}"
        );
        let named = format!("{name} is ");
        let words = [
            "warning ",
            &*named,
            " s ahead. Next: correct it (NTP)",
            "(runbook: clocks)",
        ];
        doctor_says(admin, "clocks", &words).await;
        let alerts = ["RingbackClocksDiffer"];
        recording.fires(&alerts, TWO_HOURS).await;
        // A process is as good as another one with a clock that is right.
        skewed.sigterm();
        skewed.wait_exit(SOON).await;
        doctor_says(admin, "clocks", &["ok "]).await;
        doctor_passes(admin).await;
    });
}
