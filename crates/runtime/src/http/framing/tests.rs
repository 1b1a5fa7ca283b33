//! Tests that a connection gives one request at a time, however its bytes are cut.

use super::*;

const GET: &str = "GET /a HTTP/1.1\r\nhost: x\r\n\r\n";
const BARE: &str = "GET /a HTTP/1.1\nhost: x\n\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\nContent-Length: 8\r\n\r\n{\r\n\r\n\"}\n";
const EMPTY: &str = "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
const CHUNKS: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                      A;x=1\r\n01234\r\n\r\n9\r\n1 \r\nz\r\n0\r\nt: 1\r\nu: 2\r\n\r\n";

fn framing(head: &str) -> BodyFraming {
    let head = head.to_ascii_lowercase();
    if head.contains("chunked") {
        return BodyFraming::Chunked;
    }
    let length = head.split("content-length: ").nth(1);
    length.map_or(BodyFraming::None, |rest| {
        BodyFraming::Length(rest.lines().next().unwrap().parse().unwrap())
    })
}

/// Gives these pieces to a framer, as a connection does, and returns the requests that it gives.
fn requests(pieces: &[&[u8]]) -> Vec<String> {
    let (mut framer, mut found) = (RequestFramer::new(), Vec::new());
    let (mut waiting, mut current) = (Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            let Admitted { skipped, passed } = framer.admit(&waiting);
            current.extend_from_slice(&waiting[skipped..skipped + passed]);
            waiting.drain(..skipped + passed);
            match framer.phase() {
                Phase::HeadComplete => {
                    let head = String::from_utf8(current.clone()).unwrap();
                    framer.set_framing(framing(&head));
                }
                Phase::Idle | Phase::Head | Phase::Body => break,
                Phase::Complete => {}
            }
            if framer.phase() == Phase::Complete {
                let before = framer.admit(b"GET");
                assert_eq!((before.skipped, before.passed), (0, 0));
                found.push(String::from_utf8(std::mem::take(&mut current)).unwrap());
                framer.next_request();
            }
        }
    }
    assert!(
        current.is_empty() && waiting.is_empty(),
        "{current:?} {waiting:?}"
    );
    found
}

#[test]
fn one_request_is_given_at_a_time_however_the_bytes_are_cut() {
    let all = [GET, BARE, POST, EMPTY, CHUNKS, GET];
    let text: String = all.iter().map(|one| format!("{one}\r\n")).collect();
    let bytes = text.as_bytes();
    assert_eq!(requests(&[bytes]), all);
    for first in 0..bytes.len() {
        assert_eq!(
            requests(&[&bytes[..first], &bytes[first..]]),
            all,
            "{first}"
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(requests(&single), all);
    for size in 2..40 {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(requests(&pieces), all, "{size}");
    }
}

#[test]
fn a_framing_that_leaves_a_doubt_is_left_to_the_parser() {
    for (line, found) in [
        ("content-length: 5", Some(BodyFraming::Length(5))),
        ("CONTENT-LENGTH:5", Some(BodyFraming::Length(5))),
        ("content-length: +5", None),
        ("content-length: 5, 5", None),
        ("content-length:", None),
        ("content-length : 5", None),
        ("content-length: 5\r\ncontent-length: 5", None),
        ("content-length: 99999999999999999999", None),
        ("Transfer-Encoding: chunked", None),
        ("transfer-encoding: identity", None),
        ("content-lengthy: 5", None),
        ("x-content-length: 5", Some(BodyFraming::None)),
        ("content-type: a/b", Some(BodyFraming::None)),
        ("t: 1", Some(BodyFraming::None)),
    ] {
        let head = format!("POST / HTTP/1.1\r\n{line}\r\nhost: x\r\n\r\n");
        assert_eq!(plain_framing(head.as_bytes()), found, "{line}");
    }
}

#[test]
fn broken_chunks_end_the_request() {
    for body in [
        "x",
        "5\n",
        "5;\n",
        "1\r\nab",
        "0\r\n\rx",
        "fffffffffffffffff",
    ] {
        let (mut framer, head) = (RequestFramer::new(), "POST / HTTP/1.1\r\n\r\n");
        framer.admit(&head.as_bytes()[..4]);
        framer.admit(&head.as_bytes()[4..]);
        framer.set_framing(BodyFraming::Chunked);
        framer.admit(body.as_bytes());
        assert_eq!(framer.phase(), Phase::Complete, "{body}");
    }
}

#[test]
fn empty_lines_before_a_head_are_dropped() {
    let mut framer = RequestFramer::new();
    let admitted = framer.admit(b"\r\n\n\r\n");
    assert_eq!((admitted.skipped, admitted.passed), (5, 0));
    assert_eq!(framer.phase(), Phase::Idle);
    let admitted = framer.admit(b"\r\nG");
    assert_eq!((admitted.skipped, admitted.passed), (2, 1));
    assert_eq!((framer.phase(), framer.heads()), (Phase::Head, 0));
}

#[test]
fn an_empty_line_announces_a_head_and_never_completes_one() {
    let mut framer = RequestFramer::new();
    for _ in 0..3 {
        let admitted = framer.admit(b"\r\n");
        assert_eq!((admitted.skipped, admitted.passed), (2, 0));
        framer.expect_head();
        assert_eq!((framer.phase(), framer.heads()), (Phase::Head, 0));
    }
    assert_eq!(framer.admit(GET.as_bytes()).passed, GET.len());
    assert_eq!((framer.phase(), framer.heads()), (Phase::Complete, 1));
}
