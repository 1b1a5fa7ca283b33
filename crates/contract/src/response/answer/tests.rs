//! Every row of the contract's answer table.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Answer, UnsupportedBody};
use crate::{Invalid, Language, Param};

const FAILED: &str = "服务调用异常，请稍后再试或联系管理员";

fn all() -> Vec<(Answer, u16, &'static str, &'static str)> {
    let missing = Answer::Invalid(Invalid::Missing(Param::AppId));
    vec![
        (Answer::Accepted, 200, "000", "成功"),
        (Answer::Retrying, 202, "202", "访问目标路径重试中"),
        (
            Answer::Failed,
            200,
            "500500",
            "访问目标路径失败，请稍后再试或联系管理员",
        ),
        (missing, 400, "400", "参数app_id不能为空"),
        (
            Answer::Unauthorized,
            401,
            "401",
            "身份认证失败，请检查认证信息",
        ),
        (Answer::Forbidden, 403, "403", "没有权限执行此操作"),
        (Answer::NotFound, 404, "404", "请求的资源不存在"),
        (Answer::MethodNotAllowed, 405, "405", "不支持该请求方法"),
        (
            Answer::BodyTimeout,
            408,
            "408",
            "接收请求体超时，请重新发送",
        ),
        (
            Answer::Conflict,
            409,
            "409",
            "该Idempotency-Key已用于内容不同的请求",
        ),
        (
            Answer::TooLarge { max_bytes: 262_144 },
            413,
            "413",
            "请求体不能超过262144字节",
        ),
        (
            Answer::UnsupportedType(UnsupportedBody::Type),
            415,
            "415",
            "请求体类型必须是application/json",
        ),
        (
            Answer::UnsupportedType(UnsupportedBody::Charset),
            415,
            "415",
            "请求体的字符集（charset）必须是UTF-8",
        ),
        (
            Answer::UnsupportedType(UnsupportedBody::Encoding),
            415,
            "415",
            "不支持压缩的请求体，请去掉Content-Encoding并发送未压缩的内容",
        ),
        (
            Answer::TooManyRequests { retry_after: 1 },
            429,
            "429",
            "请求过于频繁，请稍后再试",
        ),
        (Answer::Unavailable, 503, "500", FAILED),
        (Answer::Internal, 500, "500", FAILED),
        (
            Answer::NoJournal,
            501,
            "501",
            "网关未启用回调记录，不支持此操作",
        ),
    ]
}

#[test]
fn the_codes_of_rejections_are_those_of_all_answers_but_reports() {
    let codes: BTreeSet<&str> = all().iter().map(|(answer, ..)| answer.code()).collect();
    let reports = BTreeSet::from(["000", "202", "500500"]);
    let rejections: Vec<_> = codes.difference(&reports).copied().collect();
    assert_eq!(rejections, Answer::REJECTION_CODES);
}

#[test]
fn every_answer_has_its_status_code_and_sentence() {
    for (answer, status, code, msg) in all() {
        assert_eq!(answer.http_status(), status, "{answer:?}");
        assert_eq!(answer.code(), code, "{answer:?}");
        assert_eq!(answer.msg(Language::Chinese), msg);
        let english = answer.msg(Language::English);
        assert!(english.is_ascii() && !english.is_empty(), "{english}");
    }
}

#[test]
fn a_body_is_the_originals_envelope() {
    let id = Uuid::from_u128(0xB372_BE68_6FA6_4590_B927_A409_6E6A_05E6);
    let accepted = Answer::Accepted.body(Some(id), Language::Chinese);
    let expected =
        r#"{"request_id":"b372be68-6fa6-4590-b927-a4096e6a05e6","code":"000","msg":"成功"}"#;
    assert_eq!(String::from_utf8(accepted).unwrap(), expected);

    let failed = Answer::Internal.body(None, Language::Chinese);
    let expected = r#"{"code":"500","msg":"服务调用异常，请稍后再试或联系管理员"}"#;
    assert_eq!(String::from_utf8(failed).unwrap(), expected);

    let english = Answer::Accepted.body(None, Language::English);
    assert_eq!(
        String::from_utf8(english).unwrap(),
        r#"{"code":"000","msg":"success"}"#
    );
}

#[test]
fn a_sentence_that_quotes_the_caller_stays_json() {
    let error = crate::ParamError::HeaderName {
        name: "\"}\\\u{7F}汉".to_owned(),
    };
    let answer = Answer::Invalid(Invalid::Malformed(Param::Headers, error));
    let body: serde_json::Value =
        serde_json::from_slice(&answer.body(None, Language::Chinese)).unwrap();
    let expected = "参数options.headers格式错误: 请求头名称\"}\\\u{7F}汉无效";
    assert_eq!(body["msg"], expected);
}
