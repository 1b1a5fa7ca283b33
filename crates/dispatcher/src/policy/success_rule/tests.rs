//! What answers mean under a rule, in the charsets and states in which targets send them.

use super::*;
use encoding_rs::{BIG5, EUC_KR, GB18030, GBK, ISO_2022_JP, SHIFT_JIS, WINDOWS_1252};
use proptest::prelude::*;

fn rule(pointer: &str, values: &[&str]) -> SuccessRule {
    SuccessRule::new(
        pointer,
        values.iter().map(|&value| value.to_owned()).collect(),
    )
}

fn body<'a>(bytes: &'a [u8], content_type: Option<&'a str>) -> AnswerBody<'a> {
    AnswerBody {
        bytes,
        content_type,
        is_compressed: false,
        is_too_long: false,
    }
}

fn judge(pointer: &str, text: &str) -> Judgement {
    rule(pointer, &["0", "ok", "true", "1.5", "null"]).judge(&body(text.as_bytes(), None))
}

/// A text as UTF-16, most or least significant byte first.
fn utf_16(text: &str, in_order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(in_order).collect()
}

#[test]
fn a_scalar_at_the_pointer_is_compared_as_text() {
    use Judgement::{Failure, Success, Unreadable};
    for (pointer, text, expected) in [
        ("/code", r#"{"code": 0}"#, Success),
        ("/code", r#"{"code": "0"}"#, Success),
        ("/code", r#"{"code": "00"}"#, Failure),
        ("/code", r#"{"code": true}"#, Success),
        ("/code", r#"{"code": 1.5}"#, Success),
        ("/code", r#"{"code": 1.50}"#, Success),
        ("/code", r#"{"code": null}"#, Success),
        ("/code", r#"{"code": 1e999}"#, Failure),
        ("/code", r#"{"code": 0}, more"#, Success),
        ("/a~1b/1", r#"{"a/b": [7, "ok"]}"#, Success),
        (
            "/code",
            r#"{"code": [0]}"#,
            Unreadable(UnreadableAnswer::NotScalar),
        ),
        (
            "/code",
            r#"{"Code": 0}"#,
            Unreadable(UnreadableAnswer::NoValue),
        ),
        ("/code", "", Unreadable(UnreadableAnswer::Empty)),
        ("/code", "no JSON", Unreadable(UnreadableAnswer::NotJson)),
        (
            "/code",
            r#"{"code": "#,
            Unreadable(UnreadableAnswer::Broken),
        ),
    ] {
        assert_eq!(judge(pointer, text), expected, "{pointer} {text}");
    }
}

#[test]
fn a_value_is_found_in_every_charset() {
    let by_code = rule("/code", &["000"]);
    let by_text = rule("/msg", &["成功"]);
    // 誠 and 乗 end with a backslash in GBK, and others in Big5 and Shift JIS: read as ASCII they would
    // hide a quote.
    let text = r#"{"msg":"成功","note":"繁许功乗誠","code":"000"}"#;
    let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
    let gbk = GBK.encode(text).0.into_owned();
    let gb18030 = GB18030.encode(text).0.into_owned();
    let cases = [
        ("UTF-8", text.as_bytes().to_vec(), None),
        (
            "UTF-8 with a mark",
            marked(b"\xef\xbb\xbf", text.into()),
            None,
        ),
        (
            "UTF-8 with a mark and another charset",
            marked(b"\xef\xbb\xbf", text.into()),
            Some("application/json; charset=gbk"),
        ),
        (
            "UTF-16 LE with a mark",
            marked(b"\xff\xfe", utf_16(text, u16::to_le_bytes)),
            None,
        ),
        (
            "UTF-16 BE with a mark",
            marked(b"\xfe\xff", utf_16(text, u16::to_be_bytes)),
            None,
        ),
        ("UTF-16 LE", utf_16(text, u16::to_le_bytes), None),
        ("UTF-16 BE", utf_16(text, u16::to_be_bytes), None),
        (
            "UTF-16 that is the other one",
            utf_16(text, u16::to_be_bytes),
            Some("application/json; charset=utf-16"),
        ),
        ("GBK", gbk.clone(), Some("application/json;charset=\"GBK\"")),
        ("GBK, undeclared", gbk.clone(), None),
        (
            "GBK that says UTF-8",
            gbk.clone(),
            Some("application/json; charset=utf-8"),
        ),
        (
            "GBK in an unknown charset",
            gbk,
            Some("text/html; boundary=x; Charset = ibm-5488"),
        ),
        (
            "GB18030",
            gb18030,
            Some("application/json; charset=gb18030"),
        ),
        (
            "UTF-8 that says GBK",
            text.into(),
            Some("application/json; charset=gbk"),
        ),
    ];
    for (what, bytes, content_type) in cases {
        let answer = body(&bytes, content_type);
        assert_eq!(by_code.judge(&answer), Judgement::Success, "{what}");
        assert_eq!(by_text.judge(&answer), Judgement::Success, "{what}");
    }
    for (charset, text) in [
        (BIG5, r#"{"msg":"許功蓋","code":"000"}"#),
        (SHIFT_JIS, r#"{"msg":"表示ソ","code":"000"}"#),
        (EUC_KR, r#"{"msg":"성공","code":"000"}"#),
        (ISO_2022_JP, r#"{"msg":"成功","code":"000"}"#),
        (WINDOWS_1252, r#"{"msg":"réussi","code":"000"}"#),
    ] {
        let bytes = charset.encode(text).0;
        let content_type = format!("application/json; charset={}", charset.name());
        let answer = body(&bytes, Some(&content_type));
        assert_eq!(by_code.judge(&answer), Judgement::Success, "{text}");
    }
}

#[test]
fn foreign_bytes_beside_the_value_are_tolerated() {
    let by_code = rule("/code", &["000"]);
    for bytes in [
        &b"{\"msg\":\"r\xe9ussi \xff\xfe\x80\",\"code\":\"000\"}"[..],
        b"{\"code\":\"000\",\"msg\":\"\xc3",
        b"{\"msg\":\"\0\",\"code\":\"000\"}",
    ] {
        assert_eq!(by_code.judge(&body(bytes, None)), Judgement::Success);
    }
    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let judged = by_code.judge(&body(&binary, None));
    assert!(matches!(judged, Judgement::Unreadable(_)), "{judged:?}");
}

#[test]
fn a_value_that_is_found_and_wrong_is_a_failure_in_every_charset() {
    let by_code = rule("/code", &["000"]);
    let text = r#"{"msg":"失败","code":"500"}"#;
    for bytes in [text.as_bytes(), &GBK.encode(text).0] {
        for content_type in [None, Some("application/json; charset=gbk")] {
            let answer = body(bytes, content_type);
            assert_eq!(by_code.judge(&answer), Judgement::Failure);
        }
    }
}

#[test]
fn a_compressed_or_cut_body_is_told_as_such() {
    let by_code = rule("/code", &["000"]);
    let reason = |bytes: &[u8], is_compressed, is_too_long| {
        by_code.judge(&AnswerBody {
            is_compressed,
            is_too_long,
            ..body(bytes, None)
        })
    };
    assert_eq!(
        reason(b"\x1f\x8b\x08\0\0", true, false),
        Judgement::Unreadable(UnreadableAnswer::Compressed)
    );
    assert_eq!(
        reason(b"{\"data\":\"", false, true),
        Judgement::Unreadable(UnreadableAnswer::TooLong)
    );
    // A header that lies, and a cut behind the value.
    for bytes in [&b"{\"code\":\"000\"}"[..], b"{\"code\":\"000\",\"x\":"] {
        assert_eq!(reason(bytes, true, true), Judgement::Success);
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        label in prop::sample::select(vec!["utf-16", "gbk", "iso-2022-jp", "big5", "x-user-defined", "?"]),
    ) {
        let content_type = format!("application/json; charset={label}");
        for content_type in [None, Some(&*content_type)] {
            let judged = rule("/code", &["000"]).judge(&body(&bytes, content_type));
            prop_assert!(judged != Judgement::Success);
        }
    }
}
