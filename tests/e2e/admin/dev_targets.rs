//! `ringback dev` and the targets on one's own machine: `--allow`, the hint, and `ringback guard`.

use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{Process, ScriptedReply, TestTarget, callback, http, on_shared_runtime};

const SOON: Duration = Duration::from_secs(60);

/// A `dev` process with these options.
struct Dev {
    process: Process,
    listen: String,
    admin: String,
    _temp: TempDirectory,
}

impl Dev {
    async fn start(more: &[&str]) -> Self {
        let free = || format!("127.0.0.1:{}", free_port());
        let (listen, callee, admin) = (free(), free(), free());
        let temp = TempDirectory::new("dev");
        let mut arguments = vec!["dev", "--listen", &listen, "--callee-listen", &callee];
        arguments.extend(["--admin-listen", &admin]);
        arguments.extend(more);
        let process = Process::ringback(&arguments, [("TMPDIR", temp.path())]);
        let dev = Self {
            process,
            listen,
            admin,
            _temp: temp,
        };
        dev.says("Ctrl-C stops.").await;
        dev
    }

    /// Waits until this is in its output, and returns all of it.
    async fn says(&self, text: &str) -> String {
        self.process.says(text, SOON).await
    }

    /// POSTs a callback: the status.
    async fn post(&self, url: &str) -> u16 {
        let request = http::client().post(format!("http://{}/api/callback", self.listen));
        let request = request.header("content-type", "application/json");
        let response = request.body(callback(url).to_string()).send().await;
        response.unwrap().status().as_u16()
    }
}

/// Whether `ringback guard` admits, and its output.
async fn guard(words: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut all = vec!["guard"];
    all.extend(words);
    let mut process = Process::ringback(&all, variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

#[test]
fn ones_own_target_is_refused_with_a_hint_and_called_with_allow() {
    on_shared_runtime(async {
        let target = TestTarget::http(ScriptedReply::status(200));
        let address = target.address().to_string();
        let url = format!("http://{address}/mine");
        let closed = Dev::start(&[]).await;
        assert_eq!(closed.post(&url).await, 400);
        let refused = format!("http://{address} is refused by the address guard (loopback)");
        let program = tests::process::binary().display();
        let hint = format!("{refused}. Is it yours? Allow it: {program} dev --allow {address}\n");
        closed.says(&hint).await;
        // The option of the hint, and another one.
        let open = Dev::start(&["--allow", &address, "--allow", "10.9.0.0/16"]).await;
        let allowed = format!("allowed besides public addresses: {address}, 10.9.0.0/16\n");
        open.says(&allowed).await;
        assert_eq!(open.post(&url).await, 200);
        let line = format!(" {}: attempt 1 of ", format_args!("http://{address}"));
        let log = open.says(&line).await;
        open.says("delivered 200").await;
        assert!(!log.contains("refused by the address guard"), "{log}");
        // The rest of this machine stays closed.
        assert_eq!(open.post("http://127.0.0.1:1/").await, 400);
    });
}

#[test]
fn an_allow_that_cannot_be_read_is_refused_with_the_forms_that_can() {
    on_shared_runtime(async {
        let mut process = Process::ringback(&["dev", "--allow", "10.0.0.1/8"], [("A", "")]);
        let ended = process.wait_exit(SOON).await;
        let log = process.log();
        assert_eq!(ended.code(), Some(2), "{log}");
        assert!(
            log.contains("write 10.0.0.0/8 for the whole range"),
            "{log}"
        );
    });
}

#[test]
fn guard_asks_the_running_process_and_without_one_the_settings() {
    on_shared_runtime(async {
        let dev = Dev::start(&["--allow", "127.0.0.1:3000"]).await;
        let url = "http://127.0.0.1:3000/";
        let here = [("RINGBACK__ADMIN__LISTEN", &*dev.admin)];
        let by = format!(
            ":{}, which runs: these rules are in force there",
            dev.process.pid()
        );
        let admin = format!("http://{}", dev.admin);
        for (words, variables) in [(&[url][..], &here[..]), (&[url, "--admin", &admin], &[])] {
            let (admitted, output) = guard(words, variables).await;
            assert!(admitted, "{output}");
            assert!(
                output.contains("decided by  dev@") && output.contains(&by),
                "{output}"
            );
            assert!(
                output.contains("admitted: allowed by 127.0.0.1:3000"),
                "{output}"
            );
        }
        // The files know nothing of the option.
        let (admitted, output) = guard(&[url, "--from-settings"], &here).await;
        assert!(!admitted, "{output}");
        assert!(
            output.contains("decided by  the settings of this command"),
            "{output}"
        );
        // Nobody answers: the settings decide, and it is said. Where a process was named, it fails.
        let nowhere = format!("127.0.0.1:{}", free_port());
        let variables = [
            ("RINGBACK__ADMIN__LISTEN", &*nowhere),
            ("RINGBACK__GUARD__ALLOW", "127.0.0.0/8"),
        ];
        let (admitted, output) = guard(&[url], &variables).await;
        assert!(admitted, "{output}");
        let by = "decided by  the settings, because no running process decided (http://";
        assert!(output.contains(by), "{output}");
        let (admitted, output) = guard(&[url, "--admin", &format!("http://{nowhere}")], &[]).await;
        assert!(!admitted && output.contains("does not answer"), "{output}");
    });
}
