//! The text that `ringback dev` prints: commands to paste into a second terminal.

use std::net::SocketAddr;

/// Printed if the broker does not answer. One line.
pub(super) fn hint(queue: &str, state: &str) -> String {
    format!(
        "no {queue} yet ({state}), still trying; without RINGBACK__BROKER__URL no broker is needed"
    )
}

/// Printed once everything is ready.
pub(super) fn banner(
    queue: &str,
    ingress: SocketAddr,
    callee: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
) -> String {
    let curl = |path: &str| curl(ingress, callee, path);
    format!(
        "\
ready: callbacks are accepted at http://{ingress}/api/callback, and the practice callee is at http://{callee}
the queue: {queue}

delivered at once:
  {}
fails twice, then succeeds:
  {}
fails until the schedule (`ringback schedule`) is spent, then it is dead-lettered:
  {}
what the callee has received:
  curl http://{callee}/received
the state of each, for operators (also: callback show ID, dead-letters list):
  ringback callback list --admin http://{admin}
metrics: http://{metrics}/metrics

Each attempt is one line below. Ctrl-C stops.
",
        curl("/ok"),
        curl("/flaky/2"),
        curl("/status/503"),
    )
}

/// One callback to a path of the practice callee, for a POSIX shell.
fn curl(ingress: SocketAddr, callee: SocketAddr, path: &str) -> String {
    format!(
        "curl http://{ingress}/api/callback -H 'content-type: application/json' -d \
         '{{\"callback_url\":\"http://{callee}{path}\",\"app_id\":\"demo\",\
         \"message_type\":\"hello\",\"request_message\":{{\"n\":1}}}}'"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_curl_lines_name_the_real_ports_and_carry_whole_callbacks() {
        let (ingress, callee) = ("127.0.0.1:41".parse().unwrap(), "[::1]:42".parse().unwrap());
        let admin = "127.0.0.1:43".parse().unwrap();
        let metrics = "127.0.0.1:44".parse().unwrap();
        let text = banner("RabbitMQ", ingress, callee, admin, metrics);
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  curl http://127.0.0.1:41/api/callback "))
            .collect();
        assert_eq!(lines.len(), 3, "{text}");
        for (line, path) in lines.into_iter().zip(["/ok", "/flaky/2", "/status/503"]) {
            let body = line
                .strip_prefix("-H 'content-type: application/json' -d '")
                .and_then(|rest| rest.strip_suffix('\''))
                .unwrap();
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
        assert!(text.contains("http://127.0.0.1:44/metrics\n"), "{text}");
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
