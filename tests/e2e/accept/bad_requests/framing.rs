//! Bytes that are not a valid request, or that look like two.
//!
//! A valid request with a valid key follows each of them. If it were ever parsed as a request, its
//! callback would be accepted, and there would be one answer too many.

use fastrand::Rng;

/// Bytes with the exact statuses of all answers; then the connection ends.
pub(super) struct Framed {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) statuses: &'static [&'static str],
    /// Why no answer at all is correct as well, if it is.
    pub(super) silence: Option<&'static str>,
}

/// The sender is still writing when it is rejected.
const RESET_OVERTAKES: &str = "what is closed with bytes unread is reset, and a reset may overtake the answer (RFC 9112, 9.6)";

/// The parts of the cases.
struct Parts<'a> {
    /// A valid callback.
    good: &'a str,
    /// A whole request that would be accepted and end the connection.
    smuggled: String,
    /// The header lines of a valid request without its length.
    head: String,
}

type Case = (&'static str, String, &'static [&'static str]);

/// One answer; the rest of the connection is discarded.
const BAD: &[&str] = &["400"];
const TOO_LARGE_HEAD: &[&str] = &["431"];

pub(super) fn all(good: &str, smuggled_body: &str, key: &str, rng: &mut Rng) -> Vec<Framed> {
    let head = format!(
        "POST /api/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\n"
    );
    let smuggled = format!(
        "{head}connection: close\r\ncontent-length: {}\r\n\r\n{smuggled_body}",
        smuggled_body.len()
    );
    let parts = Parts {
        good,
        smuggled,
        head,
    };
    let mut all = Vec::new();
    for _ in 0..40 {
        let x: String = (0..rng.usize(1..20)).map(|_| rng.alphanumeric()).collect();
        let cases = lengths(&parts, &x).into_iter();
        let cases = cases.chain(chunks(&parts, &x)).chain(heads(&parts, &x));
        all.extend(cases.map(|(kind, text, statuses)| Framed {
            kind,
            bytes: text.into_bytes(),
            statuses,
            silence: (statuses == TOO_LARGE_HEAD).then_some(RESET_OVERTAKES),
        }));
    }
    // A client that is rejected while it sends a body gets a second to read the answer.
    for _ in 0..10 {
        all.extend(bodies(&parts).into_iter().map(|it| Framed {
            kind: it.0,
            bytes: it.1.into_bytes(),
            statuses: it.2,
            silence: None,
        }));
    }
    all
}

impl Parts<'_> {
    /// A valid request with these length headers, a body, and the smuggled request after it.
    fn post(&self, lines: &str, body: &str) -> String {
        format!("{}{lines}\r\n{body}{}", self.head, self.smuggled)
    }
}

/// The length of the body is given twice, or is invalid.
fn lengths(parts: &Parts<'_>, x: &str) -> Vec<Case> {
    let (good, length) = (parts.good, parts.good.len());
    let chunk = format!("{length:x}\r\n{good}\r\n0\r\n\r\n");
    let with_lines = |line: String| parts.post(&line, good);
    let cut = |line: &str| parts.post(line, &chunk);
    let both = format!("content-length: {length}\r\ntransfer-encoding: chunked\r\nx: {x}\r\n");
    let hidden = format!("x: {x}\ntransfer-encoding: chunked\r\ncontent-length: {length}\r\n");
    vec![
        ("te and cl", cut(&both), BAD),
        ("te and cl, one line ended by lf", cut(&hidden), BAD),
        (
            "two cl",
            with_lines(format!("content-length: {length}\r\ncontent-length: 0\r\n")),
            BAD,
        ),
        (
            "the same cl twice",
            with_lines(format!("content-length: {length}\r\n").repeat(2)),
            BAD,
        ),
        (
            "two cl in one",
            with_lines(format!("content-length: {length}, {length}\r\n")),
            BAD,
        ),
        (
            "signed cl",
            with_lines(format!("content-length: +{length}\r\n")),
            BAD,
        ),
        (
            "negative cl",
            with_lines("content-length: -1\r\n".to_owned()),
            BAD,
        ),
        (
            "hex cl",
            with_lines("content-length: 0x1\r\n".to_owned()),
            BAD,
        ),
        (
            "empty cl",
            with_lines("content-length: \r\n".to_owned()),
            BAD,
        ),
        (
            "overlong cl",
            with_lines("content-length: 99999999999999999999999\r\n".to_owned()),
            BAD,
        ),
        (
            "space before colon",
            with_lines(format!("content-length : {length}\r\n")),
            BAD,
        ),
        (
            "two te",
            cut(&"transfer-encoding: chunked\r\n".repeat(2)),
            BAD,
        ),
        (
            "other te",
            cut(&format!("transfer-encoding: {x}q\r\n")),
            BAD,
        ),
        (
            "te with a prefix",
            cut("transfer-encoding: xchunked\r\n"),
            BAD,
        ),
        ("te identity", cut("transfer-encoding: identity\r\n"), BAD),
        ("te list", cut("transfer-encoding: gzip, chunked\r\n"), BAD),
        (
            "te list behind",
            cut("transfer-encoding: chunked, gzip\r\n"),
            BAD,
        ),
        (
            "te with a space",
            cut("transfer-encoding : chunked\r\n"),
            BAD,
        ),
        (
            "te with a tab",
            cut("transfer-encoding: \u{b}chunked\r\n"),
            BAD,
        ),
        ("te folded", cut("transfer-encoding:\r\n chunked\r\n"), BAD),
        (
            "te in 1.0",
            cut("transfer-encoding: chunked\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1),
            BAD,
        ),
        // Without a length there is no body: the next bytes are the next request, and an invalid
        // one.
        ("no length", with_lines(String::new()), &["400", "400"]),
    ]
}

/// Invalid chunks.
fn chunks(parts: &Parts<'_>, x: &str) -> Vec<Case> {
    let (good, length) = (parts.good, parts.good.len());
    let cut = |body: String| parts.post("transfer-encoding: chunked\r\n", &body);
    let rest = format!("\r\n{good}\r\n0\r\n\r\n");
    vec![
        ("bad chunk", cut(format!("zz{x}\r\n")), BAD),
        ("empty chunk size", cut(rest.clone()), BAD),
        ("signed chunk", cut(format!("+{length:x}{rest}")), BAD),
        ("hex chunk", cut(format!("0x{length:x}{rest}")), BAD),
        ("vast chunk", cut("fffffffffffffffff\r\n".to_owned()), BAD),
        (
            "chunk without end",
            cut(format!("1\r\n{{{x}\r\n0\r\n\r\n")),
            BAD,
        ),
        (
            "chunk lines ended by lf",
            cut(format!("{length:x}{rest}").replace('\r', "")),
            BAD,
        ),
        (
            "lf in a chunk's extension",
            cut(format!("{length:x};{x}\n1{rest}")),
            BAD,
        ),
    ]
}

/// Invalid heads.
fn heads(parts: &Parts<'_>, x: &str) -> Vec<Case> {
    let smuggled = &parts.smuggled;
    let post = |lines: &str| parts.post(lines, "");
    let alone = |head: &str| format!("{head}\r\n\r\n{smuggled}");
    let many: String = (0..120).map(|it| format!("x-{it}: 1\r\n")).collect();
    let huge = "a".repeat(140_000);
    vec![
        (
            "fold",
            post(&format!("x: 1\r\n {x}\r\ncontent-length: 0\r\n")),
            BAD,
        ),
        ("nul", post(&format!("x: a\0{x}\r\n")), BAD),
        ("cr", post(&format!("x: a\r{x}\r\n")), BAD),
        ("two hosts", post("host: y\r\n"), BAD),
        ("no host", alone(&format!("GET /{x} HTTP/1.1")), BAD),
        ("no name", post(": x\r\n"), BAD),
        ("no colon", post(&format!("{x}\r\n")), BAD),
        ("http/0.9", alone(&format!("GET /{x}")), BAD),
        (
            "http/3",
            alone(&format!("GET /{x} HTTP/3.0\r\nhost: x")),
            BAD,
        ),
        ("no http", alone(&format!("\u{16}\u{3}\u{1}{x}")), BAD),
        ("http/2", alone("PRI * HTTP/2.0\r\n\r\nSM"), BAD),
        (
            "bad method",
            alone(&format!("G@{{T /{x} HTTP/1.1\r\nhost: x")),
            BAD,
        ),
        (
            "space in the path",
            alone(&format!("GET /{x} y HTTP/1.1\r\nhost: x")),
            BAD,
        ),
        ("many lines", post(&many), TOO_LARGE_HEAD),
        (
            "huge header",
            post(&format!("x: {huge}\r\n")),
            TOO_LARGE_HEAD,
        ),
        (
            "huge path",
            alone(&format!("GET /{huge} HTTP/1.1\r\nhost: x")),
            TOO_LARGE_HEAD,
        ),
    ]
}

/// Rejected by its head, with `connection: close` in the answer. Its body, itself a valid request, is
/// not parsed as a request, and what follows is not answered.
fn bodies(parts: &Parts<'_>) -> Vec<Case> {
    const LAST: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let Parts { smuggled, head, .. } = parts;
    let length = smuggled.len();
    let with = |head: String| format!("{head}content-length: {length}\r\n\r\n{smuggled}{LAST}");
    let other = |path: &str| head.replacen("/api/callback", path, 1);
    let large = "a".repeat(300_000);
    vec![
        (
            "another type's body",
            with(format!("{head}content-encoding: gzip\r\n")),
            &["415"],
        ),
        (
            "a stranger's body",
            with(head.replace("Bearer ", "Bearer x")),
            &["401"],
        ),
        ("nobody's body", with(other("/nothing")), &["404"]),
        (
            "another method's body",
            with(head.replacen("POST", "PUT", 1)),
            &["405"],
        ),
        // Lines that end in LF alone are valid (RFC 9112, 2.2), and so is their length.
        (
            "lines ended by lf",
            format!(
                "{}\n{smuggled}{LAST}",
                format!("{head}content-encoding: br\r\ncontent-length: {length}\r\n")
                    .replace('\r', "")
            ),
            &["415"],
        ),
        // The rest of the body is neither awaited nor parsed.
        (
            "too large",
            format!("{head}content-length: 300000\r\n\r\n{large}{smuggled}"),
            &["413"],
        ),
        (
            "too large in pieces",
            format!(
                "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}{smuggled}",
                2 * large.len()
            ),
            &["413"],
        ),
        // The chunked body never ends, and nobody reads it.
        (
            "another type's pieces",
            format!(
                "{head}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n{smuggled}"
            ),
            &["415"],
        ),
        (
            "pieces of a question",
            format!(
                "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n{smuggled}"
            ),
            &["200"],
        ),
        (
            "too large by its word alone",
            format!("{head}content-length: 9999999999999\r\n\r\n{smuggled}"),
            &["413"],
        ),
        // The rest of such a connection belongs to another protocol.
        (
            "upgrade",
            format!(
                "GET /x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n{smuggled}"
            ),
            &["404"],
        ),
        (
            "connect",
            format!("CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n{smuggled}"),
            &["404"],
        ),
    ]
}
