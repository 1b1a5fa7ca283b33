//! A process that cannot start says why in one sentence; printed settings and schedule.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{BrokerKind, Process, on_shared_runtime, process};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The URL of a RabbitMQ that does not exist, with a password that must not be shown.
pub(crate) fn no_broker() -> String {
    format!("amqp://gate:s3cret-word@127.0.0.1:{}/%2f", free_port())
}

/// The setting of the broker: a RabbitMQ that does not exist, or a store in this directory.
fn broker(temp: &TempDirectory) -> (&'static str, String) {
    match BrokerKind::chosen() {
        BrokerKind::RabbitMq => ("RINGBACK__BROKER__URL", no_broker()),
        BrokerKind::Embedded => {
            let directory = temp.path().join("data").display().to_string();
            ("RINGBACK__BROKER__DATA_DIR", directory)
        }
    }
}

/// The role that does the work of this one on the broker of this run.
fn role(role: &'static str) -> &'static str {
    match BrokerKind::chosen() {
        BrokerKind::RabbitMq => role,
        BrokerKind::Embedded => "serve",
    }
}

/// Starts `ringback` with standard output discarded, so that the log is its standard error.
pub(crate) fn errors_of(temp: &TempDirectory, role: &str, variables: &[(&str, &str)]) -> Process {
    let program = process::binary().to_str().unwrap();
    let script = r#"exec "$0" "$@" >/dev/null"#;
    let (key, value) = broker(temp);
    let mut environment = vec![(key, &*value)];
    // The default ports may be taken by whatever runs on this machine.
    let listeners = [
        "RINGBACK__INGRESS__LISTEN",
        "RINGBACK__DISPATCHER__LISTEN",
        "RINGBACK__ADMIN__LISTEN",
        "RINGBACK__METRICS__LISTEN",
    ];
    environment.extend(listeners.map(|key| (key, "127.0.0.1:0")));
    environment.extend(variables);
    let all = ["-c", script, program, role];
    Process::start(Path::new("/bin/sh"), &all, environment)
}

/// The one line that is not a log event.
#[track_caller]
pub(crate) fn sentence(output: &str) -> &str {
    let mut lines = output.lines().filter(|line| !line.starts_with('{'));
    let sentence = lines.next().unwrap_or_default();
    assert_eq!(lines.next(), None, "more than one sentence: {output}");
    sentence
}

/// The output of `ringback`, which must succeed.
pub(crate) async fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut process = Process::ringback(arguments, variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    assert!(ended.success(), "{arguments:?}: {ended}");
    process.log()
}

#[test]
fn a_failed_start_says_why_in_one_sentence() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("startup");
        for (instance, variable, value, named) in [
            (
                "ingress",
                "RINGBACK__BROKER__URI",
                "amqp://x",
                "RINGBACK__BROKER__URI",
            ),
            (
                "dispatcher",
                "RINGBACK__RETRYS__SCHEDULE",
                "1s",
                "RINGBACK__RETRYS__SCHEDULE",
            ),
            (
                "ingress",
                "RINGBACK__INGRESS__HTTP_STATUS",
                "200",
                "RINGBACK__INGRESS__HTTP_STATUS",
            ),
            (
                "ingress",
                "RINGBACK__INGRESS__LISTEN",
                "localhost",
                "RINGBACK__INGRESS__LISTEN",
            ),
            (
                "dispatcher",
                "RINGBACK__RETRY__SCHEDULE",
                "1s,soon",
                "RINGBACK__RETRY__SCHEDULE",
            ),
            (
                "dispatcher",
                "RINGBACK__RETRY__SCHEDULE",
                "1s,500ms",
                "RINGBACK__RETRY__SCHEDULE",
            ),
            (
                "dispatcher",
                "RINGBACK__RETRY__SCHEDULE",
                "",
                "RINGBACK__RETRY__SCHEDULE",
            ),
            (
                "ingress",
                "RINGBACK__GUARD__ALLOW",
                "10.0.0.1/8",
                "RINGBACK__GUARD__ALLOW",
            ),
            (
                "dispatcher",
                "RINGBACK__GUARD__ALLOW",
                "in side",
                "RINGBACK__GUARD__ALLOW",
            ),
            (
                "ingress",
                "RINGBACK__CALLEES__EO001__URL",
                "ftp://a/",
                "RINGBACK__CALLEES__EO001__URL",
            ),
            (
                "dispatcher",
                "RINGBACK__CALLEES__EO009__URL",
                "http://user:s3cret-word@a/",
                "RINGBACK__CALLEES__EO009__URL",
            ),
            (
                "ingress",
                "RINGBACK__BROKER__URL",
                "http://a/",
                "RINGBACK__BROKER__URL",
            ),
            (
                "ingress",
                "RINGBACK__LOG__LEVEL",
                "inof",
                "RINGBACK__LOG__LEVEL",
            ),
            (
                "ingress",
                "RINGBACK_CONFIG",
                "/no/such/file.toml",
                "/no/such/file.toml",
            ),
        ] {
            let role = role(instance);
            let mut process = errors_of(&temp, role, &[(variable, value)]);
            let ended = process.wait_exit(SOON).await;
            let output = process.log();
            assert!(!ended.success(), "{role} {variable}={value}: {output}");
            let sentence = sentence(&output);
            assert!(sentence.contains(named), "{variable}={value}: {output}");
            assert!(!output.contains("s3cret"), "{output}");
        }
    });
}

