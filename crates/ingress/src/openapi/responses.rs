//! The answers of each operation: status, body and headers.

use contract::{Answer, Invalid, Param, UnsupportedBody};
use serde_json::{Map, Value, json};

use super::schemas::{answer_example, report_example};
use super::words::DocumentWords;

/// What a response holds.
enum Body {
    /// These answers, each with its name; with an id or without one.
    Answers(Vec<(&'static str, Answer, bool)>),
    /// The report on a callback.
    Report,
}

/// The responses of `POST /api/callback`.
pub(super) fn of_accept(words: DocumentWords) -> Value {
    let accepted = vec![
        ("accepted", Answer::Accepted, true),
        ("given_up", Answer::Failed, true),
    ];
    let mut responses = Map::new();
    let mut add = adder(words, &mut responses);
    add(
        200,
        Body::Answers(accepted),
        &["x-callback-warning", "Preference-Applied", "RateLimit"],
        words.say(
            "Durably queued. With a wait: delivered (`000`) or given up (`500500`)",
            "已持久入队。等待时：已送达（`000`）或已放弃（`500500`）",
        ),
    );
    add(
        202,
        Body::Answers(vec![("retrying", Answer::Retrying, true)]),
        &["x-callback-warning", "Preference-Applied", "RateLimit"],
        words.say(
            "With a wait: queued, and still being tried",
            "等待时：已入队，仍在尝试",
        ),
    );
    add(
        400,
        Body::Answers(vec![(
            "missing",
            Answer::Invalid(Invalid::Missing(Param::AppId)),
            false,
        )]),
        &[],
        words.say(
            "A parameter is missing or malformed, or the address is refused",
            "参数缺失或格式错误，或地址被拒绝",
        ),
    );
    add(
        408,
        Body::Answers(vec![("late", Answer::BodyTimeout, false)]),
        &[],
        words.say("The body took too long", "请求体接收超时"),
    );
    add(
        409,
        Body::Answers(vec![("conflict", Answer::Conflict, false)]),
        &[],
        words.say(
            "The `Idempotency-Key` was used with another body",
            "该 `Idempotency-Key` 已用于内容不同的请求",
        ),
    );
    add(
        413,
        Body::Answers(vec![(
            "large",
            Answer::TooLarge { max_bytes: 262_144 },
            false,
        )]),
        &[],
        words.say("The body is too large", "请求体过大"),
    );
    add(
        415,
        Body::Answers(vec![(
            "type",
            Answer::UnsupportedType(UnsupportedBody::Type),
            false,
        )]),
        &[],
        words.say(
            "Not JSON in UTF-8, or compressed",
            "不是 UTF-8 编码的 JSON，或经过压缩",
        ),
    );
    add_shared(add, words);
    Value::Object(responses)
}

/// The responses of a query, and with `cancels` of a cancellation.
pub(super) fn of_callback(words: DocumentWords, cancels: bool) -> Value {
    let mut responses = Map::new();
    let mut add = adder(words, &mut responses);
    let applied: &[&str] = if cancels {
        &[]
    } else {
        &["Preference-Applied"]
    };
    add(
        200,
        Body::Report,
        applied,
        words.say("What became of it", "回调的结果"),
    );
    if cancels {
        add(
            202,
            Body::Answers(vec![("noted", Answer::Retrying, true)]),
            &[],
            words.say(
                "An attempt may be in progress: cancelled if that fails",
                "可能正在尝试：若失败则取消",
            ),
        );
    }
    add(
        404,
        Body::Answers(vec![("unknown", Answer::NotFound, false)]),
        &[],
        words.say(
            "No such callback, or another app's",
            "没有该回调，或属于其他应用",
        ),
    );
    add_shared(add, words);
    Value::Object(responses)
}

/// What every operation may be answered.
fn add_shared(mut add: impl FnMut(u16, Body, &[&str], &str), words: DocumentWords) {
    let one = |name, answer, with_id| Body::Answers(vec![(name, answer, with_id)]);
    add(
        401,
        one("unauthenticated", Answer::Unauthorized, false),
        &["WWW-Authenticate"],
        words.say("Not authenticated", "身份认证失败"),
    );
    add(
        403,
        one("forbidden", Answer::Forbidden, false),
        &[],
        words.say(
            "Your app is disabled, or the body names another one; or a web page of another origin",
            "应用已停用，或请求体中的应用不是自己的；或来自其他来源的网页",
        ),
    );
    add(
        429,
        one("limited", Answer::TooManyRequests { retry_after: 1 }, false),
        &["Retry-After", "RateLimit"],
        words.say(
            "Too many requests, or too many unfinished callbacks of your app",
            "请求过于频繁，或应用未完成的回调过多",
        ),
    );
    add(
        500,
        one("internal", Answer::Internal, false),
        &[],
        words.say("The gateway's own fault", "网关自身错误"),
    );
    add(
        501,
        one("no_journal", Answer::NoJournal, false),
        &[],
        words.say(
            "It needs a journal, and the gateway has none",
            "需要回调记录，而网关未启用",
        ),
    );
    let unavailable = vec![
        ("refused", Answer::Unavailable, false),
        ("unknown", Answer::Unavailable, true),
    ];
    add(
        503,
        Body::Answers(unavailable),
        &["Retry-After"],
        words.say(
            "Without a `request_id`: definitely not queued. With one: not known",
            "没有 `request_id`：一定没有入队；有 `request_id`：结果未知",
        ),
    );
}

fn adder(
    words: DocumentWords,
    responses: &mut Map<String, Value>,
) -> impl FnMut(u16, Body, &[&str], &str) {
    move |status, body, headers, description| {
        let content = match body {
            Body::Report => json!({
                "schema": { "$ref": "#/components/schemas/Report" },
                "example": report_example(words),
            }),
            Body::Answers(answers) => {
                let examples = answers.iter().map(|(name, answer, with_id)| {
                    let value = answer_example(answer, *with_id, words.0);
                    ((*name).to_owned(), json!({ "value": value }))
                });
                json!({
                    "schema": { "$ref": "#/components/schemas/Answer" },
                    "examples": examples.collect::<Map<_, _>>(),
                })
            }
        };
        let mut response = json!({
            "description": description,
            "content": { "application/json": content },
        });
        if !headers.is_empty() {
            let headers = headers.iter().flat_map(|name| header(words, name));
            response["headers"] = Value::Object(headers.collect());
        }
        responses.insert(status.to_string(), response);
    }
}

/// A header, or those that go together.
fn header(words: DocumentWords, name: &str) -> Vec<(String, Value)> {
    let one = |name: &str, schema: Value, description: &str| {
        let header = json!({ "description": description, "schema": schema });
        (name.to_owned(), header)
    };
    let text = || json!({ "type": "string" });
    match name {
        "Retry-After" => vec![one(
            name,
            json!({ "type": "integer", "minimum": 0 }),
            words.say(
                "Seconds to wait before the next request",
                "再次请求前应等待的秒数",
            ),
        )],
        "RateLimit" => vec![
            one(
                "RateLimit-Policy",
                json!({ "type": "string", "examples": ["\"rate\";q=100;w=1"] }),
                words.say(
                    "The limit of your app. Absent if it has none, and from a 429 because too many of its callbacks are unfinished",
                    "应用的限额。应用没有限额时，以及因应用未完成的回调过多而返回的 429，不带此响应头",
                ),
            ),
            one(
                "RateLimit",
                json!({ "type": "string", "examples": ["\"rate\";r=0;t=1"] }),
                words.say(
                    "What is left of it, and in how many seconds it is whole again",
                    "剩余限额，以及多少秒后恢复",
                ),
            ),
        ],
        "Preference-Applied" => vec![one(
            name,
            text(),
            words.say(
                "`wait=N`: how long the answer could wait",
                "`wait=N`：实际的等待上限",
            ),
        )],
        "WWW-Authenticate" => vec![one(
            name,
            text(),
            words.say("How to authenticate", "认证方式"),
        )],
        _ => vec![one(
            name,
            text(),
            words.say("Names the options that were ignored", "列出被忽略的选项"),
        )],
    }
}
