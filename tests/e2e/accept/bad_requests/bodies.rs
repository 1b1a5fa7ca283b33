//! Bad bodies, fields, URLs, content types and credentials.

use std::net::SocketAddr;

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{Bad, KEY, OTHER_KEY};

const JSON: &str = "application/json";

fn bad(kind: &'static str, body: impl Into<Bytes>, status: u16) -> Bad {
    let headers = vec![
        ("content-type", JSON.to_owned()),
        ("authorization", format!("Bearer {KEY}")),
    ];
    Bad {
        kind,
        body: body.into(),
        headers,
        status,
    }
}

pub(super) fn all(good: &str, forbidden: SocketAddr, rng: &mut Rng) -> Vec<Bad> {
    let mut all = Vec::new();
    all.extend((0..3_600).map(|_| mutation(good, rng)));
    all.extend((0..2_500).map(|_| url(good, forbidden, rng)));
    all.extend((0..1_600).map(|_| field(good, rng)));
    all.extend((0..1_100).map(|_| credential(good, rng)));
    all.extend((0..600).map(|_| encoding(good, rng)));
    all.extend((0..120).map(|_| large(good, rng)));
    all
}

fn mutation(good: &str, rng: &mut Rng) -> Bad {
    let bytes = good.as_bytes();
    match rng.u8(0..6) {
        // No prefix of a JSON object is valid.
        0 => bad("cut", bytes[..rng.usize(..bytes.len())].to_vec(), 400),
        1 => {
            let junk = ["x", "{}", ",", "]", "\u{0}", "\u{feff}"];
            let junk = junk[rng.usize(..junk.len())];
            bad(
                "behind",
                format!("{good}{}{junk}", " ".repeat(rng.usize(..9))),
                400,
            )
        }
        2 => {
            let mut broken = bytes.to_vec();
            broken[rng.usize(..bytes.len())] = rng.u8(0x80..=0xFF);
            bad("utf-8", broken, 400)
        }
        3 => {
            let mut broken = bytes.to_vec();
            // JSON allows these bytes neither within nor between tokens.
            broken.insert(rng.usize(1..bytes.len()), rng.u8(1..8));
            bad("control", broken, 400)
        }
        4 => {
            let (open, close) = [("[", "]"), (r#"{"a":"#, "}")][rng.usize(..2)];
            let deep = rng.usize(70..5_000);
            let nested = format!("{}1{}", open.repeat(deep), close.repeat(deep));
            let body = format!(r#"{{"request_message":{{"a":{nested}}},{}"#, &good[1..]);
            bad("deep", body, 400)
        }
        _ => {
            let names = ["app_id", "callback_url", "message_type", "request_message"];
            let name = names[rng.usize(..names.len())];
            bad(
                "twice",
                format!(r#"{{"{name}":{},{}"#, rng.u32(..), &good[1..]),
                400,
            )
        }
    }
}

fn with(good: &str, field: &str, value: Value) -> String {
    let mut callback: Value = serde_json::from_str(good).unwrap();
    callback[field] = value;
    callback.to_string()
}

/// URLs that have to be refused.
fn url(good: &str, forbidden: SocketAddr, rng: &mut Rng) -> Bad {
    let mut octet = || rng.u8(..);
    let closed = [
        [10, octet(), octet(), octet()],
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [172, 16 + octet() % 16, octet(), octet()],
        [192, 168, octet(), octet()],
        [100, 64 + octet() % 64, octet(), octet()],
        [0, 0, 0, 0],
        [224 + octet() % 32, octet(), octet(), octet()],
    ];
    let [a, b, c, d] = closed[rng.usize(..closed.len())];
    let number = u32::from_be_bytes([a, b, c, d]);
    let host = match rng.u8(..9) {
        0 => format!("{a}.{b}.{c}.{d}"),
        1 => number.to_string(),
        2 => format!("0x{number:x}"),
        3 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        4 => format!("{a}.{}", number & 0xFF_FFFF),
        5 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
        6 => format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        7 => format!(
            "%{:02x}{}.{b}.{c}.{d}",
            a.to_string().as_bytes()[0],
            &a.to_string()[1..]
        ),
        _ => ["[::1]", "[fe80::1]", "[fd00:ec2::254]", "[fc00::1]", "[::]"][rng.usize(..5)]
            .to_owned(),
    };
    let url = match rng.u8(..12) {
        0 => format!("http://user@{host}/"),
        1 => format!("http://user:pass@{host}/"),
        2 => format!("ftp://{host}/"),
        3 => [
            "file:///etc/passwd",
            "gopher://x/",
            "javascript:alert(1)",
            "data:,x",
            "//x/",
            "x",
        ][rng.usize(..6)]
        .to_owned(),
        4 => format!("http://example.com:0/{host}"),
        5 => format!("http://example.com/\r\n{host}"),
        6 => format!("http://example.com/{}", "a".repeat(rng.usize(2_048..9_000))),
        7 => format!("http:\\\\{host}\\@example.com/"),
        8 => format!("http://{host}#@example.com/"),
        _ => format!("http://{host}:{}/", forbidden.port()),
    };
    bad("url", with(good, "callback_url", json!(url)), 400)
}

fn field(good: &str, rng: &mut Rng) -> Bad {
    let names = ["app_id", "message_type", "caller_no", "callee_no"];
    let name = names[rng.usize(..names.len())];
    let value = match rng.u8(..4) {
        0 => json!("a".repeat(rng.usize(129..2_000))),
        1 => json!(format!("a{}b", char::from(rng.u8(..32)))),
        2 => [json!(7), json!([]), json!({}), json!(true)][rng.usize(..4)].clone(),
        _ => {
            let options = [
                json!([]),
                json!({"delay_seconds": -1}),
                json!({"max_attempts": rng.u32(21..)}),
                json!({"timeout_seconds": rng.u32(61..)}),
                json!({"headers": {"x\r\ny": "z"}}),
                json!({"headers": {"host": "z"}}),
                json!({"headers": {"x": "a\u{0}"}}),
            ];
            let options = options[rng.usize(..options.len())].clone();
            return bad("options", with(good, "options", options), 400);
        }
    };
    bad("field", with(good, name, value), 400)
}

fn credential(good: &str, rng: &mut Rng) -> Bad {
    let random: String = (0..rng.usize(..80)).map(|_| rng.alphanumeric()).collect();
    let (shown, status) = match rng.u8(..6) {
        0 => (None, 401),
        1 => (Some(format!("Bearer {random}")), 401),
        2 => (Some(format!("Basic {random}")), 401),
        3 => (Some(format!("Bearer {KEY}{}", rng.alphanumeric())), 401),
        4 => (Some(KEY.to_owned()), 401),
        _ => (Some(format!("Bearer {OTHER_KEY}")), 403),
    };
    let mut bad = bad("credential", good.to_owned(), status);
    bad.headers.truncate(1);
    bad.headers.extend(shown.map(|it| ("authorization", it)));
    bad
}

fn encoding(good: &str, rng: &mut Rng) -> Bad {
    let encodings = [
        "gzip",
        "br",
        "deflate",
        "zstd",
        "x",
        "gzip, identity",
        "GZIP",
    ];
    let types = [
        "text/plain",
        "application/xml",
        "application/json; charset=gbk",
        "json",
        "multipart/form-data",
    ];
    let mut bad = bad("encoding", good.to_owned(), 415);
    match rng.bool() {
        true => bad.headers.push((
            "content-encoding",
            encodings[rng.usize(..encodings.len())].to_owned(),
        )),
        false => bad.headers[0].1 = types[rng.usize(..types.len())].to_owned(),
    }
    bad
}

fn large(good: &str, rng: &mut Rng) -> Bad {
    let filler = "a".repeat(rng.usize(262_145..300_000));
    bad("large", with(good, "filler", json!(filler)), 413)
}
