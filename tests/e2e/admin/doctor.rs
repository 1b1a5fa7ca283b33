//! `ringback doctor` against a running gateway: the sentences that an operator reads.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;
use tests::{
    BrokerKind, BrokerUnderTest, Gateway, GatewayOptions, GatewayRole, Postgres, Process,
    eventually, http, on_shared_runtime, ports::free_port,
};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

/// Runs `ringback doctor` with these arguments: whether it succeeded, and its output.
pub(crate) async fn doctor(words: &[&str]) -> (bool, String) {
    let mut all = vec!["doctor"];
    all.extend(words);
    let mut process = Process::ringback(&all, [("TZ", "UTC")]);
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

async fn ask(gateway: &Gateway<'_>) -> (bool, String) {
    doctor(&["--admin", &gateway.admin_url()]).await
}

#[test]
fn a_healthy_gateway_passes_every_check() {
    on_shared_runtime(async {
        let options = GatewayOptions::default().with_journal();
        let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
        eventually("a gateway in which all is well", SOON, async || {
            let (passed, output) = ask(&gateway).await;
            let settled = passed && !output.contains("failure ") && !output.contains("warning ");
            settled.then_some(()).ok_or(output)
        })
        .await;
        let (_, output) = ask(&gateway).await;
        for line in [
            "ok       journal          the journal is reachable and takes writes",
            "ok       dead letters     none since yesterday (0 in all)",
            "ok       unreadable       no message is unreadable",
            "ok       pauses           nothing is paused",
            "ok       settings         no reload was refused",
        ] {
            assert!(output.contains(line), "{line}: {output}");
        }
        let (_, output) = doctor(&["--admin", &gateway.admin_url(), "--json"]).await;
        let findings: Vec<Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(findings.len() > 15, "{output}");
        for finding in findings {
            assert!(finding["check"].is_string(), "{finding}");
            assert!(finding["sentence"].is_string(), "{finding}");
        }
    });
}

#[test]
fn a_lost_database_is_named_with_host_port_and_the_next_step() {
    if BrokerKind::chosen() == BrokerKind::Embedded {
        return; // Its journal is a file.
    }
    on_shared_runtime(async {
        let postgres = Postgres::start().await; // Its own: it is killed.
        let url = postgres.database().await;
        let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
        let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
        eventually("the journal", SOON, async || {
            let (passed, output) = ask(&gateway).await;
            passed.then_some(()).ok_or(output)
        })
        .await;
        postgres.kill().await;
        let refused = "connection refused (127.0.0.1:";
        eventually("the journal on /readyz", SOON, async || {
            let (_, page) = gateway
                .get_details(GatewayRole::Dispatcher(0), "/readyz")
                .await;
            page.contains(refused).then_some(()).ok_or(page)
        })
        .await;
        let (passed, output) = ask(&gateway).await;
        assert!(!passed, "{output}");
        let line = output
            .lines()
            .find(|line| line.starts_with("failure  journal "))
            .unwrap_or_else(|| panic!("{output}"));
        assert!(line.contains(refused), "{line}");
        assert!(line.contains("Next: repair PostgreSQL"), "{line}");
        assert!(
            line.ends_with("(runbook: the-journal-is-unreachable)"),
            "{line}"
        );
        postgres.restart().await;
    });
}

#[test]
fn a_gateway_that_does_not_answer_is_a_failure() {
    on_shared_runtime(async {
        let url = format!("http://127.0.0.1:{}", free_port());
        let (passed, output) = doctor(&["--admin", &url]).await;
        assert!(!passed, "{output}");
        assert!(
            output.contains("does not answer: Connection refused"),
            "{output}"
        );
        assert!(output.contains("Next: start the gateway"), "{output}");
        assert!(output.contains("1 check has failed"), "{output}");
        // Accepts, and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let (passed, output) = doctor(&["--admin", &url]).await;
        assert!(!passed, "{output}");
        assert!(output.contains("does not answer within 10 s"), "{output}");
    });
}

#[test]
fn a_broker_that_hangs_is_named_with_the_stage_and_the_likely_cause() {
    if BrokerKind::chosen() == BrokerKind::Embedded {
        return; // It has no broker to hang.
    }
    on_shared_runtime(async {
        // Accepts TCP, and never says a word: as RabbitMQ does without file descriptors.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = silent.local_addr().unwrap();
        for (scheme, stage) in [("amqp", "the AMQP handshake"), ("amqps", "TLS")] {
            let url = format!("{scheme}://gate:s3cret-word@{node}/%2f");
            let [admin, health, metrics] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
            let dispatcher = Process::ringback(
                &["dispatcher"],
                [
                    ("RINGBACK__BROKER__URL", &*url),
                    ("RINGBACK__ADMIN__LISTEN", &admin),
                    ("RINGBACK__DISPATCHER__LISTEN", &health),
                    ("RINGBACK__METRICS__LISTEN", &metrics),
                ],
            );
            let sentence = format!("never connected: hangs in {stage}: no answer within ");
            let place = format!("({node})");
            let admin = format!("http://{admin}");
            eventually("the finding", SOON, async || {
                let (passed, output) = doctor(&["--admin", &admin]).await;
                assert!(!passed, "{output}");
                let line = output.lines().find(|it| it.starts_with("failure  broker "));
                let line = line.unwrap_or_default();
                let named = line.contains(&sentence) && line.contains(&place);
                (named && line.ends_with("(runbook: a-broker-that-hangs)"))
                    .then_some(())
                    .ok_or(output)
            })
            .await;
            let page = http::client().get(format!("http://{metrics}/readyz"));
            let page = page.send().await.unwrap().text().await.unwrap();
            assert!(page.contains(&sentence) && page.contains(&place), "{page}");
            eventually("the log", SOON, async || {
                let log = dispatcher.log();
                let waited = format!("hangs in {stage}: no answer within 5 s");
                log.contains(&waited).then_some(()).ok_or(log)
            })
            .await;
            assert!(!dispatcher.log().contains("s3cret"), "{}", dispatcher.log());
        }
    });
}