#[test]
fn a_port_in_use_is_named() {
    on_shared_runtime(async {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let temp = TempDirectory::new("startup");
        let instances: &[_] = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => &["ingress", "dispatcher"],
            // The one process has one port for both roles.
            BrokerKind::Embedded => &["ingress"],
        };
        for instance in instances {
            let variable = format!("RINGBACK__{}__LISTEN", instance.to_uppercase());
            let role = role(instance);
            let mut process = errors_of(&temp, role, &[(&variable, &address)]);
            let ended = process.wait_exit(SOON).await;
            let output = process.log();
            assert!(!ended.success(), "{role}: {output}");
            assert!(sentence(&output).contains(&address), "{role}: {output}");
        }
    });
}

#[test]
fn the_settings_are_shown_without_a_secret() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("settings");
        let file = temp.path().join("ringback.toml");
        std::fs::write(
            &file,
            "[retry]\nschedule = \"7s,8s\"\n[ingress]\nworkers = 3\n",
        )
        .unwrap();
        let (key, value) = broker(&temp);
        let shown_broker = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => "amqp://gate:***@127.0.0.1:".to_owned(),
            BrokerKind::Embedded => format!("data_dir = {value:?}"),
        };
        let variables = [
            (key, &*value),
            (
                "RINGBACK__CALLEES__EO001__URL",
                "https://a.example/in?token=s3cret-token",
            ),
            ("RINGBACK__RETRY__SCHEDULE", "1s,2s,4s"),
            ("RINGBACK__AUTH__MODE", "open"),
        ];
        let shown = printed(&["config", "--config", file.to_str().unwrap()], &variables).await;
        assert!(!shown.contains("s3cret"), "{shown}");
        for part in [
            &*shown_broker,
            "https://a.example/in?***",
            // The environment overrides the file, and the file overrides the defaults.
            "schedule = [\"1s\",\"2s\",\"4s\"]",
            "workers = 3",
            "max_backlog = 500000",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    });
}

#[test]
fn the_schedule_is_printed_with_its_cumulative_times() {
    on_shared_runtime(async {
        let shown = printed(
            &["schedule"],
            &[("RINGBACK__RETRY__SCHEDULE", "5s,30s,2min")],
        )
        .await;
        for wait in ["5s", "30s", "35s", "2m"] {
            assert!(shown.contains(wait), "{wait} in {shown}");
        }
    });
}
