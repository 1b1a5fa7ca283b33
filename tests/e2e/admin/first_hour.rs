//! What a new user types first: `init`, `send`, `tail`, lists that are empty, and words that are wrong.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{
    Callee, GatewayOptions, Process, SharedGateway, eventually, on_shared_runtime, process,
};

const SOON: Duration = Duration::from_secs(60);

/// Two attempts, and a journal on either broker.
async fn fixture() -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions {
            schedule: "1s".to_owned(),
            ..GatewayOptions::default()
        };
        options.with_journal()
    })
    .await
}

/// Runs `ringback`: its exit code, and its output.
async fn run(words: &[&str]) -> (Option<i32>, String) {
    let mut process = Process::ringback(words, [("USER", "newcomer")]);
    let ended = process.wait_exit(SOON).await;
    (ended.code(), process.log())
}

#[test]
fn a_callback_is_sent_from_the_shell_and_the_exit_code_says_whether_it_was_delivered() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let gateway = fixture.gateway.callback_url();
        let url = |path: &str| fixture.callee.url(path);
        let send = async |more: &[&str]| {
            let words = ["send", "--gateway", &gateway, "--message"];
            run(&[&words[..], more].concat()).await
        };
        let message = r#"{ "n" : 1.0 }"#;

        let (code, output) = send(&[message, &url("/flaky/1"), "--type", "hello"]).await;
        assert_eq!(code, Some(0), "{output}");
        let id = output.split_once("accepted as ").unwrap().1[..36].to_owned();
        for line in [
            "  status  delivered",
            "  app     demo",
            "  type    hello",
            "attempt 1: answered_5xx 503 in ",
            "attempt 2: delivered 200 in ",
            "The target accepted it.",
        ] {
            assert!(output.contains(line), "{line}: {output}");
        }
        let received = fixture.received(&id, 2).await;
        assert_eq!(received[1].body.as_bytes(), message.as_bytes());

        let (code, output) = send(&["{}", &url("/status/400"), "--json"]).await;
        assert_eq!(code, Some(1), "{output}");
        let (report, sentence) = output.split_once('\n').unwrap();
        let report: Value = serde_json::from_str(report).unwrap();
        assert_eq!(
            (&report["status"], &report["reason"]),
            (&"dead".into(), &"rejected".into())
        );
        // The hint can be pasted: it has the path by which the program was called.
        let id = report["request_id"].as_str().unwrap();
        let program = process::binary().display();
        let hint = format!("not delivered: it is dead; `{program} callback show {id}` says more");
        assert!(sentence.contains(&hint), "{sentence}");

        let (code, output) = send(&["{}", &url("/hang"), "--timeout", "2s"]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(
            output.contains("not delivered within 2s: it is "),
            "{output}"
        );
        let ok = url("/ok");
        for (more, sentence) in [
            (&["[1]", &ok][..], "refused (400): "),
            (&["{", &ok], "the message is not JSON"),
            (&["{}", "--callee", "EO0O1"], "refused (400): "),
            (&["{}"], "required arguments"),
        ] {
            let (code, output) = send(more).await;
            assert_ne!(code, Some(0), "{more:?}");
            assert!(output.contains(sentence), "{more:?}: {output}");
        }
        let (code, output) = send(&["{}", &ok, "--timeout", "0s", "--option", "nap=1"]).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(
            output.contains("accepted as ") && output.contains("ignored: nap"),
            "{output}"
        );
    });
}

#[test]
fn attempts_are_shown_as_they_end_and_failures_alone_on_demand() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let admin = fixture.gateway.admin_url();
        let tail = |more: &[&str]| {
            let words = [&["tail", "--admin", &admin], more].concat();
            Process::ringback(&words, [("A", "")])
        };
        let mut all = tail(&["--app", "watched", "--limit", "2"]);
        let mut failures = tail(&["--app", "watched", "--failed", "--json", "--limit", "1"]);
        // It begins with what ends from now on: callbacks are sent until some were seen.
        eventually("attempts on both", SOON, async || {
            for path in ["/ok", "/status/503"] {
                let mut callback = fixture.callback(path);
                callback["app_id"] = "watched".into();
                callback["options"] = serde_json::json!({"max_attempts": 1});
                fixture.send(&callback).await;
                let mut other = fixture.callback("/ok");
                other["app_id"] = "other".into();
                fixture.send(&other).await;
            }
            let (all, failures) = (all.ended(), failures.ended());
            all.zip(failures).ok_or_else(|| "they run".to_owned())
        })
        .await;
        for process in [&mut all, &mut failures] {
            assert!(process.ended().unwrap().success(), "{}", process.log());
        }
        let log = all.log();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        for line in lines {
            assert!(
                line.contains("  attempt 1: ") && line.contains("  watched -> http://"),
                "{log}"
            );
        }
        let failure: Value = serde_json::from_str(failures.log().trim()).unwrap();
        assert_eq!(failure["outcome"], "answered_5xx");
        assert_eq!(failure["http_status"], 503);
        assert_eq!(failure["verdict"], "dead_lettered");
        assert_eq!(failure["app_id"], "watched");
        assert!(failure["process"].as_str().is_some(), "{failure}");
        let (code, output) = run(&["tail", "--outcome", "timeuot", "--admin", &admin]).await;
        assert_eq!(code, Some(1));
        assert!(
            output.contains("unknown outcome \"timeuot\"; known: delivered, "),
            "{output}"
        );
    });
}

