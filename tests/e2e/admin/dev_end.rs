//! How `ringback dev` ends: Ctrl-C, a closed terminal, a crash; and what it says of what waits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::cleanup::{TempDirectory, signal};
use tests::ports::free_port;
use tests::{Process, callback, eventually, http, on_shared_runtime};

const SOON: Duration = Duration::from_secs(60);

/// A `dev` process whose temporary directory is in this one.
struct Dev {
    process: Process,
    listen: String,
    callee: String,
    directory: PathBuf,
}

impl Dev {
    async fn start(temp: &TempDirectory, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let callee = format!("127.0.0.1:{}", free_port());
        let mut arguments = vec!["dev", "--listen", &listen, "--callee-listen", &callee];
        arguments.extend(more);
        let parent = temp.path().display().to_string();
        let mut all = vec![("TMPDIR", &*parent)];
        all.extend(variables);
        // The test may run under `nohup`: `dev` would rightly survive its terminal.
        let program = tests::process::binary().display().to_string();
        let arguments = [&["--default-signal=HUP", &*program], &*arguments].concat();
        let process = Process::start(Path::new("env"), &arguments, all);
        let directory = temp.path().join(format!("ringback-dev-{}", process.pid()));
        let dev = Self {
            process,
            listen,
            callee,
            directory,
        };
        dev.says("Ctrl-C stops.").await;
        assert!(dev.directory.exists(), "{}", dev.directory.display());
        dev
    }

    /// Waits until this is in its output, and returns all of it.
    async fn says(&self, text: &str) -> String {
        self.process.says(text, SOON).await
    }

    /// Has a callback accepted for this path of the practice callee.
    async fn post(&self, path: &str) {
        let url = format!("http://{}{path}", self.callee);
        let request = http::client().post(format!("http://{}/api/callback", self.listen));
        let request = request.header("content-type", "application/json");
        let response = request.body(callback(&url).to_string()).send().await;
        assert_eq!(response.unwrap().status().as_u16(), 200);
    }

    /// Waits until the practice callee has received so many requests.
    async fn received(&self, count: u64) {
        let url = format!("http://{}/received/count", self.callee);
        eventually("requests at the callee", SOON, async || {
            let response = http::client()
                .get(&url)
                .send()
                .await
                .map_err(|it| it.to_string())?;
            let text = response.text().await.map_err(|it| it.to_string())?;
            let expected = format!("{{\"count\":{count}}}\n");
            if text == expected { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

#[test]
fn a_closed_terminal_is_a_graceful_stop() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("end");
        let mut dev = Dev::start(&temp, &[], &[]).await;
        dev.process.sighup();
        let ended = dev.process.wait_exit(SOON).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(dev.process.log().contains("stopping (SIGHUP)"));
        assert!(!dev.directory.exists(), "{}", dev.directory.display());
    });
}

#[test]
fn a_dev_that_ignores_sighup_survives_its_terminal() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("end");
        let parent = temp.path().display().to_string();
        let callee = free_port();
        let script = format!(
            "trap '' HUP; exec \"$0\" dev --listen 127.0.0.1:{} --callee-listen 127.0.0.1:{callee}",
            free_port()
        );
        let program = tests::process::binary().to_str().unwrap();
        let shell = ["-c", &*script, program];
        let mut dev = Process::start(Path::new("/bin/sh"), &shell, [("TMPDIR", &parent)]);
        dev.says("Ctrl-C stops.", SOON).await;
        dev.sighup();
        // It answers as before: a stop would close the listener.
        for _ in 0..20 {
            let url = format!("http://127.0.0.1:{callee}/received/count");
            assert_eq!(http::client().get(&url).send().await.unwrap().status(), 200);
        }
        assert!(!dev.log().contains("stopping"), "{}", dev.log());
        dev.sigterm();
        dev.wait_exit(SOON).await;
        let log = dev.log();
        assert!(log.contains("stopping (SIGTERM)"), "{log}");
    });
}

#[test]
fn what_a_crashed_dev_left_is_removed_by_the_next_one() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("end");
        let mut crashed = Dev::start(&temp, &[], &[]).await;
        let alive = Dev::start(&temp, &[], &[]).await;
        crashed.process.kill9();
        assert!(crashed.directory.exists());
        let next = Dev::start(&temp, &[], &[]).await;
        let log = next.process.log();
        assert!(
            log.contains("removed what dead dev processes had left"),
            "{log}"
        );
        assert!(!crashed.directory.exists());
        assert!(alive.directory.exists() && next.directory.exists());
    });
}

#[test]
fn ctrl_c_says_what_it_waits_for_and_a_second_one_ends_at_once() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("end");
        let mut dev = Dev::start(&temp, &[], &[]).await;
        for _ in 0..2 {
            dev.post("/hang").await;
        }
        dev.received(2).await;
        signal(dev.process.pid(), "INT");
        let log = dev.says("in flight: waiting for the end until ").await;
        assert!(log.contains("Z 2 attempts are in flight"), "{log}");
        assert!(
            log.contains("stopping (SIGINT); a second Ctrl-C ends it at once"),
            "{log}"
        );
        // Two within a second are one, so it is sent until it counts.
        let ended = eventually("the end", Duration::from_secs(10), async || {
            signal(dev.process.pid(), "INT");
            dev.process.ended()
        })
        .await;
        assert_eq!(ended.code(), Some(130), "{ended}");
    });
}

#[test]
fn deferrals_after_the_breaker_opened_are_said_once_for_each_callback() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("end");
        let variables = [
            ("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "1"),
            ("RINGBACK__LIMITS__BREAKER_OPEN_DURATION", "3s"),
            ("RINGBACK__LIMITS__BREAKER_MAX_OPEN_DURATION", "3s"),
            ("RINGBACK__RETRY__SCHEDULE", "1s,1s,1s"),
        ];
        let dev = Dev::start(&temp, &[], &variables).await;
        dev.post("/status/503").await;
        dev.says(": attempt 1 of 4: answered_5xx 503, retry in")
            .await;
        dev.post("/ok").await;
        let log = dev.says(": deferred (").await;
        let line = log
            .lines()
            .find(|line| line.contains(": deferred ("))
            .unwrap();
        for part in [
            "order.paid http://",
            "before attempt ",
            "and perhaps again  0",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let log = dev.says(": attempt 1 of 4: delivered 200").await;
        let deferrals = log
            .lines()
            .filter_map(|line| line.split_once(": deferred ("));
        // The reason, and the id at the end.
        let mut said: Vec<(&str, &str)> = deferrals
            .filter_map(|(_, rest)| Some((rest.split_once(')')?.0, rest.rsplit_once(' ')?.1)))
            .collect();
        let all = said.len();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), all, "{log}");
        // With -v each event has its fields.
        let verbose = Dev::start(&temp, &["-v"], &[]).await;
        verbose.post("/ok").await;
        let log = verbose.says("delivered 200").await;
        assert!(
            log.contains("INFO dispatcher::attempt: attempt 1 of"),
            "{log}"
        );
        assert!(log.contains("queue=\"first\""), "{log}");
    });
}
