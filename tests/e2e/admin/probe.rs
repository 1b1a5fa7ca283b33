//! `ringback probe`, `ringback listen` and `ringback openapi`: what developers of callers and callees use.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use delivery::signature::Signer;
use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{
    Callee, Process, ScriptedReply, TestTarget, eventually, http, on_shared_runtime, process,
};

const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

/// Runs `ringback` with these variables: its exit code, and its output.
async fn run(words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut process = Process::ringback(words, variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    (ended.code(), process.log())
}

/// A `ringback listen`, and its URL.
async fn listen(words: &[&str]) -> (Process, String) {
    let free = ["listen", "--listen", "127.0.0.1:0"];
    let words = [&free[..], words].concat();
    let process = Process::ringback(&words, [("USER", "developer")]);
    let log = process.says(" go to ", SOON).await;
    let (_, rest) = log.split_once("callbacks to ").unwrap();
    let url = rest.split(' ').next().unwrap().to_owned();
    (process, url)
}

fn append(file: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_callee_that_checks_signatures_and_takes_repeats_is_ready() {
    on_shared_runtime(async {
        let developer = TestTarget::http(ScriptedReply::status(204));
        let forward = developer.url();
        let (listening, url) =
            listen(&["--forward", &forward, "--secret", SECRET, "--verify"]).await;
        let callee = [
            ("RINGBACK__CALLEES__EO001__URL", &*url),
            ("RINGBACK__CALLEES__EO001__SIGNING_SECRETS", SECRET),
            ("RINGBACK__RETRY__SCHEDULE", "5s,30s"),
        ];
        let (code, output) = run(&["probe", "EO001"], &callee).await;
        assert_eq!(code, Some(0), "{output}");
        for line in [
            "[ok] address: 127.0.0.1 (admitted: a registered callee",
            "[ok] accepts a message: it answered 204 in ",
            "[ok] a repeat with the same webhook-id: it answered 204.",
            "[ok] keep-alive: the connection is kept",
            "[ok] a forged signature: refused (it answered 401)",
            "[ok] a message signed an hour ago: refused (it answered 401)",
            "[ok] an unknown message type: it answered 204",
            "[ok] the largest body: it answered 204",
            "[ok] a body that arrives slowly: it answered 204",
            "[note] if it answers 500: is tried again after 5s, and if it stays so 3 times in all \
             within about 35s",
            "[note] if it answers 429 with Retry-After: 120: is tried again after 2m",
            "grade: ready\n",
        ] {
            assert!(output.contains(line), "{line}: {output}");
        }
        let requests = developer.requests();
        // The forged and the old one did not get through.
        assert_eq!(requests.len(), 5, "{requests:?}");
        for request in &requests {
            assert_eq!(request.headers["x-callback-app-id"], "ringback-probe");
            assert!(request.headers.contains_key("x-ringback-probe"));
        }
        assert_eq!(requests[0].id, requests[1].id);
        assert_eq!((requests[0].attempt, requests[1].attempt), (1, 2));
        let log = listening.log();
        assert!(log.contains("signature WRONG -> 401"), "{log}");
        assert!(log.contains("signature ok, but OLD -> 401"), "{log}");
        let (code, output) = run(&["probe", "EO001", "--lang", "zh"], &callee).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("评级：可以上线\n"), "{output}");
    });
}

#[test]
fn a_callee_that_believes_anybody_or_fails_is_not_ready() {
    on_shared_runtime(async {
        let believes = TestTarget::http(ScriptedReply::status(200));
        let url = believes.url();
        let (code, output) = run(&["probe", &url, "--secret", SECRET], &[]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(
            output.contains("the address guard refuses it: "),
            "{output}"
        );
        assert_eq!(believes.requests().len(), 0);
        let allowed = ["probe", &url, "--allow", "127.0.0.0/8", "--secret", SECRET];
        let (code, output) = run(&allowed, &[]).await;
        assert_eq!(code, Some(1), "{output}");
        for line in [
            "[BAD] a forged signature: accepted: ",
            "[warning] a message signed an hour ago: accepted: ",
            "grade: not ready\n",
        ] {
            assert!(output.contains(line), "{line}: {output}");
        }

        let fails = Callee::start().await;
        let url = fails.url("/status/500");
        let (code, output) = run(&["probe", &url, "--allow", "127.0.0.0/8"], &[]).await;
        assert_eq!(code, Some(1), "{output}");
        let line =
            "[BAD] accepts a message: it answered 500. A callback that ends so is tried again";
        assert!(output.contains(line), "{output}");
        assert!(output.contains("[skipped] signature: "), "{output}");

        let absent = format!("http://127.0.0.1:{}/", free_port());
        let (code, output) = run(&["probe", &absent, "--allow", "127.0.0.0/8"], &[]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(
            output.contains("[BAD] accepts a message: no answer: "),
            "{output}"
        );
        assert!(!output.contains("keep-alive"), "{output}");
        assert!(output.contains("if it does not answer in time"), "{output}");
    });
}

#[test]
fn a_callee_elsewhere_is_not_called_without_consent() {
    on_shared_runtime(async {
        let (code, output) = run(&["probe", "http://8.8.8.8/"], &[]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(
            output.contains("--yes sends it the practice messages"),
            "{output}"
        );
    });
}

#[test]
fn what_a_developer_receives_is_forwarded_shown_and_replayed() {
    on_shared_runtime(async {
        let developer = TestTarget::http(ScriptedReply::status(422).body("no such order"));
        let directory = TempDirectory::new("listen");
        let typed = directory.path().join("typed");
        fs::write(&typed, "").unwrap();
        // Its standard input is what is written into the file.
        let script = "tail -n +1 -f \"$0\" | exec \"$@\"";
        let program = process::binary().display().to_string();
        let typed_path = typed.display().to_string();
        let words = [
            "-c",
            script,
            &typed_path,
            &program,
            "listen",
            "--listen",
            "127.0.0.1:0",
        ];
        let forward = developer.url();
        let more = ["--forward", &forward, "--secret", SECRET];
        let process = Process::start(
            Path::new("sh"),
            &[&words[..], &more].concat(),
            [("USER", "developer")],
        );
        let log = process.says(" go to ", SOON).await;
        let (_, rest) = log.split_once("callbacks to ").unwrap();
        let url = rest.split(' ').next().unwrap().to_owned();
        assert!(log.contains("a number and a line end replays it"), "{log}");

        let body = "{\"n\": 1.0}";
        let now = contract::unix_seconds(std::time::SystemTime::now());
        let signature = Signer::parse([SECRET])
            .unwrap()
            .sign("id-1", now, body.as_bytes());
        let answer = http::client()
            .post(format!("{url}/in?a=1"))
            .header("webhook-id", "id-1")
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .header("x-callback-message-type", "order.paid")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 422);
        assert_eq!(answer.text().await.unwrap(), "no such order");
        let line = "#1 id-1 order.paid: signature ok -> 422 in ";
        let log = process.says(line, SOON).await;
        assert!(log.contains(" ms: no such order"), "{log}");

        append(&typed, "1\n");
        process
            .says("#1 replayed id-1 order.paid: signature ok -> 422", SOON)
            .await;
        append(&typed, "9\n");
        process.says("there is no message 9", SOON).await;
        let requests = eventually("the replay", SOON, async || {
            let requests = developer.requests();
            (requests.len() == 2).then_some(requests)
        })
        .await;
        assert_eq!(requests[0].id, requests[1].id);
        let unsigned = http::client().post(&url).body("{}").send().await.unwrap();
        assert_eq!(unsigned.status(), 422);
        process
            .says("#2 no webhook-id no type: not signed -> 422", SOON)
            .await;
    });
}

#[test]
fn the_documents_are_printed_as_they_are_committed() {
    on_shared_runtime(async {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
        for (words, file) in [
            (&["callers"][..], "openapi-callers.json"),
            (&["callers", "--lang", "zh"], "openapi-callers.zh-CN.json"),
            (&["operators"], "openapi-operators.json"),
            (
                &["operators", "--lang", "zh"],
                "openapi-operators.zh-CN.json",
            ),
        ] {
            let (code, output) = run(&[&["openapi"], words].concat(), &[]).await;
            assert_eq!(code, Some(0), "{output}");
            let committed = fs::read_to_string(docs.join(file)).unwrap();
            assert!(output == committed, "{file} differs");
        }
    });
}
