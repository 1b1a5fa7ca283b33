//! Heads of answers that are not quite HTTP: read as leniently as curl reads them, but for where an
//! answer ends.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Step, TestTarget, callback, eventually, on_shared_runtime};

use crate::accept::query::{attempts, status};
use crate::fixtures::journaled;

const OK: &str = "HTTP/1.1 200 OK\r\n";
const BODY: &str = "content-length: 2\r\n\r\nok";
const SOON: Duration = Duration::from_secs(30);

fn once(url: &str) -> Value {
    let mut callback = callback(url);
    callback["options"] = json!({"max_attempts": 1, "timeout_seconds": 15});
    callback
}

#[test]
fn an_answer_with_an_odd_header_is_still_an_answer() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let cookies = "Set-Cookie: a=b; Path=/\r\n".repeat(120);
        let many = "x: y\r\n".repeat(399);
        let long = format!("x: {}\r\n", "y".repeat(60 * 1024));
        let cases = [
            ("a folded line", "X-Note: one\r\n two\r\n\tthree\r\n"),
            ("a folded first line", "X-Note:\r\n one\r\n"),
            ("a space before the colon", "Server : old\r\n"),
            ("spaces in the name", "X Legacy Header: 1\r\n"),
            ("no colon", "this is no header\r\n"),
            ("no name", ": 1\r\n"),
            ("a control character", "X-Note: a\u{1}b\r\n"),
            ("UTF-8 in the name", "X-Größe: 1\r\n"),
            ("120 cookies", &cookies),
            ("400 lines", &many),
            ("60 KiB", &long),
        ];
        join_all(cases.map(async |(what, lines)| {
            let target = TestTarget::raw(Step::answer(format!("{OK}{lines}{BODY}")));
            let id = fixture.send(&once(&target.url())).await;
            let body = status(&fixture, &id, "delivered").await;
            assert_eq!(attempts(&body), [(1, "delivered", Some(200))], "{what}");
        }))
        .await;
    });
}

#[test]
fn an_answer_that_is_no_http_or_ends_at_a_guess_is_refused_with_the_reason() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let many = format!("{OK}{}\r\n", "x: y\r\n".repeat(401));
        let long = format!("{OK}x: {}\r\n\r\n", "y".repeat(70 * 1024));
        let framing = "Content-Length or Transfer-Encoding";
        let cases = [
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1 version"),
            ("HTTP/3.0 200 OK\r\n\r\n", "HTTP/1 version"),
            ("HTTP/1.1 2x0 OK\r\n\r\n", "status"),
            (&many, "400 lines"),
            (&long, "64 KiB"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
                framing,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n 2\r\n\r\nab",
                framing,
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab", framing),
            ("HTTP/1.1 200 OK\r\ncontent-length : -2\r\n\r\nab", framing),
            (
                "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                framing,
            ),
        ];
        join_all(cases.map(async |(answer, reason)| {
            let target = TestTarget::raw(Step::answer(answer));
            let id = fixture.send(&once(&target.url())).await;
            let body = status(&fixture, &id, "dead").await;
            let shown = &answer[..answer.len().min(80)];
            assert_eq!(attempts(&body), [(1, "malformed_answer", None)], "{shown}");
            let detail = body["attempts"][0]["detail"].as_str().unwrap();
            assert!(detail.contains(reason), "{shown}: {detail}");
        }))
        .await;
    });
}

/// The next answer would be read from where one of two readers believes that this one ends.
#[test]
fn a_connection_is_used_again_only_when_it_is_clear_where_the_answer_ended() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let chunked = "transfer-encoding: chunked\r\n";
        for (what, lines, body) in [
            (
                "a length and chunks",
                format!("content-length: 5\r\n{chunked}"),
                "0\r\n\r\n",
            ),
            (
                "chunks and a length, with a space before the colon",
                "transfer-encoding : chunked\r\ncontent-length: 0\r\n".to_owned(),
                "0\r\n\r\n",
            ),
            (
                "the same length twice",
                "content-length: 2\r\n".repeat(2),
                "ok",
            ),
            (
                "bytes behind the answer",
                "content-length: 2\r\n".to_owned(),
                "okHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            ),
        ] {
            // A second request on the same connection would never be answered.
            let answer = format!("{OK}{lines}\r\n{body}").into_bytes();
            let target = TestTarget::raw([Step::WaitForHead, Step::Write(answer), Step::Read]);
            for round in 1..=3 {
                let id = fixture.send(&once(&target.url())).await;
                let body = status(&fixture, &id, "delivered").await;
                assert_eq!(attempts(&body), [(1, "delivered", Some(200))], "{what}");
                assert_eq!(target.connections(), round, "{what}");
            }
            eventually("all to be closed", SOON, async || {
                let open = target.open_connections();
                (open == 0).then_some(()).ok_or(format!("{what}: {open}"))
            })
            .await;
        }
        let clear = TestTarget::http(tests::ScriptedReply::status(200));
        for _ in 0..3 {
            let id = fixture.send(&once(&clear.url())).await;
            status(&fixture, &id, "delivered").await;
        }
        assert_eq!(clear.connections(), 1);
    });
}
