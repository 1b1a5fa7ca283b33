//! The ports of `ringback dev` and of the roles: which are taken, by whom, and what to change.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{Process, SingleProcess, eventually, on_shared_runtime, process};

const SOON: Duration = Duration::from_secs(60);

/// The addresses of a `dev` process, all free.
struct Ports {
    listen: String,
    callee: String,
    admin: String,
    metrics: String,
}

impl Ports {
    fn free() -> Self {
        let free = || format!("127.0.0.1:{}", free_port());
        Self {
            listen: free(),
            callee: free(),
            admin: free(),
            metrics: free(),
        }
    }

    fn start(&self, temp: &TempDirectory) -> Process {
        let arguments = [
            "dev",
            "--listen",
            &self.listen,
            "--callee-listen",
            &self.callee,
            "--admin-listen",
            &self.admin,
            "--metrics-listen",
            &self.metrics,
        ];
        Process::ringback(&arguments, [("TMPDIR", temp.path())])
    }
}

/// Everything that it has written up to the end of the banner.
async fn first_screen(dev: &Process) -> String {
    eventually("the banner", SOON, async || {
        let log = dev.log();
        match log.split_once("Ctrl-C stops.") {
            Some((screen, _)) => Ok(format!("{screen}Ctrl-C stops.")),
            None => Err(log),
        }
    })
    .await
}

/// The error of a process that cannot start.
async fn error_of(mut process: Process) -> String {
    let ended = process.wait_exit(SOON).await;
    let output = process.log();
    assert!(!ended.success(), "{output}");
    output
}

#[test]
fn the_first_screen_fits_24_lines_of_100_columns() {
    on_shared_runtime(async {
        // A short path, as that of /tmp is.
        let temp = TempDirectory::new("s");
        let dev = Ports::free().start(&temp);
        let screen = first_screen(&dev).await;
        assert!(screen.lines().count() < 24, "{screen}");
        let directory = temp.path().display().to_string();
        let program = process::binary().display().to_string();
        for line in screen.lines() {
            let line = line.replace(&directory, "/tmp");
            // As the README calls it: where this checkout lies must not matter.
            let line = line.replace(&program, "target/release/ringback");
            assert!(line.chars().count() <= 100, "{line}: {screen}");
        }
    });
}

#[test]
fn a_second_dev_names_all_taken_ports_their_options_and_who_has_them() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("ports");
        let ports = Ports::free();
        let dev = ports.start(&temp);
        first_screen(&dev).await;
        let sentence = error_of(ports.start(&temp)).await;
        for (name, option, address) in [
            ("the callers' listener", "--listen", &ports.listen),
            ("the practice callee", "--callee-listen", &ports.callee),
            ("the operators' listener", "--admin-listen", &ports.admin),
            ("the metrics listener", "--metrics-listen", &ports.metrics),
        ] {
            let part = format!("{name}, set by {option}: cannot listen on {address}: ");
            assert!(sentence.contains(&part), "{part}: {sentence}");
        }
        let (_, hint) = sentence.split_once(". On ").unwrap_or_default();
        assert!(
            hint.contains("a running ringback answers there (dev@"),
            "{sentence}"
        );
        let who = format!(":{} answers operators on {}", dev.pid(), ports.admin);
        assert!(hint.contains(&who), "{sentence}");
        // The practice callee alone is recognised, too.
        let callee = Process::ringback(&["callee", "--listen", &ports.callee], [("A", "")]);
        let sentence = error_of(callee).await;
        let part = format!("On {}: a practice callee", ports.callee);
        assert!(sentence.contains(&part), "{sentence}");
    });
}

#[test]
fn a_role_whose_port_is_taken_names_the_key_and_who_may_have_it() {
    on_shared_runtime(async {
        let gateway = SingleProcess::start(&[]).await;
        let temp = TempDirectory::new("ports");
        let directory = temp.path().join("data").display().to_string();
        let serve = |address: &str| {
            let variables = [
                ("RINGBACK__BROKER__DATA_DIR", &*directory),
                ("RINGBACK__INGRESS__LISTEN", address),
            ];
            Process::ringback(&["serve"], variables)
        };
        let sentence = error_of(serve(&gateway.address.to_string())).await;
        let key = "ingress.listen (RINGBACK__INGRESS__LISTEN)";
        for part in [
            &*format!(
                "the callers' listener, set by {key}: cannot listen on {}: ",
                gateway.address
            ),
            "a running ringback answers there. Stop what you do not need, or choose another address with",
        ] {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
        // Who answers nothing is only supposed to be one of ours.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let sentence = error_of(serve(&silent.local_addr().unwrap().to_string())).await;
        let part = "Perhaps another ringback dev or ringback serve is running on";
        assert!(sentence.contains(part), "{sentence}");
    });
}

#[test]
fn dev_takes_another_operators_port_when_the_default_is_taken_and_says_where() {
    const DEFAULT: &str = "127.0.0.1:5109";
    on_shared_runtime(async {
        // If it cannot be opened, somebody else has it already.
        let _taken = TcpListener::bind(DEFAULT);
        let temp = TempDirectory::new("ports");
        let ports = Ports::free();
        let arguments = [
            "dev",
            "--listen",
            &ports.listen,
            "--callee-listen",
            &ports.callee,
        ];
        let directory = temp.path().display().to_string();
        let variables = [
            ("TMPDIR", &*directory),
            ("RINGBACK__ADMIN__LISTEN", DEFAULT),
        ];
        let dev = Process::ringback(&arguments, variables);
        let screen = first_screen(&dev).await;
        let (_, rest) = screen
            .split_once(
                "127.0.0.1:5109 is taken; for operators' commands: export RINGBACK__ADMIN__LISTEN=",
            )
            .unwrap_or_else(|| panic!("{screen}"));
        let (address, _) = rest.split_once(')').unwrap();
        assert!(
            screen.contains(&format!("--admin http://{address}\n")),
            "{screen}"
        );
        // The line that it prints is what commands need.
        let script = format!("export RINGBACK__ADMIN__LISTEN={address}; exec \"$0\" doctor");
        let program = process::binary().to_str().unwrap();
        let shell = ["-c", &*script, program];
        let mut doctor = Process::start(Path::new("/bin/sh"), &shell, [("A", "")]);
        doctor.wait_exit(SOON).await;
        let named = format!("dev@{}", "");
        let log = doctor.log();
        assert!(
            log.contains(&named) && log.contains(&dev.pid().to_string()),
            "{log}"
        );
        assert!(!log.contains("does not answer"), "{log}");
    });
}
