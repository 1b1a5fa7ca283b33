//! Tests of the phases of a connection: when it is reading a further head.

use super::*;

/// What a connection's tracker observes.
enum Event {
    Read(&'static str),
    Begin,
    Complete(&'static str),
    Sent,
}
use Event::{Begin, Complete, Read, Sent};

const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n\r\n";
const BODY: &str = r#"{ "a": "12345"}"#;

fn is_reading_head(events: &[Event]) -> bool {
    let tracker = HeadTracker::new();
    let mut response = None;
    for event in events {
        match event {
            Read(bytes) => tracker.on_read(bytes.as_bytes()),
            Begin => response = Some(tracker.begin_request()),
            Complete(body) => tracker.request_complete(body.as_bytes()),
            Sent => drop(response.take()),
        }
    }
    tracker.is_reading_head()
}

#[test]
fn a_further_head_begins_after_an_answered_request() {
    let cases: &[(&str, &[Event])] = &[
        (
            "with a byte",
            &[Read("GET\r\n\r\n"), Begin, Complete(""), Sent, Read("G")],
        ),
        (
            "with an empty line",
            &[Read(POST), Read(BODY), Begin, Sent, Read("\r\n")],
        ),
        (
            "in the same read",
            &[Read("GET\r\n\r\nG"), Begin, Complete(""), Sent],
        ),
        (
            "in the same read as a body",
            &[
                Read(POST),
                Begin,
                Read(r#"{ "a": "12345"}G"#),
                Complete(BODY),
                Sent,
            ],
        ),
        (
            "after a body and an empty line",
            &[
                Read(POST),
                Begin,
                Read("{ \"a\": \"12345\"}\r\nG"),
                Complete(BODY),
                Sent,
            ],
        ),
        (
            "after the last chunk",
            &[
                Read("POST\r\n\r\n1\r\n0\r\n0\r\n\r\nG"),
                Begin,
                Complete("0"),
                Sent,
            ],
        ),
        (
            "before the response",
            &[Read("GET\r\n\r\n"), Begin, Complete(""), Read("G"), Sent],
        ),
        (
            "after two requests",
            &[
                Read("GET\r\n\r\nGET\r\n\r\nG"),
                Begin,
                Complete(""),
                Sent,
                Begin,
                Complete(""),
                Sent,
            ],
        ),
    ];
    for (case, events) in cases {
        assert!(is_reading_head(events), "{case}");
    }
}

#[test]
fn a_body_an_idle_connection_and_the_first_head_are_not_further_heads() {
    let cases: &[(&str, &[Event])] = &[
        ("the first head", &[Read("GET\r\n"), Read("h")]),
        (
            "an idle connection",
            &[Read("GET\r\n\r\n"), Begin, Complete(""), Sent],
        ),
        (
            "an idle connection after a blank body",
            &[Read("POST\r\n\r\n   "), Begin, Complete("   "), Sent],
        ),
        (
            "an idle connection, lines ended by LF",
            &[Read("GET\n\n"), Begin, Complete(""), Sent],
        ),
        (
            "the end of the connection",
            &[Read("GET\r\n\r\n"), Begin, Complete(""), Sent, Read("")],
        ),
        (
            "a further request in progress",
            &[
                Read("GET\r\n\r\nG"),
                Begin,
                Complete(""),
                Sent,
                Read("ET\r\n\r\n"),
                Begin,
            ],
        ),
        (
            "pipelined bytes before the response",
            &[Read("GET\r\n\r\nG"), Begin, Complete("")],
        ),
        (
            "two requests in one read",
            &[
                Read("GET\r\n\r\nPOST\r\n\r\n{ \"a\": \"12345\"}"),
                Begin,
                Complete(""),
                Sent,
                Begin,
                Complete(BODY),
                Sent,
            ],
        ),
        (
            "a body in pieces",
            &[
                Read(POST),
                Begin,
                Read(r#"{ "a": "1234"#),
                Read(r#"5"}"#),
                Complete(BODY),
                Sent,
            ],
        ),
        (
            "a short body",
            &[Read(POST), Read("{}"), Begin, Complete("{}"), Sent],
        ),
        ("an unread body", &[Read(POST), Read(BODY), Begin, Sent]),
        (
            "the last chunk",
            &[
                Read("POST\r\n\r\n1\r\n0\r\n0\r\n\r\n"),
                Begin,
                Complete("0"),
                Sent,
            ],
        ),
        (
            "an empty line after a body",
            &[Read(POST), Read("{}\r\n"), Begin, Complete("{}"), Sent],
        ),
        (
            "an empty line before the response",
            &[
                Read(POST),
                Read("{}"),
                Begin,
                Complete("{}"),
                Read("\r\n"),
                Sent,
            ],
        ),
    ];
    for (case, events) in cases {
        assert!(!is_reading_head(events), "{case}");
    }
}
