//! Every rule of the contract's field table, with the exact sentences.

use bytes::Bytes;

use super::{Request, Rules};
use crate::Invalid::{Malformed, Missing};
use crate::{Invalid, Language, Param, ParamError};

/// The original contract's sample, its "..." filled in.
const SAMPLE: &str = r#"{
    "callback_url":"https://xxx.com/api/doc",
    "callee_no":"b42652fe",
    "caller_no":"b372be686fa6",
    "app_id":"5SV4BVSY0OXQ3ZSA",
    "message_type":"",
    "request_message":{
        "field1":"任意字段",
        "field2":"任意字段",
        "field3":"任意字段"
    }
}"#;

const BLANK_TYPE: Rules = Rules {
    accept_blank_message_type: true,
    strict_options: false,
};

fn parse(json: impl Into<Bytes>) -> Result<Request, Invalid> {
    Request::parse(&json.into(), &Rules::default())
}

/// A valid body with one field taken out and `field` put in.
fn with(name: &str, field: &str) -> String {
    let fields = [
        ("callback_url", r#""http://a.example/""#),
        ("callee_no", r#""EO001""#),
        ("app_id", r#""app""#),
        ("caller_no", r#""EO002""#),
        ("message_type", r#""order""#),
        ("request_message", r#"{"a":1}"#),
    ];
    let mut fields: Vec<String> = fields
        .iter()
        .filter(|(known, _)| *known != name)
        .map(|(known, value)| format!(r#""{known}":{value}"#))
        .collect();
    if !field.is_empty() {
        fields.push(format!(r#""{name}":{field}"#));
    }
    format!("{{{}}}", fields.join(","))
}

fn chinese(body: &str) -> String {
    match parse(body.to_owned()) {
        Ok(request) => panic!("accepted: {request:?}"),
        Err(invalid) => invalid.msg(Language::Chinese),
    }
}

#[test]
fn a_whole_request_is_parsed_as_written() {
    let body = Bytes::from_static(
        br#" {"options":{"max_attempts":3},"request_message": { "b" : 1e400,"a":"\ud800"} ,
        "callback_url":"http://a.example/?q=1","callee_no":" EO001 ","app\u005fid":"\u5e94\u7528",
        "caller_no":"EO002","message_type":"order","more":[],"more":{"callback_url":7}} "#,
    );
    let request = Request::parse(&body, &Rules::default()).unwrap();
    assert_eq!(
        request.callback_url.as_deref(),
        Some("http://a.example/?q=1")
    );
    assert_eq!(request.callee_no.as_deref(), Some(" EO001 "));
    assert_eq!(request.app_id, "应用");
    assert_eq!(request.caller_no.as_deref(), Some("EO002"));
    assert_eq!(request.message_type, "order");
    assert_eq!(
        request.request_message,
        &br#"{ "b" : 1e400,"a":"\ud800"}"#[..]
    );
    assert_eq!(request.options.max_attempts, Some(3));
    let offset = request.request_message.as_ptr() as usize - body.as_ptr() as usize;
    assert!(
        offset < body.len(),
        "request_message is a slice of the body, not a copy"
    );
}

#[test]
fn the_content_of_request_message_is_not_checked() {
    for message in [
        "{}",
        r#"{"a":1,"a":2}"#,
        r#"{ "z":1 , "a":1.0E+400, "n":-0, "\ud800":"\udc00\u0000" }"#,
        "{\n\t\"app_id\":null,\r\n\"options\":[]}",
        "{\"汉字\":\"\u{10FFFF}\u{7F}\"}",
    ] {
        let request = parse(with("request_message", message)).unwrap();
        assert_eq!(request.request_message, message.as_bytes());
    }
}

#[test]
fn the_originals_sample_lacks_a_message_type_unless_the_operator_accepts_it() {
    assert_eq!(chinese(SAMPLE), "参数message_type不能为空");

    let body = Bytes::from_static(SAMPLE.as_bytes());
    let request = Request::parse(&body, &BLANK_TYPE).unwrap();
    assert_eq!(request.message_type, "");
    assert_eq!(request.app_id, "5SV4BVSY0OXQ3ZSA");
    assert_eq!(request.callee_no.as_deref(), Some("b42652fe"));
    assert!(
        request
            .request_message
            .starts_with("{\n        \"field1\":\"任意".as_bytes())
    );

    for absent in ["", "null"] {
        let body = Bytes::from(with("message_type", absent));
        assert_eq!(
            Request::parse(&body, &BLANK_TYPE),
            Err(Missing(Param::MessageType))
        );
    }
    let body = Bytes::from(with("message_type", r#""\n""#));
    let error = Malformed(Param::MessageType, ParamError::ControlCharacter);
    assert_eq!(Request::parse(&body, &BLANK_TYPE), Err(error));
}

#[test]
fn an_absent_null_or_blank_parameter_is_named() {
    for name in ["app_id", "message_type", "request_message"] {
        for missing in ["", "null", r#""""#, r#""  ""#, r#""\u0020\t\n\u3000""#] {
            assert_eq!(
                chinese(&with(name, missing)),
                format!("参数{name}不能为空"),
                "{missing}"
            );
        }
    }
}

#[test]
fn one_of_callback_url_and_callee_no_is_needed() {
    for missing in ["", "null", r#""""#, r#"" ""#] {
        for name in ["callback_url", "callee_no", "caller_no"] {
            assert!(parse(with(name, missing)).is_ok(), "{name} {missing}");
        }
        let body = with("callee_no", missing).replace(r#""http://a.example/""#, "null");
        assert_eq!(chinese(&body), "参数callback_url或callee_no不能为空");
        let invalid = parse(body).unwrap_err();
        let english = "parameter callback_url or callee_no must not be empty";
        assert_eq!(invalid.msg(Language::English), english);
        assert_eq!(invalid.param(), Param::CallbackUrlOrCalleeNo);
    }
    let request = parse(with("callee_no", r#"" ""#)).unwrap();
    assert_eq!(request.callee_no, None, "a blank label counts as absent");
}

#[test]
fn a_parameter_of_the_wrong_type_is_malformed() {
    for name in [
        "callback_url",
        "callee_no",
        "app_id",
        "caller_no",
        "message_type",
    ] {
        for wrong in ["1", "true", "[]", "{}", "-1.5e3"] {
            let expected = format!("参数{name}格式错误: 必须是字符串");
            assert_eq!(chinese(&with(name, wrong)), expected, "{wrong}");
        }
    }
    for name in ["request_message", "options"] {
        for wrong in ["1", "false", "[]", r#""{}""#, r#""\ud800""#] {
            let expected = format!("参数{name}格式错误: 必须是JSON对象");
            assert_eq!(chinese(&with(name, wrong)), expected, "{wrong}");
        }
    }
}

#[test]
fn the_first_missing_parameter_is_named_then_the_first_malformed_one() {
    for (body, expected) in [
        ("{}", "参数callback_url或callee_no不能为空"),
        (r#"{"callee_no":"x"}"#, "参数app_id不能为空"),
        (
            r#"{"callee_no":"x","app_id":"a"}"#,
            "参数message_type不能为空",
        ),
        (
            r#"{"callee_no":7,"app_id":"a","message_type":"t"}"#,
            "参数request_message不能为空",
        ),
        (
            r#"{"callback_url":7,"app_id":[],"options":7}"#,
            "参数message_type不能为空",
        ),
        (
            r#"{"options":1,"request_message":2,"message_type":3,"caller_no":4,"app_id":5,"callee_no":6}"#,
            "参数callee_no格式错误: 必须是字符串",
        ),
        (
            r#"{"options":1,"request_message":2,"message_type":3,"caller_no":4,"app_id":"a","callee_no":"b"}"#,
            "参数caller_no格式错误: 必须是字符串",
        ),
        (
            r#"{"options":1,"request_message":2,"message_type":"t","app_id":"a","callee_no":"b"}"#,
            "参数request_message格式错误: 必须是JSON对象",
        ),
    ] {
        assert_eq!(chinese(body), expected, "{body}");
    }
}

#[test]
fn a_parameter_given_twice_is_malformed() {
    for (name, value) in [
        ("callback_url", "null"),
        ("callee_no", r#""EO001""#),
        ("app_id", r#""""#),
        ("caller_no", "7"),
        ("message_type", r#""x""#),
        ("request_message", "{}"),
        ("options", "{}"),
    ] {
        let escaped = name.replace('_', r"\u005f").replacen('o', r"\u006F", 1);
        let body = with(name, &format!("{value},\"{escaped}\":{value}"));
        assert_eq!(chinese(&body), format!("参数{name}格式错误: 重复出现"));
    }
}

#[test]
fn texts_have_a_limit_in_bytes_and_no_control_characters() {
    for name in ["callee_no", "app_id", "caller_no", "message_type"] {
        assert!(parse(with(name, &format!("\"{}xx\"", "汉".repeat(42)))).is_ok());
        let expected = format!("参数{name}格式错误: 长度不能超过128字节");
        assert_eq!(
            chinese(&with(name, &format!("\"{}\"", "汉".repeat(43)))),
            expected
        );
        for control in [r"a\u0000", r"a\nb", r"\u007f", "\u{85}x"] {
            let expected = format!("参数{name}格式错误: 不能包含控制字符");
            assert_eq!(chinese(&with(name, &format!("\"{control}\""))), expected);
        }
        let expected = format!("参数{name}格式错误: 包含不成对的代理项转义");
        assert_eq!(chinese(&with(name, r#""\ud800""#)), expected);
    }
    let longest = format!("http://a.example/{}", "x".repeat(2048 - 17));
    assert!(parse(with("callback_url", &format!("\"{longest}\""))).is_ok());
    let expected = "参数callback_url格式错误: URL长度不能超过2048字节";
    assert_eq!(
        chinese(&with("callback_url", &format!("\"{longest}x\""))),
        expected
    );
    let expected = "参数callback_url格式错误: URL不能包含控制字符";
    assert_eq!(
        chinese(&with("callback_url", r#""http://a.example/\r\n""#)),
        expected
    );
}

#[test]
fn the_debug_text_of_a_request_holds_no_payload_and_no_url() {
    let body =
        with("request_message", r#"{"a":"secret"}"#).replace("a.example/", "a.example/?secret");
    let request = parse(body).unwrap();
    assert!(!format!("{request:?}").contains("secret"));
}
