//! `ringback dev` prints commands to paste, and one line for each attempt.

use std::path::Path;
use std::time::Duration;

use tests::ports::free_port;
use tests::{BrokerUnderTest, Process, eventually, on_shared_runtime};

const SOON: Duration = Duration::from_secs(30);

/// The commands that it prints, with all lines of a quoted text as one would paste them.
fn curl_lines(log: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = log.lines();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("curl ") {
            continue;
        }
        let mut command = line.to_owned();
        while command.matches('\'').count() % 2 == 1 {
            command.push('\n');
            command.push_str(lines.next().unwrap());
        }
        commands.push(command);
    }
    commands
}

#[test]
fn a_pasted_line_is_accepted_and_each_attempt_is_one_line() {
    on_shared_runtime(async {
        let listen = format!("127.0.0.1:{}", free_port());
        let callee = format!("127.0.0.1:{}", free_port());
        let mut environment = vec![("RINGBACK__RETRY__SCHEDULE", "1s,1s".to_owned())];
        // Without a broker in the settings it uses a temporary store.
        if let BrokerUnderTest::RabbitMq(rabbit) = BrokerUnderTest::shared().await {
            environment.extend([
                ("RINGBACK__BROKER__URL", rabbit.uri()),
                ("RINGBACK__BROKER__PREFIX", format!("dev{}", free_port())),
            ]);
        }
        let arguments = ["dev", "--listen", &listen, "--callee-listen", &callee];
        let dev = Process::ringback(&arguments, environment);
        let commands = eventually("the lines to paste", SOON, async || {
            let commands = curl_lines(&dev.log());
            (!commands.is_empty()).then_some(commands)
        })
        .await;
        let posts: Vec<_> = commands
            .iter()
            .filter(|one| one.contains("/api/callback"))
            .collect();
        assert!(!posts.is_empty(), "{commands:?}");
        for command in posts {
            let id = eventually("the answer to a pasted line", SOON, async || {
                let mut shell = Process::start(Path::new("/bin/sh"), &["-c", command], [("A", "")]);
                let ended = shell.wait_exit(SOON).await;
                let output = shell.log();
                let id = output
                    .split_once(r#""request_id":""#)
                    .map(|(_, rest)| rest[..36].to_owned());
                id.filter(|_| ended.success() && output.contains(r#""code":"000""#))
                    .ok_or(output)
            })
            .await;
            let lines = eventually("the last attempt's line", SOON, async || {
                let log = dev.log();
                let lines: Vec<String> = log
                    .lines()
                    .filter(|line| line.contains(&id) && line.contains(": attempt "))
                    .map(str::to_owned)
                    .collect();
                let ended =
                    |line: &String| line.contains("delivered") || line.contains("dead-lettered");
                if lines.iter().any(ended) {
                    Ok(lines)
                } else {
                    Err(log)
                }
            })
            .await;
            let url = format!("http://{callee}/received?id={id}");
            let received = tests::http::client().get(url).send().await.unwrap();
            let received: serde_json::Value =
                serde_json::from_slice(&received.bytes().await.unwrap()).unwrap();
            assert_eq!(lines.len(), received.as_array().unwrap().len(), "{lines:?}");
            for (number, line) in (1..).zip(&lines) {
                assert!(
                    line.contains(&format!(": attempt {number} of 3: ")),
                    "{line}"
                );
            }
        }
    });
}
