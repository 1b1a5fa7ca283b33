//! The scanner agrees with `serde_json` where the text is JSON, and finds the value where it is not.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn find(pointer: &str, text: &str) -> Result<Found, Missing> {
    Pointer::new(pointer).find(text)
}

fn scalar(text: &str) -> Result<Found, Missing> {
    Ok(Found::Scalar(text.to_owned()))
}

/// What `serde_json` finds.
fn oracle(pointer: &str, document: &Value) -> Result<Found, Missing> {
    match document.pointer(pointer) {
        None => Err(Missing::NoValue),
        Some(Value::String(text)) => Ok(Found::Scalar(text.clone())),
        Some(Value::Array(_) | Value::Object(_)) => Ok(Found::Container),
        Some(other) => Ok(Found::Scalar(other.to_string())),
    }
}

#[test]
fn a_value_is_found_in_what_targets_send() {
    let long = format!(r#"{{"code":"000"}}{}"#, " x".repeat(10_000));
    let cut = format!(r#"{{"code":"000","data":"{}"#, "d".repeat(20_000));
    for text in [
        r#"{"code":"000"}"#,
        " \t\r\n{ \"code\" : \"000\" } ",
        &long,
        &cut,
        r#"{"code":"000","data":{"#,
        r#"{"code":"000","data":"\ud800"}"#,
        r#"{"data":"\ud800 \udc00\ud800","code":"000"}"#,
        "{\"msg\":\"a\tb\nc\u{0}\",\"code\":\"000\"}",
        r#"{"amount":1e999,"code":"000"}"#,
        r#"{"amount":-1E+400,"code":"000"}"#,
        r#"{"amount":NaN,"code":"000"}"#,
        r#"{"amount":007,"code":"000"}"#,
        r#"{"code":000}"#,
        r#"{"code":"000"}{"code":"1"}"#,
        r#"{"code":"000"} <!-- 3 ms -->"#,
        r#"{"msg":"\x","code":"000"}"#,
        r#"{"\u0063ode":"\u0030\u00300"}"#,
        r#"{"msg":"�锟斤拷","code":"000"}"#,
        r#"{"msg":"a\\","code":"000"}"#,
        r#"{"msg":"\"code\":\"1\"","code":"000"}"#,
    ] {
        assert_eq!(find("/code", text), scalar("000"), "{text:.200}");
    }
}

#[test]
fn a_missing_value_has_its_reason() {
    for (text, missing) in [
        ("", Missing::Empty),
        (" \r\n\t", Missing::Empty),
        ("<html>busy</html>", Missing::NotJson),
        ("OK", Missing::NotJson),
        ("\u{1f}\u{fffd}", Missing::NotJson),
        (r#"{"msg":"ok"}"#, Missing::NoValue),
        ("{}", Missing::NoValue),
        ("[]", Missing::NoValue),
        ("true ", Missing::NoValue),
        (r#"{"Code":"000"}"#, Missing::NoValue),
        ("{", Missing::Broken),
        (r#"{"msg":"ok""#, Missing::Broken),
        (r#"{"code""#, Missing::Broken),
        (r#"{"code":"#, Missing::Broken),
        (r#"{"code":"00"#, Missing::Broken),
        // It might have been `0000`.
        (r#"{"code":000"#, Missing::Broken),
        (r#"{"code":}"#, Missing::Broken),
        (r#"{code:"000"}"#, Missing::Broken),
        (r#"{"code" "000"}"#, Missing::Broken),
    ] {
        assert_eq!(find("/code", text), Err(missing), "{text}");
    }
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    for (text, expected) in [
        (r#"{"code":"1","code":"000"}"#, scalar("000")),
        (r#"{"code":"000","code":"1"}"#, scalar("1")),
        (r#"{"code":"000","code":{}}"#, Ok(Found::Container)),
        // The second one is not known: neither is it the first.
        (r#"{"code":"000","code":"1"#, Err(Missing::Broken)),
    ] {
        assert_eq!(find("/code", text), expected, "{text}");
    }
    let replaced = r#"{"a":{"code":"000"},"a":{}}"#;
    assert_eq!(find("/a/code", replaced), Err(Missing::NoValue));
}

#[test]
fn depth_costs_no_stack_and_length_no_time() {
    let deep = format!("{{\"a\":{},\"code\":\"000\"}}", "[".repeat(1_000_000));
    assert_eq!(find("/code", &deep), Err(Missing::Broken));
    let closed = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let deep = format!("{{\"a\":{closed},\"code\":\"000\"}}");
    assert_eq!(find("/code", &deep), scalar("000"));
    let escapes = format!("{{\"{}\":1,\"code\":\"000\"}}", "\\u0061".repeat(1_000_000));
    assert_eq!(find("/code", &escapes), scalar("000"));
}

fn document() -> impl Strategy<Value = Value> {
    let text = "[a-c/~\"\\\\\u{0}-\u{1f}é中\u{1f600}0-2]{0,4}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every pointer into a document.
fn pointers(document: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match document {
        Value::Object(members) => {
            for (key, value) in members {
                let step = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{step}"), all);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn on_valid_json_it_agrees_with_serde_json(document in document(), pretty in any::<bool>()) {
        let written = match pretty {
            true => serde_json::to_string_pretty(&document).unwrap(),
            false => document.to_string(),
        };
        // A scalar alone may have lost its end.
        let written = format!("{written}\n");
        let read: Value = serde_json::from_str(&written).unwrap();
        let mut all = Vec::new();
        pointers(&read, "", &mut all);
        all.extend(["/00", "/-1", "/+1", "/9", "/a/b", "/a~1", "/~0"].map(str::to_owned));
        for pointer in all {
            prop_assert_eq!(find(&pointer, &written), oracle(&pointer, &read), "{} {}", pointer, &written);
        }
    }

    #[test]
    fn whatever_follows_the_document_changes_nothing(document in document(), tail in any::<String>()) {
        let written = json!({"a": document, "code": "000"}).to_string();
        prop_assert_eq!(find("/code", &format!("{written}{tail}")), scalar("000"));
    }

    #[test]
    fn a_cut_finds_the_value_or_nothing(document in document(), cut in 0_usize..400) {
        let mut written = json!({"code": "000", "x": document}).to_string();
        let value_ends = r#"{"code":"000""#.len();
        let mut cut = cut.min(written.len());
        while !written.is_char_boundary(cut) {
            cut -= 1;
        }
        written.truncate(cut);
        match find("/code", &written) {
            Ok(found) => prop_assert_eq!(Ok(found), scalar("000")),
            Err(_) => prop_assert!(cut < value_ends),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), json_like in "[{}\\[\\]:,\"\\\\ua0-9de\t ]{0,60}") {
        for pointer in ["", "/a", "/0", "/a/0/b"] {
            let _ = find(pointer, &text);
            let _ = find(pointer, &json_like);
        }
    }
}