#[test]
fn an_empty_list_says_so_and_what_cannot_be_is_refused() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let admin = fixture.gateway.admin_url();
        for (words, sentence) in [
            (&["callback", "list"][..], "no callbacks"),
            (
                &["callback", "list", "--app", "nobody"],
                "no callbacks match",
            ),
            (&["dead-letters", "list"], "no dead letters"),
            (
                &["dead-letters", "list", "--dead-letter-reason", "rejected"],
                "no dead letters match",
            ),
            (&["unreadable", "list"], "no unreadable messages"),
            (&["pauses"], "nothing is paused"),
            (&["audit"], "no entries in the audit log"),
        ] {
            let (code, output) = run(&[words, &["--admin", &admin]].concat()).await;
            assert_eq!((code, output.trim()), (Some(0), sentence), "{words:?}");
            let (code, output) = run(&[words, &["--admin", &admin, "--json"]].concat()).await;
            assert_eq!((code, &*output), (Some(0), ""), "{words:?}");
        }
        for (words, sentence) in [
            (
                &["callback", "list", "--target", "h.example"][..],
                "must be a URL with its scheme",
            ),
            (
                &["callback", "list", "--status", "deda"],
                "unknown status \"deda\"; known: queued",
            ),
            (
                &["dead-letters", "list", "--callee", "EO0O1"],
                "known: EO001 乐居新房",
            ),
            (
                &["callback", "retry-now", "--callee", "EO0O1", "--dry-run"],
                "known: EO001 乐居新房",
            ),
            (
                &["callback", "list", "--limit", "0"],
                "it is not a number from 1 on",
            ),
            (
                &["callback", "show", "01a20a25-zz"],
                "is not a request_id: write one as 01a20a25-46b9",
            ),
            (
                &["callback", "show", "ffffffff"],
                "no callback whose request_id begins with ffffffff",
            ),
        ] {
            let (code, output) = run(&[words, &["--admin", &admin]].concat()).await;
            assert_ne!(code, Some(0), "{words:?}");
            assert!(output.contains(sentence), "{words:?}: {output}");
        }
        // A beginning that one callback has, by command.
        let id = fixture.send(&fixture.callback("/status/400")).await;
        let show = ["dead-letters", "show", &id[..30], "--admin", &admin];
        let output = eventually("the dead letter by its beginning", SOON, async || {
            let (code, output) = run(&show).await;
            if code == Some(0) {
                Ok(output)
            } else {
                Err(output)
            }
        })
        .await;
        assert!(output.starts_with(&format!("callback {id}")), "{output}");
        let cancel = [
            "callback",
            "cancel",
            &id[..30],
            "--reason",
            "x",
            "--admin",
            &admin,
        ];
        let (code, output) = run(&cancel).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(
            output.contains(&format!("{id} has ended already: it is dead")),
            "{output}"
        );
    });
}

#[test]
fn a_settings_file_is_written_that_the_gateway_starts_with() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("init");
        let file = temp.path().join("ringback.toml");
        let path = file.to_str().unwrap();
        let (code, output) = run(&["init", path, "--app", "crm"]).await;
        assert_eq!(code, Some(0), "{output}");
        let key = output
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("rbk_"));
        let key = key.unwrap().to_owned();
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(!written.contains(&key), "the key is stored");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (code, output) = run(&["init", path]).await;
        assert_eq!(code, Some(1));
        assert!(
            output.contains("exists already, and is left as it is"),
            "{output}"
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
        let roles = temp.path().join("roles.toml");
        let roles = roles.to_str().unwrap();
        let (code, output) = run(&["init", roles, "--broker-url", "http://h"]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(!Path::new(roles).exists(), "it cannot be used");

        let callee = Callee::start().await;
        let listen = format!("127.0.0.1:{}", free_port());
        let environment = [
            ("RINGBACK__INGRESS__LISTEN", listen.clone()),
            ("RINGBACK__AUTH__MODE", "bearer".to_owned()),
            ("RINGBACK__GUARD__ALLOW", "127.0.0.1/32".to_owned()),
        ];
        let _serve = Process::ringback(&["serve", "--config", path], environment.clone());
        let send = |key: &str| {
            let more = [("RINGBACK_KEY", key.to_owned())];
            let environment: Vec<_> = environment.iter().cloned().chain(more).collect();
            let words = [
                "send",
                &callee.url("/ok"),
                "--config",
                path,
                "--message",
                "{}",
            ];
            Process::ringback(&words, environment)
        };
        let output = eventually("a delivery", SOON, async || {
            let mut sending = send(&key);
            let ended = sending.wait_exit(SOON).await;
            if ended.success() {
                Ok(sending.log())
            } else {
                Err(sending.log())
            }
        })
        .await;
        assert!(output.contains("  app     crm"), "{output}");
        let mut stranger = send("rbk_unknown");
        assert_eq!(stranger.wait_exit(SOON).await.code(), Some(1));
        assert!(
            stranger.log().contains("refused (401): "),
            "{}",
            stranger.log()
        );
    });
}
