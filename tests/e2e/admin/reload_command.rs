//! `ringback reload` tells every process to read its settings again, and says what came of it.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::cleanup::TempDirectory;
use tests::{BrokerKind, GatewayOptions, Process, SharedGateway, eventually, on_shared_runtime};

const SOON: Duration = Duration::from_secs(60);

/// Runs `ringback reload`: its exit code and its output.
async fn reload(fixture: &SharedGateway, more: &[&str]) -> (Option<i32>, String) {
    let url = fixture.gateway.admin_url();
    let words = ["reload", "--reason", "a new key", "--admin", &url];
    let words = [&words[..], more].concat();
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    (ended.code(), process.log())
}

#[test]
fn every_process_reloads_or_says_why_not() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("reload-command");
        let file = temp.path().join("settings.toml");
        fs::write(&file, "[retry]\nschedule = [\"1s\"]\n").unwrap();
        let fixture = SharedGateway::start(|_| {
            let options = GatewayOptions::default();
            let options = options.without("RINGBACK__RETRY__SCHEDULE").with_journal();
            options.with("RINGBACK_CONFIG", &file.display().to_string())
        })
        .await;
        let roles = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => vec!["dispatcher", "ingress"],
            BrokerKind::Embedded => vec!["serve"],
        };
        // The control plane connects after work flows.
        let outcomes = |output: &str| -> Vec<(String, String)> {
            let first = output.lines().next().unwrap_or_default();
            let body: Value = serde_json::from_str(first).unwrap_or_default();
            let items = body["items"].as_array().cloned().unwrap_or_default();
            let word = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
            let items = items.iter();
            items
                .map(|it| (word(it, "role"), word(it, "outcome")))
                .collect()
        };
        let all = |outcome: &str| -> Vec<(String, String)> {
            let of = |role: &&str| ((*role).to_owned(), outcome.to_owned());
            roles.iter().map(of).collect()
        };
        eventually("all processes to answer", SOON, async || {
            let (code, output) = reload(&fixture, &["--json"]).await;
            let done = code == Some(0) && outcomes(&output) == all("reloaded");
            done.then_some(()).ok_or(output)
        })
        .await;

        fs::write(
            &file,
            "[retry]\nschedule = [\"2s\"]\n[ingress]\nworkers = 3\n",
        )
        .unwrap();
        let (code, output) = reload(&fixture, &[]).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(
            output.contains("needs a restart for ingress.workers"),
            "{output}"
        );

        fs::write(&file, "[retry]\nschedule = [\"soon\"]\n").unwrap();
        let (code, output) = reload(&fixture, &[]).await;
        assert_eq!(code, Some(1), "{output}");
        assert_eq!(
            output.matches("retry.schedule").count(),
            roles.len(),
            "{output}"
        );
        let expected = format!("{0} of {0} processes refused", roles.len());
        assert!(output.contains(&expected), "{output}");

        let audit = fixture.gateway.admin("/admin/v1/audit", None).await;
        let entry = &audit["items"][0];
        assert_eq!(entry["action"], "reload", "{audit}");
        assert_eq!(entry["reason"], "a new key", "{audit}");
        assert_eq!(entry["count"], roles.len(), "{audit}");
        assert!(
            entry["actor"].as_str().unwrap().starts_with("night-shift@"),
            "{audit}"
        );
    });
}
