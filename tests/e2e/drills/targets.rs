//! Targets that fail, and an app that floods the gateway.

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::process::binary;
use tests::tls_certs::Authority;
use tests::{MetricsRecording, ScriptedReply, TestTarget, on_shared_runtime};

use super::{TWO_HOURS, admin, doctor_says, of_app, prints, run, shows, start_with, to_callee};
use crate::security::tls::server::Server;

/// The second attempt comes after all drills.
const SCHEDULE: (&str, &str) = ("RINGBACK__RETRY__SCHEDULE", "1h");

#[test]
fn a_dead_callee_is_named_with_the_cause_and_the_time_of_the_next_attempt() {
    on_shared_runtime(async {
        let gone = format!("http://127.0.0.1:{}/", free_port());
        let variables = [SCHEDULE, ("RINGBACK__CALLEES__GONE__URL", &*gone)];
        let fixture = start_with(&variables).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(fixture.send(&to_callee("GONE")).await);
        }
        let words = [
            "status  retrying",
            "Attempt 1 failed at ",
            "(connection_refused: Connection refused (os error 111)).",
            "The next attempt is at ",
            " (in 1h",
        ];
        for id in &ids {
            shows(admin(&fixture), id, &words).await;
        }
        recording.fires(&["RingbackTargetFailing"], TWO_HOURS).await;
    });
}

#[test]
fn an_open_breaker_says_why_it_opened_and_when_the_next_probe_is() {
    on_shared_runtime(async {
        let variables = [
            SCHEDULE,
            ("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "5"),
            ("RINGBACK__LIMITS__BREAKER_OPEN_DURATION", "60s"),
        ];
        let fixture = start_with(&variables).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let target = TestTarget::http(ScriptedReply::status(500));
        let body = of_app("drill-breaker", &target.url());
        for _ in 0..8 {
            fixture.send(&body).await;
        }
        let name = target.name();
        prints(admin(&fixture), &["targets"], &[&name, "open"]).await;
        let id = fixture.send(&body).await;
        let words = [
            "status  queued",
            "It is deferred: its target fails",
            "(breaker_open). This spends no attempt. The next try is at ",
            "The circuit breaker of its target is open: ",
            "; the next probe is ",
            ": answered_5xx 500",
        ];
        shows(admin(&fixture), &id, &words).await;
        let alerts = [
            "RingbackBreakerDefers",
            "RingbackBreakerOpen",
            "RingbackTargetFailing",
        ];
        recording.fires(&alerts, TWO_HOURS).await;
    });
}

#[test]
fn a_deploy_that_answers_400_is_seen_at_the_callback_and_at_the_target() {
    on_shared_runtime(async {
        let fixture = start_with(&[SCHEDULE]).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let target = TestTarget::http(ScriptedReply::status(400));
        let id = fixture.send(&of_app("drill-400", &target.url())).await;
        let next = format!(
            "`{} dead-letters replay ID --reason WHY`",
            binary().display()
        );
        let words = [
            "status  dead",
            "attempt 1: answered_4xx 400",
            "the target rejected the request for good (rejected)",
            &*next,
        ];
        shows(admin(&fixture), &id, &words).await;
        let printed = prints(admin(&fixture), &["targets"], &[&target.name()]).await;
        let name = target.name();
        let line = printed.lines().find(|line| line.contains(&name)).unwrap();
        assert!(
            line.contains("1 4xx") && line.contains("0.0 %"),
            "{printed}"
        );
        // One dead letter is seen at once.
        recording.fires(&["RingbackDeadLetters"], TWO_HOURS).await;
        // The command that the sentence names.
        let replay = [
            "dead-letters",
            "replay",
            &id,
            "--reason",
            "repaired",
            "--yes",
        ];
        let (replayed, output) = run(admin(&fixture), &replay).await;
        assert!(
            replayed && output.contains("replayed 1 dead letter"),
            "{output}"
        );
        let words = [
            "status  dead",
            "replayed (replay 1)",
            "attempt 1: answered_4xx 400",
        ];
        let shown = shows(admin(&fixture), &id, &words).await;
        assert_eq!(shown.matches("attempt 1: ").count(), 2, "{shown}");
        for _ in 0..9 {
            let id = fixture.send(&of_app("drill-400", &target.url())).await;
            shows(admin(&fixture), &id, &["status  dead"]).await;
        }
        let alerts = ["RingbackDeadLetters", "RingbackTargetRejects"];
        recording.fires(&alerts, TWO_HOURS).await;
    });
}

#[test]
fn an_expired_certificate_is_named_in_the_words_of_tls() {
    on_shared_runtime(async {
        let authority = Authority::new("ours");
        let server = Server::start(authority.issue_expired("127.0.0.1").server(None)).await;
        let temp = TempDirectory::new("drills");
        let ca = authority.write(temp.path(), "ca.crt").display().to_string();
        let url = server.url();
        let variables = [
            SCHEDULE,
            ("RINGBACK__CALLEES__OLD__URL", &*url),
            ("RINGBACK__CALLEES__OLD__CA_FILE", &*ca),
        ];
        let fixture = start_with(&variables).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let id = fixture.send(&to_callee("OLD")).await;
        let words = ["Attempt 1 failed at ", "(tls: ", "certificate expired"];
        shows(admin(&fixture), &id, &words).await;
        let words = [
            "failure ",
            "127.0.0.1 (OLD) expired at 2020-01-01",
            "Next: ask its owner to renew it",
            "(runbook: a-certificate-expires)",
        ];
        doctor_says(admin(&fixture), "certificates", &words).await;
        let alerts = ["RingbackCertificateExpires"];
        recording.fires(&alerts, TWO_HOURS).await;
    });
}

#[test]
fn the_app_that_floods_the_gateway_is_seen_with_what_was_refused() {
    on_shared_runtime(async {
        let variables = [SCHEDULE, ("RINGBACK__APPS__flooder__RATE", "2")];
        let fixture = start_with(&variables).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        for _ in 0..150 {
            let body = of_app("flooder", &fixture.callee.url("/ok"));
            let _ = fixture.gateway.post(&body).await;
        }
        let printed = prints(admin(&fixture), &["apps"], &["flooder"]).await;
        let header = printed.lines().find(|line| line.contains("limited"));
        assert!(header.is_some(), "{printed}");
        let line = printed.lines().find(|line| line.starts_with("flooder"));
        let figures: Vec<u64> = line
            .unwrap_or_else(|| panic!("{printed}"))
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        assert!(figures.iter().any(|figure| *figure > 100), "{printed}");
        recording.fires(&["RingbackAppLimited"], TWO_HOURS).await;
    });
}
