//! The document agrees with the routes, the contract and the committed files.

use std::collections::BTreeSet;

use contract::{
    Answer, CallbackStatus, Language, Options, Overdue, Report, ReportAttempt, Request, Rules,
};
use serde_json::{Value, json};

use super::words::DocumentWords;
use super::{document, schemas};

const COMMITTED: [(Language, &str); 2] = [
    (
        Language::English,
        include_str!("../../../../docs/reference/openapi-callers.json"),
    ),
    (
        Language::Chinese,
        include_str!("../../../../docs/reference/openapi-callers.zh-CN.json"),
    ),
];

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_committed_documents_are_what_is_served() {
    for (language, committed) in COMMITTED {
        let served = match language {
            Language::English => super::english(),
            Language::Chinese => super::chinese(),
        };
        assert!(
            committed.as_bytes() == served,
            "write it anew: ringback openapi callers [--lang zh] > docs/reference/openapi-callers[.zh-CN].json"
        );
    }
}

#[test]
fn it_is_a_document_of_openapi_3_1() {
    for (language, _) in COMMITTED {
        let read: utoipa::openapi::OpenApi = serde_json::from_value(document(language)).unwrap();
        assert_eq!(read.info.version, "1");
    }
}

#[test]
fn both_languages_describe_the_same_api() {
    fn without_words(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for word in ["description", "summary", "title", "example", "examples"] {
                    // Of a property with that name there is none.
                    members.remove(word);
                }
                members.values_mut().for_each(without_words);
            }
            Value::Array(items) => items.iter_mut().for_each(without_words),
            _ => {}
        }
    }
    let [mut english, mut chinese] = COMMITTED.map(|(language, _)| document(language));
    let texts = |document: &Value| document.to_string();
    assert_ne!(texts(&english), texts(&chinese));
    without_words(&mut english);
    without_words(&mut chinese);
    assert_eq!(english, chinese);
}

#[test]
fn every_status_of_an_answer_is_described() {
    let document = document(Language::English);
    let post = keys(&document["paths"]["/api/callback"]["post"]["responses"]);
    for code in Answer::REJECTION_CODES {
        // 404 and 405 are answers to other paths and methods.
        if !["404", "405"].contains(&code) {
            assert!(post.contains(code), "{code}");
        }
    }
    for status in ["200", "202", "503"] {
        assert!(post.contains(status), "{status}");
    }
}

#[test]
fn the_schemas_have_the_keys_of_real_bodies() {
    let all = schemas::all(DocumentWords(Language::English));
    let id = uuid::Uuid::from_u128(7);
    let answer = Answer::Accepted.body(Some(id), Language::English);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(keys(&answer), keys(&all["Answer"]["properties"]));

    let text = || Some("x".to_owned());
    let report = Report {
        request_id: id,
        status: CallbackStatus::Retrying,
        reason: text(),
        created_at: 1,
        next_attempt_at: Some(1),
        overdue: Some(Overdue {
            since: 1,
            seconds: 600,
        }),
        app_id: "a".to_owned(),
        caller_no: text(),
        callee_no: text(),
        callback_url: text(),
        message_type: "m".to_owned(),
        attempts: vec![ReportAttempt {
            number: 1,
            started_at: 1,
            duration_ms: 1,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            detail: text(),
        }],
    };
    let report: Value = serde_json::from_slice(&report.body(Language::English)).unwrap();
    assert_eq!(keys(&report), keys(&all["Report"]["properties"]));
    let attempt = &report["attempts"][0];
    assert_eq!(keys(attempt), keys(&all["Attempt"]["properties"]));

    let options = Options {
        delay_seconds: Some(1),
        expire_seconds: Some(1),
        max_attempts: Some(1),
        timeout_seconds: Some(1),
        headers: vec![("a".to_owned(), "b".to_owned())],
        ..Options::default()
    };
    let options = serde_json::to_value(options).unwrap();
    assert_eq!(keys(&options), keys(&all["CallbackOptions"]["properties"]));
}

#[test]
fn the_required_fields_are_those_that_a_request_cannot_do_without() {
    let all = schemas::all(DocumentWords(Language::English));
    let rules = Rules {
        accept_blank_message_type: false,
        strict_options: true,
    };
    let example = schemas::request_example();
    let parse = |request: &Value| Request::parse(&request.to_string().into_bytes().into(), &rules);
    assert!(parse(&example).is_ok());
    let schema = &all["CallbackRequest"];
    for field in keys(&schema["properties"]) {
        let mut request = example.clone();
        request["callee_no"] = json!("EO001");
        request.as_object_mut().unwrap().remove(&field);
        let required = schema["required"].as_array().unwrap();
        let is_required = required.contains(&json!(field));
        assert_eq!(parse(&request).is_err(), is_required, "{field}");
        // A field that is read is refused as a number.
        let mut request = example.clone();
        request[&field] = json!(7);
        assert!(parse(&request).is_err(), "{field} is not read");
    }
    for (field, limits) in all["CallbackOptions"]["properties"].as_object().unwrap() {
        for (limit, beyond) in [("minimum", -1), ("maximum", 1)] {
            let Some(limit) = limits[limit].as_i64() else {
                continue;
            };
            let mut request = example.clone();
            request["options"] = json!({ field.as_str(): limit });
            // An expiry must be more than the delay, which is none here.
            assert!(parse(&request).is_ok(), "{field} {limit}");
            request["options"][field] = json!(limit + beyond);
            assert!(parse(&request).is_err(), "{field} {}", limit + beyond);
        }
    }
}
