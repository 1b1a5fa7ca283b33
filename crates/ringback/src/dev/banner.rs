//! The text that `ringback dev` prints: commands to paste into a second terminal.
//!
//! With the default addresses it fits a terminal of 24 lines of 100 columns.

use std::fmt;
use std::net::SocketAddr;

use delivery::AddressRule;

/// Printed if the broker does not answer. One line.
pub(super) fn hint(queue: &str, state: &str) -> String {
    format!(
        "no {queue} yet ({state}), still trying; without RINGBACK__BROKER__URL no broker is needed"
    )
}

/// What is printed once everything is ready.
pub(super) struct Banner {
    /// The queue, and what becomes of it at the end.
    pub(super) queue: String,
    pub(super) ingress: SocketAddr,
    pub(super) callee: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The operators' address that was taken, in place of which `admin` is used.
    pub(super) taken: Option<SocketAddr>,
    pub(super) metrics: SocketAddr,
    /// What `--allow` names.
    pub(super) allow: Vec<AddressRule>,
    /// How this program was called.
    pub(super) program: &'static str,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            queue,
            ingress,
            callee,
            admin,
            taken,
            metrics,
            allow,
            program,
        } = self;
        writeln!(
            f,
            "\
ready: callers POST to http://{ingress}/api/callback
queue: {queue}

In a second terminal, send a callback to the practice callee. It accepts this one at once:
{}
fails twice, then accepts it:
{}
fails until the retry schedule is spent (18 hours by default), then it is a dead letter:
{}

what the callee has received:
  curl http://{callee}/received
the state of each, for operators (also: callback show ID, dead-letters list, doctor):
  {program} callback list --admin http://{admin}",
            self.curl("/ok"),
            self.curl("/flaky/2"),
            self.curl("/status/503"),
        )?;
        if let Some(taken) = taken {
            writeln!(
                f,
                "  ({taken} is taken; for operators' commands: export RINGBACK__ADMIN__LISTEN={admin})"
            )?;
        }
        writeln!(
            f,
            "console: http://{admin}/    API page: /api-docs/    metrics: http://{metrics}/metrics"
        )?;
        if allow.is_empty() {
            writeln!(
                f,
                "A target of your own on this machine? {program} dev --allow 127.0.0.1:3000"
            )?;
        } else {
            let rules: Vec<String> = allow.iter().map(ToString::to_string).collect();
            writeln!(f, "allowed besides public addresses: {}", rules.join(", "))?;
        }
        f.write_str("\nEach attempt is one line below (-v shows all fields). Ctrl-C stops.\n")
    }
}

impl Banner {
    /// One callback to a path of the practice callee, for a POSIX shell.
    fn curl(&self, path: &str) -> String {
        let Self {
            ingress, callee, ..
        } = self;
        format!(
            "  curl {ingress}/api/callback -H 'content-type: application/json' -d '{{\"app_id\":\"demo\",\n    \
             \"callback_url\":\"http://{callee}{path}\",\"message_type\":\"hello\",\"request_message\":{{}}}}'"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn banner() -> Banner {
        Banner {
            queue: "RabbitMQ".to_owned(),
            ingress: "127.0.0.1:41".parse().unwrap(),
            callee: "[::1]:42".parse().unwrap(),
            admin: "127.0.0.1:43".parse().unwrap(),
            taken: None,
            metrics: "127.0.0.1:44".parse().unwrap(),
            allow: Vec::new(),
            program: "ringback",
        }
    }

    #[test]
    fn the_curl_lines_name_the_real_ports_and_carry_whole_callbacks() {
        let text = banner().to_string();
        let begin = "  curl 127.0.0.1:41/api/callback -H 'content-type: application/json' -d '";
        let commands: Vec<&str> = text.split(begin).skip(1).collect();
        assert_eq!(commands.len(), 3, "{text}");
        for (command, path) in commands.into_iter().zip(["/ok", "/flaky/2", "/status/503"]) {
            let (body, _) = command.split_once('\'').unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["callback_url"], format!("http://[::1]:42{path}"));
            for field in ["app_id", "message_type"] {
                assert!(body[field].as_str().is_some_and(|text| !text.is_empty()));
            }
            assert!(body["request_message"].is_object());
        }
        assert!(text.contains("  curl http://[::1]:42/received\n"), "{text}");
        let admin = "  ringback callback list --admin http://127.0.0.1:43\n";
        assert!(text.contains(admin), "{text}");
        assert!(text.contains("console: http://127.0.0.1:43/ "), "{text}");
        assert!(text.contains("http://127.0.0.1:44/metrics\n"), "{text}");
        assert!(text.contains("--allow 127.0.0.1:3000\n"), "{text}");
    }

    #[test]
    fn it_fits_a_terminal_of_24_lines_of_100_columns() {
        let queue = "the embedded store in /tmp/ringback-dev-4194304 (removed at the end; --data-dir \
                     DIR keeps it)";
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let banner = Banner {
            queue: queue.to_owned(),
            ingress: at(65_535),
            callee: at(65_535),
            admin: at(65_535),
            taken: Some(at(5109)),
            metrics: at(65_535),
            allow: vec!["127.0.0.1:3000".parse().unwrap()],
            program: "target/release/ringback",
        };
        let text = banner.to_string();
        // One line is left for the prompt.
        assert!(text.lines().count() < 24, "{text}");
        for line in text.lines() {
            let columns = line.chars().count();
            assert!(columns <= 100, "{columns}: {line}");
        }
        assert!(
            text.contains("RINGBACK__ADMIN__LISTEN=127.0.0.1:65535"),
            "{text}"
        );
        assert!(
            text.contains("besides public addresses: 127.0.0.1:3000"),
            "{text}"
        );
    }

    #[test]
    fn the_hint_is_one_line_that_names_the_broker() {
        let hint = hint("RabbitMQ at 127.0.0.1:5672", "never connected: refused");
        assert_eq!(hint.lines().count(), 1);
        assert!(
            hint.contains("127.0.0.1:5672") && hint.contains("refused"),
            "{hint}"
        );
    }
}
