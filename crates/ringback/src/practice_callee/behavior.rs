//! What a path does. Pure: path, query and the number of earlier requests in, the behavior out.

use std::time::Duration;

use actix_web::web::Query;
use serde::Deserialize;

/// The longest wait of `/slow`, in milliseconds.
const MAX_SLOW_MS: u64 = 3_600_000;

/// What the callee does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Behavior {
    /// Answer with this status after `wait`, with an additional header if the path asks for one.
    Reply {
        status: u16,
        wait: Duration,
        header: Option<(&'static str, String)>,
    },
    /// Keep the connection open and do not answer.
    Hang,
    /// Close the connection without a byte.
    Reset,
}

impl Behavior {
    /// The status that the client gets, if it gets one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Reply { status, .. } => Some(*status),
            Self::Hang | Self::Reset => None,
        }
    }
}

/// The behavior for a request that was received `earlier` times before (same path, same
/// `webhook-id`).
///
/// An unknown path is answered 404, and an invalid number 400. Both are listed like any other request,
/// so that a typo is visible.
pub(super) fn of(path: &str, query: &str, earlier: u32) -> Behavior {
    let (word, rest) = match path.trim_start_matches('/').split_once('/') {
        Some((word, rest)) => (word, rest),
        None => (path.trim_start_matches('/'), ""),
    };
    match (word, rest) {
        ("ok", _) => reply(200),
        ("status", code) => match code.parse() {
            Ok(status @ 100..=599) => reply(status),
            Ok(_) | Err(_) => reply(400),
        },
        ("flaky", times) => match times.parse::<u32>() {
            Ok(times) if earlier < times => reply(503),
            Ok(_) => reply(200),
            Err(_) => reply(400),
        },
        ("slow", wait) => match wait.parse::<u64>() {
            Ok(wait) if wait <= MAX_SLOW_MS => Behavior::Reply {
                status: 200,
                wait: Duration::from_millis(wait),
                header: None,
            },
            Ok(_) | Err(_) => reply(400),
        },
        ("retry-after", seconds) => match seconds.parse::<u64>() {
            Ok(seconds) if earlier == 0 => with_header(429, "retry-after", seconds.to_string()),
            Ok(_) => reply(200),
            Err(_) => reply(400),
        },
        ("redirect", rest) => with_header(307, "location", destination(rest, query)),
        ("hang", _) => Behavior::Hang,
        ("reset", _) => Behavior::Reset,
        _ => reply(404),
    }
}

/// Where `/redirect` points: to `?to=`, else to the rest of the path.
fn destination(rest: &str, query: &str) -> String {
    match Query::<RedirectQuery>::from_query(query) {
        Ok(query) => query.into_inner().to,
        Err(_) => format!("/{rest}"),
    }
}

#[derive(Deserialize)]
struct RedirectQuery {
    to: String,
}

fn reply(status: u16) -> Behavior {
    Behavior::Reply {
        status,
        wait: Duration::ZERO,
        header: None,
    }
}

fn with_header(status: u16, name: &'static str, value: String) -> Behavior {
    Behavior::Reply {
        status,
        wait: Duration::ZERO,
        header: Some((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_behavior() {
        for (path, query, earlier, expected) in [
            ("/ok", "", 0, reply(200)),
            ("/ok/", "", 0, reply(200)),
            ("/status/503", "", 0, reply(503)),
            ("/status/100", "", 0, reply(100)),
            ("/status/599", "", 0, reply(599)),
            ("/status/99", "", 0, reply(400)),
            ("/status/600", "", 0, reply(400)),
            ("/status/abc", "", 0, reply(400)),
            ("/flaky/2", "", 0, reply(503)),
            ("/flaky/2", "", 1, reply(503)),
            ("/flaky/2", "", 2, reply(200)),
            ("/flaky/-1", "", 0, reply(400)),
            ("/slow/3600001", "", 0, reply(400)),
            (
                "/retry-after/2",
                "",
                0,
                with_header(429, "retry-after", "2".into()),
            ),
            ("/retry-after/2", "", 1, reply(200)),
            (
                "/redirect/ok",
                "",
                0,
                with_header(307, "location", "/ok".into()),
            ),
            (
                "/redirect/x",
                "a=b&to=http%3A%2F%2F10.0.0.1%2Fok",
                0,
                with_header(307, "location", "http://10.0.0.1/ok".into()),
            ),
            ("/hang", "", 0, Behavior::Hang),
            ("/reset", "", 0, Behavior::Reset),
            ("/", "", 0, reply(404)),
            ("/okay", "", 0, reply(404)),
        ] {
            assert_eq!(
                of(path, query, earlier),
                expected,
                "{path}?{query} after {earlier}"
            );
        }
    }

    #[test]
    fn slow_waits_as_long_as_its_path_says() {
        let Behavior::Reply {
            status: 200,
            wait,
            header: None,
        } = of("/slow/3000", "", 0)
        else {
            panic!("not a plain 200");
        };
        assert_eq!(wait, Duration::from_secs(3));
    }
}
