//! The bodies of requests and answers.

use contract::{CallbackStatus, Language};
use serde_json::{Value, json};

use super::words::DocumentWords;

pub(super) fn all(words: DocumentWords) -> Value {
    json!({
        "CallbackRequest": request(words),
        "CallbackOptions": options(words),
        "Answer": answer(words),
        "Report": report(words),
        "Attempt": attempt(words),
    })
}

fn name(description: &str) -> Value {
    json!({ "type": "string", "maxLength": 128, "description": description })
}

fn required_name(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "\\S", "description": description })
}

// That one of two fields must be there is said in words alone: of an `anyOf`, generators make types
// without fields.
fn request(words: DocumentWords) -> Value {
    json!({
        "type": "object",
        "description": words.say(
            "`callback_url` or `callee_no` must be there. Unknown fields are ignored; a field that is given twice is a 400.",
            "`callback_url` 与 `callee_no` 至少要有一个。未知字段会被忽略；重复的字段返回 400。",
        ),
        "required": ["app_id", "message_type", "request_message"],
        "properties": {
            "callback_url": {
                "type": "string",
                "format": "uri",
                "maxLength": 2_048,
                "description": words.say(
                    "An absolute `http` or `https` URL without user info. Wins over `callee_no`, which is then only a label.",
                    "`http` 或 `https` 绝对 URL，不能包含用户名或密码。与 `callee_no` 同时存在时以本字段为准，`callee_no` 仅作标注。",
                ),
                "examples": ["https://orders.example/callbacks"],
            },
            "callee_no": name(words.say("The number of a registered callee", "已登记的被回调方编号")),
            "app_id": required_name(words.say("Your app", "调用方应用")),
            "caller_no": name(words.say("A label, handed on to the target", "标注，会传给目标")),
            "message_type": required_name(words.say("The type of the message, in your terms", "消息类型，由调用方定义")),
            "request_message": {
                "type": "object",
                "description": words.say(
                    "Its bytes reach the target exactly as you wrote them",
                    "其字节原样送达目标",
                ),
            },
            "options": { "$ref": "#/components/schemas/CallbackOptions" },
        },
        "examples": [request_example()],
    })
}

pub(super) fn request_example() -> Value {
    json!({
        "callback_url": "https://orders.example/callbacks",
        "app_id": "shop",
        "message_type": "order.paid",
        "request_message": { "order": "A-1001", "amount": "12.50" },
        "options": { "max_attempts": 5 },
    })
}

fn options(words: DocumentWords) -> Value {
    let number = |low: u32, high: u32, description: &str| json!({ "type": "integer", "minimum": low, "maximum": high, "description": description });
    json!({
        "type": "object",
        "description": words.say(
            "Unknown keys are ignored and named in `x-callback-warning`, or refused where the operator says so.",
            "未知的键会被忽略，并在 `x-callback-warning` 中列出；运维也可以设置为拒绝。",
        ),
        "properties": {
            "delay_seconds": number(0, 604_800, words.say("First attempt this long after acceptance", "接受后多久进行首次尝试")),
            "expire_seconds": number(1, 604_800, words.say("Given up rather than attempted when this old; more than the delay", "超过这个时长后放弃，不再尝试；须大于延迟")),
            "max_attempts": number(1, 20, words.say("At most so many attempts", "最多尝试次数")),
            "timeout_seconds": number(1, 60, words.say("For one whole attempt", "单次尝试的超时")),
            "headers": {
                "type": "object",
                "maxProperties": 16,
                "additionalProperties": { "type": "string" },
                "description": words.say(
                    "Extra request headers for the target, 4 KiB in all. Those of the connection, `content-*`, `proxy-*`, `webhook-*` and `x-callback-*` are refused.",
                    "发给目标的额外请求头，总共不超过 4 KiB。连接相关的请求头以及 `content-*`、`proxy-*`、`webhook-*`、`x-callback-*` 会被拒绝。",
                ),
            },
        },
    })
}

fn envelope(words: DocumentWords) -> Value {
    json!({
        "request_id": {
            "type": "string",
            "format": "uuid",
            "description": words.say(
                "There exactly when the callback was accepted, or may have been",
                "仅当回调已被接受或可能已被接受时存在",
            ),
        },
        "code": {
            "type": "string",
            "pattern": "^[0-9]{3}([0-9]{3})?$",
            "description": words.say(
                "`000` accepted or delivered, `202` being tried, `500500` given up; else the HTTP status, and `500` for a 503",
                "`000` 已接受或已送达，`202` 重试中，`500500` 已放弃；其余与 HTTP 状态相同，503 时为 `500`",
            ),
        },
        "msg": {
            "type": "string",
            "description": words.say("One sentence for people", "给人看的一句话"),
        },
    })
}

