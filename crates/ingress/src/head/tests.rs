//! Does a connection know when it is in a further head?

use super::*;

/// What a connection is told.
enum Told {
    Read(&'static str),
    Taken,
    Whole(&'static str),
    Answered,
}
use Told::{Answered, Read, Taken, Whole};

const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n\r\n";
const BODY: &str = r#"{ "a": "12345"}"#;

fn is_in_head(told: &[Told]) -> bool {
    let progress = Progress::start();
    let mut answering = None;
    for it in told {
        match it {
            Read(bytes) => progress.read(bytes.as_bytes()),
            Taken => answering = Some(progress.taken()),
            Whole(body) => progress.whole(body.as_bytes()),
            Answered => drop(answering.take()),
        }
    }
    progress.is_in_head()
}

#[test]
fn a_further_head_begins_behind_an_answered_request() {
    let cases: &[(&str, &[Told])] = &[
        (
            "with a byte",
            &[Read("GET\r\n\r\n"), Taken, Whole(""), Answered, Read("G")],
        ),
        (
            "with an empty line",
            &[Read(POST), Read(BODY), Taken, Answered, Read("\r\n")],
        ),
        (
            "in the same read",
            &[Read("GET\r\n\r\nG"), Taken, Whole(""), Answered],
        ),
        (
            "in the same read as a body",
            &[
                Read(POST),
                Taken,
                Read(r#"{ "a": "12345"}G"#),
                Whole(BODY),
                Answered,
            ],
        ),
        (
            "behind a body and an empty line",
            &[
                Read(POST),
                Taken,
                Read("{ \"a\": \"12345\"}\r\nG"),
                Whole(BODY),
                Answered,
            ],
        ),
        (
            "behind the last chunk",
            &[
                Read("POST\r\n\r\n1\r\n0\r\n0\r\n\r\nG"),
                Taken,
                Whole("0"),
                Answered,
            ],
        ),
        (
            "before the answer",
            &[Read("GET\r\n\r\n"), Taken, Whole(""), Read("G"), Answered],
        ),
        (
            "behind two requests",
            &[
                Read("GET\r\n\r\nGET\r\n\r\nG"),
                Taken,
                Whole(""),
                Answered,
                Taken,
                Whole(""),
                Answered,
            ],
        ),
    ];
    for (what, told) in cases {
        assert!(is_in_head(told), "{what}");
    }
}

#[test]
fn neither_a_body_nor_idleness_nor_the_first_head_is_a_further_head() {
    let cases: &[(&str, &[Told])] = &[
        ("the first head", &[Read("GET\r\n"), Read("h")]),
        (
            "idleness",
            &[Read("GET\r\n\r\n"), Taken, Whole(""), Answered],
        ),
        (
            "idleness behind a blank body",
            &[Read("POST\r\n\r\n   "), Taken, Whole("   "), Answered],
        ),
        (
            "idleness, lines ended by lf",
            &[Read("GET\n\n"), Taken, Whole(""), Answered],
        ),
        (
            "the end of the connection",
            &[Read("GET\r\n\r\n"), Taken, Whole(""), Answered, Read("")],
        ),
        (
            "a further request that is under way",
            &[
                Read("GET\r\n\r\nG"),
                Taken,
                Whole(""),
                Answered,
                Read("ET\r\n\r\n"),
                Taken,
            ],
        ),
        (
            "what waits for an answer",
            &[Read("GET\r\n\r\nG"), Taken, Whole("")],
        ),
        (
            "requests in one read",
            &[
                Read("GET\r\n\r\nPOST\r\n\r\n{ \"a\": \"12345\"}"),
                Taken,
                Whole(""),
                Answered,
                Taken,
                Whole(BODY),
                Answered,
            ],
        ),
        (
            "a body in pieces",
            &[
                Read(POST),
                Taken,
                Read(r#"{ "a": "1234"#),
                Read(r#"5"}"#),
                Whole(BODY),
                Answered,
            ],
        ),
        (
            "a short body",
            &[Read(POST), Read("{}"), Taken, Whole("{}"), Answered],
        ),
        (
            "a body that nobody read",
            &[Read(POST), Read(BODY), Taken, Answered],
        ),
        (
            "the last chunk",
            &[
                Read("POST\r\n\r\n1\r\n0\r\n0\r\n\r\n"),
                Taken,
                Whole("0"),
                Answered,
            ],
        ),
        (
            "an empty line behind a body",
            &[Read(POST), Read("{}\r\n"), Taken, Whole("{}"), Answered],
        ),
        (
            "an empty line before the answer",
            &[
                Read(POST),
                Read("{}"),
                Taken,
                Whole("{}"),
                Read("\r\n"),
                Answered,
            ],
        ),
    ];
    for (what, told) in cases {
        assert!(!is_in_head(told), "{what}");
    }
}
