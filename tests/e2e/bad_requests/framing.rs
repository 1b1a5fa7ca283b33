//! Which bytes on the wire are no request, or look like two?

use fastrand::Rng;

/// Bytes whose answer is known: one of the statuses, once, and the end of the connection.
pub(super) struct Framed {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) statuses: &'static [&'static str],
    /// No answer at all is right, too: what came is not HTTP/1.
    pub(super) may_be_silent: bool,
}

/// What would be answered 200 if it were ever taken for a request.
const SECOND: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

pub(super) fn all(good: &str, key: &str, rng: &mut Rng) -> Vec<Framed> {
    let length = good.len();
    let head = format!(
        "POST /api/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\n"
    );
    let post = |lines: &str, body: &str| format!("{head}{lines}\r\n{body}");
    let chunk = format!("{length:x}\r\n{good}\r\n0\r\n\r\n");
    let many: String = (0..120).map(|it| format!("x-{it}: 1\r\n")).collect();
    let huge = "a".repeat(140_000);
    let mut all = Vec::new();
    for _ in 0..40 {
        let x: String = (0..rng.usize(1..20)).map(|_| rng.alphanumeric()).collect();
        let cases: Vec<(&'static str, String, &'static [&'static str])> = vec![
            (
                "te and cl",
                post(
                    &format!(
                        "content-length: {length}\r\ntransfer-encoding: chunked\r\nx: {x}\r\n"
                    ),
                    &format!("{chunk}{SECOND}"),
                ),
                &["400"],
            ),
            (
                "two cl",
                post(
                    &format!("content-length: {length}\r\ncontent-length: 0\r\n"),
                    &format!("{good}{SECOND}"),
                ),
                &["400"],
            ),
            (
                "two cl in one",
                post(
                    &format!("content-length: {length}, {length}\r\n"),
                    &format!("{good}{SECOND}"),
                ),
                &["400"],
            ),
            (
                "signed cl",
                post(
                    &format!("content-length: +{length}\r\n"),
                    &format!("{good}{SECOND}"),
                ),
                &["400"],
            ),
            (
                "negative cl",
                post("content-length: -1\r\n", SECOND),
                &["400"],
            ),
            ("hex cl", post("content-length: 0x1\r\n", SECOND), &["400"]),
            (
                "overlong cl",
                post("content-length: 99999999999999999999999\r\n", SECOND),
                &["400"],
            ),
            (
                "two te",
                post(
                    "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                    &format!("{chunk}{SECOND}"),
                ),
                &["400"],
            ),
            (
                "other te",
                post(&format!("transfer-encoding: {x}q\r\n"), SECOND),
                &["400"],
            ),
            (
                "te list",
                post(
                    "transfer-encoding: gzip, chunked\r\n",
                    &format!("{chunk}{SECOND}"),
                ),
                &["400"],
            ),
            (
                "bad chunk",
                post(
                    "transfer-encoding: chunked\r\n",
                    &format!("zz{x}\r\n{SECOND}"),
                ),
                &["400"],
            ),
            (
                "vast chunk",
                post(
                    "transfer-encoding: chunked\r\n",
                    &format!("fffffffffffffffff\r\n{SECOND}"),
                ),
                &["400"],
            ),
            (
                "chunk without end",
                post(
                    "transfer-encoding: chunked\r\n",
                    &format!("1\r\n{{xx\r\n0\r\n\r\n{SECOND}"),
                ),
                &["400"],
            ),
            (
                "fold",
                post(&format!("x: 1\r\n {x}\r\ncontent-length: 0\r\n"), SECOND),
                &["400"],
            ),
            (
                "space before colon",
                post(
                    &format!("content-length : {length}\r\n"),
                    &format!("{good}{SECOND}"),
                ),
                &["400"],
            ),
            ("nul", post(&format!("x: a\0{x}\r\n"), SECOND), &["400"]),
            ("cr", post(&format!("x: a\r{x}\r\n"), SECOND), &["400"]),
            ("two hosts", post("host: y\r\n", SECOND), &["400"]),
            ("no name", post(": x\r\n", SECOND), &["400"]),
            ("many headers", post(&many, SECOND), &["400", "431"]),
            (
                "huge header",
                post(&format!("x: {huge}\r\n"), SECOND),
                &["400", "431"],
            ),
            (
                "huge line",
                format!("GET /{huge} HTTP/1.1\r\nhost: x\r\n\r\n{SECOND}"),
                &["400", "414", "431"],
            ),
            ("http/0.9", format!("GET /{x}\r\n\r\n{SECOND}"), &["400"]),
            (
                "http/3",
                format!("GET /{x} HTTP/3.0\r\nhost: x\r\n\r\n{SECOND}"),
                &["400", "505"],
            ),
            (
                "no http",
                format!("\u{16}\u{3}\u{1}{x}\r\n\r\n{SECOND}"),
                &["400"],
            ),
            (
                "http/2",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
                &["400", "505"],
            ),
            (
                "bad method",
                format!("G@{{T /{x} HTTP/1.1\r\nhost: x\r\n\r\n{SECOND}"),
                &["400"],
            ),
        ];
        all.extend(cases.into_iter().map(|(kind, text, statuses)| Framed {
            kind,
            bytes: text.into_bytes(),
            statuses,
            may_be_silent: true,
        }));
    }
    all
}
