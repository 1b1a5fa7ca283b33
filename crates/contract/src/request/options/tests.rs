//! Every rule for `options`.

use bytes::Bytes;

use super::Options;
use crate::{Invalid, Language, Param, ParamError, Request, Rules};

fn parse(options: &str) -> Result<Options, Invalid> {
    let body = format!(
        r#"{{"callee_no":"EO001","app_id":"a","message_type":"t","request_message":{{}},"options":{options}}}"#
    );
    Request::parse(&Bytes::from(body), &Rules::default()).map(|request| request.options)
}

fn error_of(options: &str) -> (Param, ParamError) {
    match parse(options) {
        Err(Invalid::Malformed(param, error)) => (param, error),
        other => panic!("{options} gave {other:?}"),
    }
}

fn headers(headers: &str) -> Result<Vec<(String, String)>, ParamError> {
    match parse(&format!(r#"{{"headers":{headers}}}"#)) {
        Ok(options) => Ok(options.headers),
        Err(Invalid::Malformed(Param::Headers, error)) => Err(error),
        Err(other) => panic!("{headers} gave {other:?}"),
    }
}

#[test]
fn without_options_nothing_is_set() {
    let nothing = Options::default();
    for options in [
        "null",
        r#""""#,
        "{}",
        r#"{"delay_seconds":null,"headers":null,"x":1,"x":2}"#,
    ] {
        assert_eq!(parse(options), Ok(nothing.clone()), "{options}");
    }
    assert_eq!(parse(r#"{"max_attempts":" ","headers":{}}"#), Ok(nothing));
}

#[test]
fn every_option_is_parsed() {
    let options = parse(
        r#"{"delay\u005fseconds":0,"expire_seconds":604800,"max_attempts":20,"timeout_seconds":60,
            "headers":{"Authorization":"Bearer x","X-Trace":""}}"#,
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        options,
        Ok(Options {
            delay_seconds: Some(0),
            expire_seconds: Some(604_800),
            max_attempts: Some(20),
            timeout_seconds: Some(60),
            headers: vec![pair("Authorization", "Bearer x"), pair("X-Trace", "")],
            ..Options::default()
        })
    );
}

#[test]
fn numbers_have_their_range() {
    for (name, param, min, max) in [
        ("delay_seconds", Param::DelaySeconds, 0_u32, 604_800),
        ("expire_seconds", Param::ExpireSeconds, 1, 604_800),
        ("max_attempts", Param::MaxAttempts, 1, 20),
        ("timeout_seconds", Param::TimeoutSeconds, 1, 60),
    ] {
        let outside = ParamError::OutOfRange { min, max };
        for good in [min, max] {
            assert!(
                parse(&format!("{{\"{name}\":{good}}}")).is_ok(),
                "{name} {good}"
            );
        }
        let below = i64::from(min) - 1;
        let above = max + 1;
        for bad in [
            &below.to_string(),
            &above.to_string(),
            "4294967297",
            "99999999999999999999",
        ] {
            assert_eq!(
                error_of(&format!("{{\"{name}\":{bad}}}")),
                (param, outside.clone())
            );
        }
        for bad in ["1.0", "\"1\"", "1e1", "true", "[]", "{}"] {
            assert_eq!(
                error_of(&format!("{{\"{name}\":{bad}}}")),
                (param, ParamError::NotInteger),
                "{bad}"
            );
        }
        let twice = format!("{{\"{name}\":1,\"{name}\":1}}");
        assert_eq!(error_of(&twice), (param, ParamError::Duplicate));
    }
    let msg = parse(r#"{"max_attempts":0}"#)
        .unwrap_err()
        .msg(Language::Chinese);
    assert_eq!(msg, "参数options.max_attempts格式错误: 必须在1到20之间");
}

#[test]
fn an_expiry_that_comes_before_the_first_attempt_is_malformed() {
    assert!(parse(r#"{"delay_seconds":9,"expire_seconds":10}"#).is_ok());
    let too_soon = ParamError::OutOfRange {
        min: 11,
        max: 604_800,
    };
    for expire in [1, 9, 10] {
        let options = format!("{{\"delay_seconds\":10,\"expire_seconds\":{expire}}}");
        assert_eq!(error_of(&options), (Param::ExpireSeconds, too_soon.clone()));
    }
    assert_eq!(
        error_of(r#"{"delay_seconds":604800,"expire_seconds":604800}"#),
        (
            Param::DelaySeconds,
            ParamError::OutOfRange {
                min: 0,
                max: 604_799
            }
        )
    );
}

#[test]
fn headers_are_an_object_of_texts() {
    for wrong in ["[]", "7", r#""x""#] {
        assert_eq!(headers(wrong), Err(ParamError::NotObject), "{wrong}");
    }
    for wrong in [
        "7",
        "null",
        "[]",
        r#""a\u0000""#,
        r#""a\r\nb: c""#,
        r#""\u007f""#,
        r#""\ud800""#,
    ] {
        let error = ParamError::HeaderValue {
            name: "X-a".to_owned(),
        };
        assert_eq!(
            headers(&format!("{{\"X-a\":{wrong}}}")),
            Err(error),
            "{wrong}"
        );
    }
    for good in ["", " a b ", r"\t", "汉字", "\u{FF}"] {
        assert!(
            headers(&format!("{{\"X-a\":\"{good}\"}}")).is_ok(),
            "{good}"
        );
    }
    assert_eq!(
        error_of(r#"{"headers":{},"headers":{}}"#),
        (Param::Headers, ParamError::Duplicate)
    );
}

#[test]
fn a_header_name_is_a_token() {
    for wrong in ["", " ", "a b", "a:b", "汉", "a\u{7F}", "(a)", "a/b"] {
        let error = headers(&format!("{{\"{wrong}\":\"x\"}}"));
        assert!(
            matches!(error, Err(ParamError::HeaderName { .. })),
            "{wrong} gave {error:?}"
        );
    }
    assert!(headers(r#"{"aZ09!#$%&'*+-.^_`|~":"x"}"#).is_ok());
    let error = headers(&format!("{{\"\\n{}\":\"x\"}}", "y".repeat(3000)));
    let name = format!("\u{FFFD}{}", "y".repeat(63));
    assert_eq!(
        error,
        Err(ParamError::HeaderName { name }),
        "a name is shown short and printable"
    );
}

#[test]
fn headers_of_the_gateway_or_the_connection_are_refused() {
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "proxy-authorization",
        "proxy-connection",
        "TE",
        "trailer",
        "Transfer-Encoding",
        "upgrade",
        "HOST",
        "Expect",
        "Content-Type",
        "content-length",
        "content-",
        "webhook-id",
        "Webhook-Signature",
        "X-Callback-Attempt",
        "x-callback-anything",
        "X_Callback_App_Id",
        "x.callback_app-id",
        "Webhook_Signature",
        "webhook.id",
        "content_length",
        "Content.Type",
        "transfer_encoding",
        "keep_alive",
        "Proxy",
        "Proxy-Anything",
        "proxy_connection",
    ] {
        let error = ParamError::HeaderForbidden {
            name: name.to_owned(),
        };
        assert_eq!(headers(&format!("{{\"{name}\":\"x\"}}")), Err(error));
    }
    for name in [
        "Authorization",
        "Cookie",
        "User-Agent",
        "x-callback",
        "contents",
        "hosts",
        "accept",
    ] {
        assert!(headers(&format!("{{\"{name}\":\"x\"}}")).is_ok(), "{name}");
    }
}

#[test]
fn a_header_given_twice_is_malformed_whatever_its_spelling() {
    assert_eq!(
        headers(r#"{"X-A":"1","x-a":"1"}"#),
        Err(ParamError::Duplicate)
    );
    assert_eq!(
        headers(r#"{"x-a":"1","x-a":"1"}"#),
        Err(ParamError::Duplicate)
    );
    assert_eq!(
        headers(r#"{"X-A":"1","x_a":"1"}"#),
        Err(ParamError::Duplicate)
    );
}

#[test]
fn headers_are_limited_in_number_and_bytes() {
    let many = |count: usize| {
        let entries: Vec<String> = (0..count).map(|at| format!("\"x-{at}\":\"v\"")).collect();
        headers(&format!("{{{}}}", entries.join(",")))
    };
    assert_eq!(many(16).map(|headers| headers.len()), Ok(16));
    assert_eq!(many(17), Err(ParamError::TooMany { max: 16 }));

    let large = |bytes: usize| headers(&format!("{{\"x-a\":\"{}\"}}", "v".repeat(bytes - 3)));
    assert!(large(4096).is_ok());
    assert_eq!(large(4097), Err(ParamError::TooLarge { max: 4096 }));
}

#[test]
fn names_that_are_not_known_are_listed_or_refused() {
    let parse = |options: &str, strict_options| {
        let body = format!(
            r#"{{"callee_no":"EO001","app_id":"a","message_type":"m","request_message":{{}},"options":{options}}}"#
        );
        let rules = Rules {
            strict_options,
            ..Rules::default()
        };
        let parsed = Request::parse(&Bytes::from(body), &rules);
        parsed.map(|request| request.ignored_options)
    };
    let listed = |options: &str| parse(options, false).unwrap();
    assert_eq!(listed(r#"{"delay_seconds":1}"#), None);
    let two = r#"{"delay_second":1,"max_attempts":2,"超时\n":null}"#;
    let names = "delay_second, \\u{8d85}\\u{65f6}\\u{a}";
    assert_eq!(listed(two).unwrap(), names);
    let many: Vec<String> = (0..10)
        .map(|it| format!(r#""{}{it}":1"#, "k".repeat(99)))
        .collect();
    let many = listed(&format!("{{{}}}", many.join(","))).unwrap();
    assert!(many.len() < 600 && many.ends_with(" and 2 more"), "{many}");
    let refused = parse(two, true).unwrap_err().msg(Language::English);
    assert_eq!(
        refused,
        "parameter options is malformed: there is no option delay_second"
    );
    assert_eq!(parse(r#"{"delay_seconds":1}"#, true), Ok(None));
}
