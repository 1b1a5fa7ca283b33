//! Does a process that cannot start say why in one sentence, and does one that can be helped wait?

mod rabbitmq;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tests::nest::Nest;
use tests::ports::free_port;
use tests::{Kind, Process, process, together};

const SOON: Duration = Duration::from_secs(20);

/// Where no RabbitMQ is, with a password that must not be shown.
fn no_broker() -> String {
    format!("amqp://gate:s3cret-word@127.0.0.1:{}/%2f", free_port())
}

/// What says where the broker is: a RabbitMQ that is not there, or a store in this nest.
fn broker(nest: &Nest) -> (&'static str, String) {
    match Kind::chosen() {
        Kind::RabbitMq => ("RINGBACK__BROKER__URL", no_broker()),
        Kind::Embedded => {
            let directory = nest.directory().join("data").display().to_string();
            ("RINGBACK__BROKER__DATA_DIR", directory)
        }
    }
}

/// The role that does the work of this one on the broker of this run.
fn role(role: &'static str) -> &'static str {
    match Kind::chosen() {
        Kind::RabbitMq => role,
        Kind::Embedded => "serve",
    }
}

/// Starts `ringback` with all it writes on standard output thrown away: what is left in the log
/// is its standard error.
fn errors_of(nest: &Nest, role: &str, variables: &[(&str, &str)]) -> Process {
    let program = process::binary().to_str().unwrap();
    let script = r#"exec "$0" "$@" >/dev/null"#;
    let (key, value) = broker(nest);
    let mut environment = vec![(key, &*value)];
    environment.extend(variables);
    let all = ["-c", script, program, role];
    Process::start(Path::new("/bin/sh"), &all, environment)
}

/// The one line that is no event of the log.
#[track_caller]
fn sentence(said: &str) -> &str {
    let mut lines = said.lines().filter(|line| !line.starts_with('{'));
    let sentence = lines.next().unwrap_or_default();
    assert_eq!(lines.next(), None, "more than one sentence: {said}");
    sentence
}

/// What `ringback` prints, which must be a success.
async fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut process = Process::ringback(arguments, variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    assert!(ended.success(), "{arguments:?}: {ended}");
    process.log()
}

#[test]
fn what_cannot_start_says_why_in_one_sentence() {
    together(async {
        let nest = Nest::new("startup");
        for (door, variable, value, named) in [
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
            let role = role(door);
            let mut process = errors_of(&nest, role, &[(variable, value)]);
            let ended = process.wait_exit(SOON).await;
            let said = process.log();
            assert!(!ended.success(), "{role} {variable}={value}: {said}");
            let sentence = sentence(&said);
            assert!(sentence.contains(named), "{variable}={value}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    });
}

#[test]
fn a_taken_port_is_named() {
    together(async {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let nest = Nest::new("startup");
        let doors: &[_] = match Kind::chosen() {
            Kind::RabbitMq => &["ingress", "dispatcher"],
            // It has one port, for both doors.
            Kind::Embedded => &["ingress"],
        };
        for door in doors {
            let variable = format!("RINGBACK__{}__LISTEN", door.to_uppercase());
            let role = role(door);
            let mut process = errors_of(&nest, role, &[(&variable, &address)]);
            let ended = process.wait_exit(SOON).await;
            let said = process.log();
            assert!(!ended.success(), "{role}: {said}");
            assert!(sentence(&said).contains(&address), "{role}: {said}");
        }
    });
}

#[test]
fn the_settings_are_shown_without_a_secret() {
    together(async {
        let nest = Nest::new("settings");
        let file = nest.directory().join("ringback.toml");
        std::fs::write(
            &file,
            "[retry]\nschedule = \"7s,8s\"\n[ingress]\nworkers = 3\n",
        )
        .unwrap();
        let (key, value) = broker(&nest);
        let shown_broker = match Kind::chosen() {
            Kind::RabbitMq => "amqp://gate:***@127.0.0.1:".to_owned(),
            Kind::Embedded => format!("data_dir = {value:?}"),
        };
        let variables = [
            (key, &*value),
            (
                "RINGBACK__CALLEES__EO001__URL",
                "https://a.example/in?token=s3cret-token",
            ),
            ("RINGBACK__RETRY__SCHEDULE", "1s,2s,4s"),
        ];
        let shown = printed(&["config", "--config", file.to_str().unwrap()], &variables).await;
        assert!(!shown.contains("s3cret"), "{shown}");
        for part in [
            &*shown_broker,
            "https://a.example/in?***",
            // The environment wins over the file, the file over the defaults.
            "schedule = \"1s,2s,4s\"",
            "workers = 3",
            "max_backlog = 500000",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    });
}

#[test]
fn the_schedule_is_printed_with_its_cumulative_times() {
    together(async {
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