// Fields may be added to answers. With `additionalProperties: false`, generated clients would refuse
// them; the test of the documents adds it.
fn answer(words: DocumentWords) -> Value {
    json!({
        "type": "object",
        "required": ["code", "msg"],
        "properties": envelope(words),
    })
}

fn report(words: DocumentWords) -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let time = |description: &str| json!({ "type": "string", "format": "date-time", "description": description });
    // A caller is told the status before.
    let statuses = CallbackStatus::ALL
        .into_iter()
        .filter(|status| *status != CallbackStatus::Unaccounted);
    let statuses: Vec<&str> = statuses.map(CallbackStatus::as_str).collect();
    let mut properties = envelope(words);
    let more = json!({
        "status": { "type": "string", "enum": statuses, "description": words.say("The status", "状态") },
        "reason": text(words.say("Why it was given up; of `dead` alone", "放弃的原因；仅 `dead` 有")),
        "created_at": time(words.say("When it was accepted", "接受时间")),
        "next_attempt_at": time(words.say("When the next attempt is due, if there is one", "下次尝试的时间（如果还有）")),
        "note": text(words.say("There when the next attempt has been due for more than five minutes", "下次尝试已逾期五分钟以上时的说明")),
        "app_id": text(words.say("Your app", "调用方应用")),
        "caller_no": text(words.say("As you gave it", "与请求一致")),
        "callee_no": text(words.say("As you gave it", "与请求一致")),
        "callback_url": text(words.say("Without its query string", "不含查询串")),
        "message_type": text(words.say("As you gave it", "与请求一致")),
        "attempts": {
            "type": "array",
            "items": { "$ref": "#/components/schemas/Attempt" },
            "description": words.say("Oldest first", "由旧到新"),
        },
    });
    if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
        properties.extend(more);
    }
    json!({
        "type": "object",
        "required": ["request_id", "code", "msg", "status", "created_at", "app_id", "message_type", "attempts"],
        "properties": properties,
        "examples": [report_example(words)],
    })
}

pub(super) fn report_example(words: DocumentWords) -> Value {
    json!({
        "request_id": "01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7d",
        "code": "202",
        "msg": contract::Answer::Retrying.msg(words.0),
        "status": "retrying",
        "created_at": "2025-09-22T00:13:20.000Z",
        "next_attempt_at": "2025-09-22T00:13:26.310Z",
        "app_id": "shop",
        "callback_url": "https://orders.example/callbacks?***",
        "message_type": "order.paid",
        "attempts": [{
            "number": 1,
            "started_at": "2025-09-22T00:13:20.004Z",
            "duration_ms": 12,
            "outcome": "answered_5xx",
            "http_status": 503,
        }],
    })
}

fn attempt(words: DocumentWords) -> Value {
    json!({
        "type": "object",
        "required": ["number", "started_at", "duration_ms", "outcome"],
        "properties": {
            "number": { "type": "integer", "minimum": 1, "description": words.say("From 1; begins again after a replay", "从 1 开始；重放后重新计数") },
            "started_at": { "type": "string", "format": "date-time", "description": words.say("When it began", "开始时间") },
            "duration_ms": { "type": "integer", "minimum": 0, "description": words.say("How long it took", "耗时") },
            "outcome": {
                "type": "string",
                "examples": delivery::retry::OUTCOME_LABELS,
                "description": words.say("How it ended", "结果"),
            },
            "http_status": { "type": "integer", "minimum": 100, "maximum": 999, "description": words.say("The target's answer, if it gave one", "目标的应答状态（如果有）") },
            "detail": { "type": "string", "description": words.say("More for people", "补充说明") },
        },
    })
}

/// The body of an answer as an example.
pub(super) fn answer_example(
    answer: &contract::Answer,
    with_id: bool,
    language: Language,
) -> Value {
    let id = uuid::Uuid::from_u128(0x0199_6d2c_4f00_7a3b_8c1d_2e3f_4a5b_6c7d);
    let body = answer.body(with_id.then_some(id), language);
    serde_json::from_slice(&body).unwrap_or_default()
}
