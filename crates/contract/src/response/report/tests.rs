//! The report's body is the contract's, key by key.

use uuid::Uuid;

use super::{Overdue, Report, ReportAttempt};
use crate::{CallbackStatus, Language};

fn report() -> Report {
    Report {
        request_id: Uuid::from_u128(0x0199_6D2C_4F00_7A3B_8C1D_2E3F_4A5B_6C7D),
        status: CallbackStatus::Queued,
        reason: None,
        created_at: 1_758_500_000_000,
        next_attempt_at: None,
        overdue: None,
        app_id: "应用".to_owned(),
        caller_no: None,
        callee_no: Some("EO001".to_owned()),
        callback_url: None,
        message_type: "order.paid".to_owned(),
        attempts: Vec::new(),
    }
}

#[test]
fn a_queued_callback_is_reported_with_what_is_known() {
    let body = String::from_utf8(report().body(Language::Chinese)).unwrap();
    assert_eq!(
        body,
        concat!(
            r#"{"request_id":"01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7d","code":"202","#,
            r#""msg":"访问目标路径重试中","status":"queued","#,
            r#""created_at":"2025-09-22T00:13:20.000Z","app_id":"应用","callee_no":"EO001","#,
            r#""message_type":"order.paid","attempts":[]}"#
        )
    );
}

#[test]
fn a_dead_callback_is_reported_with_its_reason_and_its_attempts() {
    let dead = Report {
        status: CallbackStatus::Dead,
        reason: Some("exhausted".to_owned()),
        next_attempt_at: Some(1_758_500_000_001),
        caller_no: Some("EO003".to_owned()),
        callee_no: None,
        callback_url: Some("https://a.example/b?token=secret".to_owned()),
        attempts: vec![
            ReportAttempt {
                number: 1,
                started_at: 1_758_500_000_010,
                duration_ms: 3_000,
                outcome: "timeout".to_owned(),
                http_status: None,
                detail: None,
            },
            ReportAttempt {
                number: 2,
                started_at: 1_758_500_008_000,
                duration_ms: 12,
                outcome: "answered_5xx".to_owned(),
                http_status: Some(503),
                detail: Some("busy".to_owned()),
            },
        ],
        ..report()
    };
    let body = String::from_utf8(dead.body(Language::English)).unwrap();
    assert_eq!(
        body,
        concat!(
            r#"{"request_id":"01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7d","code":"500500","#,
            r#""msg":"the callback could not be delivered, try again later or contact the "#,
            r#"administrator","status":"dead","reason":"exhausted","#,
            r#""created_at":"2025-09-22T00:13:20.000Z","#,
            r#""next_attempt_at":"2025-09-22T00:13:20.001Z","#,
            r#""app_id":"应用","caller_no":"EO003","callback_url":"https://a.example/b?***","#,
            r#""message_type":"order.paid","attempts":["#,
            r#"{"number":1,"started_at":"2025-09-22T00:13:20.010Z","duration_ms":3000,"#,
            r#""outcome":"timeout"},"#,
            r#"{"number":2,"started_at":"2025-09-22T00:13:28.000Z","duration_ms":12,"#,
            r#""outcome":"answered_5xx","http_status":503,"detail":"busy"}]}"#
        )
    );
}

#[test]
fn a_callback_that_was_not_tried_in_vain_is_not_said_to_have_failed() {
    let msg = |status, language| {
        let report = Report { status, ..report() };
        let body: serde_json::Value = serde_json::from_slice(&report.body(language)).unwrap();
        assert_eq!(body["code"], "500500");
        body["msg"].as_str().unwrap().to_owned()
    };
    let (cancelled, expired) = (CallbackStatus::Cancelled, CallbackStatus::Expired);
    assert_eq!(
        msg(cancelled, Language::English),
        "the callback was cancelled"
    );
    let sentence = "the callback expired before it could be delivered";
    assert_eq!(msg(expired, Language::English), sentence);
    for status in [cancelled, expired, CallbackStatus::Dead] {
        let chinese = msg(status, Language::Chinese);
        assert_eq!(chinese, "访问目标路径失败，请稍后再试或联系管理员");
    }
}

#[test]
fn an_overdue_callback_says_since_when_and_that_it_may_be_gone() {
    let overdue = Some(Overdue {
        since: 1_758_500_000_001,
        seconds: 389,
    });
    let report = Report {
        status: CallbackStatus::Delivering,
        next_attempt_at: Some(1_758_500_000_001),
        overdue,
        ..report()
    };
    for (language, note) in [
        (
            Language::Chinese,
            "本应在2025-09-22T00:13:20.001Z执行，已逾期6分钟：可能仍在排队，也可能已被人工移出队列，\
             请联系管理员确认",
        ),
        (
            Language::English,
            "it was due at 2025-09-22T00:13:20.001Z and is 6 minutes overdue: it may still be \
             queued, or may have been removed from the queue by hand; ask the administrator",
        ),
    ] {
        let body: serde_json::Value = serde_json::from_slice(&report.body(language)).unwrap();
        assert_eq!(body["note"], note);
        // The contract's code and sentence stay.
        assert_eq!(
            (&body["code"], &body["status"]),
            (&"202".into(), &"delivering".into())
        );
        assert_eq!(body["msg"], report.answer().msg(language).as_ref());
    }
}

#[test]
fn every_status_has_its_code_and_its_sentence() {
    for (status, code, msg) in [
        ("queued", "202", "访问目标路径重试中"),
        ("delivering", "202", "访问目标路径重试中"),
        ("retrying", "202", "访问目标路径重试中"),
        ("delivered", "000", "成功"),
        ("dead", "500500", "访问目标路径失败，请稍后再试或联系管理员"),
        (
            "expired",
            "500500",
            "访问目标路径失败，请稍后再试或联系管理员",
        ),
        (
            "cancelled",
            "500500",
            "访问目标路径失败，请稍后再试或联系管理员",
        ),
    ] {
        let status = status.parse().unwrap();
        let body = Report { status, ..report() }.body(Language::Chinese);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["code"], &body["msg"]), (&code.into(), &msg.into()));
    }
}

#[test]
fn the_debug_text_of_a_report_holds_no_url() {
    let callback_url = Some("https://a.example/b?token=secret".to_owned());
    let report = Report {
        callback_url,
        ..report()
    };
    assert!(!format!("{report:?}").contains("a.example"));
}
