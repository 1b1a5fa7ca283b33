//! Faults of the gateway's own parts: messages, journal, broker, clocks.

use std::path::Path;
use std::process::Command;

use tests::{
    BrokerUnderTest, ExclusiveRabbitMq, Gateway, GatewayOptions, GatewayRole, Postgres, Process,
    callback, eventually, on_shared_runtime,
};

use super::{SOON, admin, is_rabbitmq, prints, run, start_with};
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
        let text = message(&fixture.callee.url("/ok")).encode().to_vec();
        let text = String::from_utf8(text).unwrap();
        let future = text.replacen(r#"{"v":2,"#, r#"{"v":99,"#, 1).into_bytes();
        fixture.gateway.insert_messages("first", &[future]).await;
        let fixture = fixture.in_test();
        prints(
            admin(&fixture),
            &["unreadable", "list"],
            &["version 99", "first"],
        )
        .await;
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
    postgres.kill().await;
    ready_says(
        &gateway,
        GatewayRole::Dispatcher(0),
        &[r#""journal":"unreachable: "#],
    )
    .await;
    let admin = gateway.dispatchers[0].admin;
    let (shown, output) = run(admin, &["callback", "show", &id]).await;
    assert!(!shown && output.contains("journal"), "{output}");
    let during = gateway.post(&callback(&callee.url("/ok"))).await.accepted();
    eventually("a delivery meanwhile", SOON, async || {
        (!callee.requests.for_id(&during).is_empty()).then_some(())
    })
    .await;
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
    rabbit.raise_memory_alarm().await;
    ready_says(&gateway, GatewayRole::Ingress, &["blocked", "memory"]).await;
    let refused = gateway.post(&callback(&callee.url("/ok"))).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    rabbit.clear_memory_alarm().await;
    ready_says(&gateway, GatewayRole::Ingress, &[r#""broker":"connected"#]).await;
    rabbit.kill().await;
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        ready_says(&gateway, role, &["disconnected"]).await;
    }
    let admin = gateway.dispatchers[0].admin;
    let alone = "other processes cannot be asked now";
    prints(admin, &["instances"], &[alone]).await;
    rabbit.restart().await;
    ready_says(&gateway, GatewayRole::Ingress, &[r#""broker":"connected"#]).await;
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
        let temp = tests::cleanup::TempDirectory::new("clock");
        let library = clock_ahead(temp.path());
        let mut variables = fixture.gateway.variables().clone();
        variables.insert("LD_PRELOAD".to_owned(), library);
        let listen = "RINGBACK__DISPATCHER__LISTEN".to_owned();
        variables.insert(listen, "127.0.0.1:0".to_owned());
        let skewed = Process::ringback(&["recorder"], variables);
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
    });
}
