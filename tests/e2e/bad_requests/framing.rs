//! Which bytes on the wire are no request, or look like two?
//!
//! Behind each stands a good request with a good key. Were it ever taken for one, its callback
//! would be accepted, and its answer would be one too many.

use fastrand::Rng;

/// Bytes whose answers are known, to the number; then comes the end of the connection.
pub(super) struct Framed {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) statuses: &'static [&'static str],
    /// Why no answer at all is right as well, where it is.
    pub(super) silence: Option<&'static str>,
}

/// Its sender is still writing when it is turned away.
const RESET_OVERTAKES: &str = "what is closed with bytes unread is reset, and a reset may overtake the answer (RFC 9112, 9.6)";

/// What the bytes are made of.
struct Parts<'a> {
    /// A good callback, and its length.
    good: &'a str,
    /// A whole request that would be accepted, and end the connection.
    poison: String,
    /// The lines of a good request, but for its length.
    head: String,
}

type Case = (&'static str, String, &'static [&'static str]);

/// A bare answer, and nothing behind it is looked at.
const BAD: &[&str] = &["400"];
const TOO_LARGE_HEAD: &[&str] = &["431"];

pub(super) fn all(good: &str, poisoned: &str, key: &str, rng: &mut Rng) -> Vec<Framed> {
    let head = format!(
        "POST /api/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\n"
    );
    let poison = format!(
        "{head}connection: close\r\ncontent-length: {}\r\n\r\n{poisoned}",
        poisoned.len()
    );
    let parts = Parts { good, poison, head };
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
    // Whoever is turned away with a body on its way is given a second to take the answer.
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
    /// A good request with these lines of length, a body, and the poison.
    fn post(&self, lines: &str, body: &str) -> String {
        format!("{}{lines}\r\n{body}{}", self.head, self.poison)
    }
}

/// The body's length is told twice, or not as a length.
fn lengths(parts: &Parts<'_>, x: &str) -> Vec<Case> {
    let (good, length) = (parts.good, parts.good.len());
    let chunk = format!("{length:x}\r\n{good}\r\n0\r\n\r\n");
    let told = |line: String| parts.post(&line, good);
    let cut = |line: &str| parts.post(line, &chunk);
    let both = format!("content-length: {length}\r\ntransfer-encoding: chunked\r\nx: {x}\r\n");
    let hidden = format!("x: {x}\ntransfer-encoding: chunked\r\ncontent-length: {length}\r\n");
    vec![
        ("te and cl", cut(&both), BAD),
        ("te and cl, one line ended by lf", cut(&hidden), BAD),
        (
            "two cl",
            told(format!("content-length: {length}\r\ncontent-length: 0\r\n")),
            BAD,
        ),
        (
            "the same cl twice",
            told(format!("content-length: {length}\r\n").repeat(2)),
            BAD,
        ),
        (
            "two cl in one",
            told(format!("content-length: {length}, {length}\r\n")),
            BAD,
        ),
        (
            "signed cl",
            told(format!("content-length: +{length}\r\n")),
            BAD,
        ),
        (
            "negative cl",
            told("content-length: -1\r\n".to_owned()),
            BAD,
        ),
        ("hex cl", told("content-length: 0x1\r\n".to_owned()), BAD),
        ("empty cl", told("content-length: \r\n".to_owned()), BAD),
        (
            "overlong cl",
            told("content-length: 99999999999999999999999\r\n".to_owned()),
            BAD,
        ),
        (
            "space before colon",
            told(format!("content-length : {length}\r\n")),
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
        // A body without a length is no body: what stands there is the next request, and none.
        ("no length", told(String::new()), &["400", "400"]),
    ]
}

/// Pieces that are not what they say.
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

/// Heads that are none.
fn heads(parts: &Parts<'_>, x: &str) -> Vec<Case> {
    let poison = &parts.poison;
    let post = |lines: &str| parts.post(lines, "");
    let alone = |head: &str| format!("{head}\r\n\r\n{poison}");
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

/// Whoever is turned away by its head: its body, itself a good request, is no request, and what
/// comes behind it is the next one.
fn bodies(parts: &Parts<'_>) -> Vec<Case> {
    const LAST: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let Parts { poison, head, .. } = parts;
    let length = poison.len();
    let with = |head: String| format!("{head}content-length: {length}\r\n\r\n{poison}{LAST}");
    let other = |path: &str| head.replacen("/api/callback", path, 1);
    let large = "a".repeat(300_000);
    vec![
        (
            "another type's body",
            with(format!("{head}content-encoding: gzip\r\n")),
            &["415", "200"],
        ),
        (
            "a stranger's body",
            with(head.replace("Bearer ", "Bearer x")),
            &["401", "200"],
        ),
        ("nobody's body", with(other("/nothing")), &["404", "200"]),
        (
            "another method's body",
            with(head.replacen("POST", "PUT", 1)),
            &["405", "200"],
        ),
        // Lines that end in LF alone are lines (RFC 9112, 2.2), their length a length.
        (
            "lines ended by lf",
            format!(
                "{}\n{poison}{LAST}",
                format!("{head}content-encoding: br\r\ncontent-length: {length}\r\n")
                    .replace('\r', "")
            ),
            &["415", "200"],
        ),
        // The end is not waited for, nor what stands there looked at.
        (
            "too large",
            format!("{head}content-length: 300000\r\n\r\n{large}{poison}"),
            &["413"],
        ),
        (
            "too large in pieces",
            format!(
                "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}{poison}",
                2 * large.len()
            ),
            &["413"],
        ),
        // Its pieces never end, and nobody reads them.
        (
            "another type's pieces",
            format!(
                "{head}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n{poison}"
            ),
            &["415"],
        ),
        (
            "pieces of a question",
            format!(
                "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n{poison}"
            ),
            &["200"],
        ),
        (
            "too large by its word alone",
            format!("{head}content-length: 9999999999999\r\n\r\n{poison}"),
            &["413"],
        ),
        // To these the rest of the connection belongs.
        (
            "upgrade",
            format!(
                "GET /x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n{poison}"
            ),
            &["404"],
        ),
        (
            "connect",
            format!("CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n{poison}"),
            &["404"],
        ),
    ]
}
