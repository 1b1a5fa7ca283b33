//! The operation of each route.

use serde_json::{Value, json};

use super::responses::{of_accept, of_callback};
use super::schemas::request_example;
use super::words::DocumentWords;

pub(super) fn paths(words: DocumentWords) -> Value {
    json!({
        "/api/callback": { "post": accept(words) },
        "/api/callback/{request_id}": {
            "parameters": [request_id(words)],
            "get": query(words),
            "delete": cancel(words),
        },
        "/openapi.json": { "get": document(words) },
        "/healthz": { "get": alive(words) },
        "/readyz": { "get": ready(words) },
    })
}

fn accept(words: DocumentWords) -> Value {
    json!({
        "operationId": "sendCallback",
        "tags": ["callbacks"],
        "summary": words.say("Send a callback", "发送回调"),
        "description": words.say(
            "A `000` means that the callback is durably queued: it is delivered, or given up and kept as a dead letter, whatever process dies.",
            "`000` 表示回调已持久入队：无论哪个进程停止，它都会被送达，或在放弃后作为死信保留。",
        ),
        "parameters": [
            idempotency_key(words),
            prefer(words.say(
                "`wait=N`: the answer waits at most N seconds for the first attempt",
                "`wait=N`：最多等待 N 秒，直到首次尝试结束",
            )),
            language(words),
            header_parameter("traceparent", words.say("Your trace (W3C), passed on to the target", "调用链（W3C），会传给目标"), Some("^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")),
        ],
        "requestBody": {
            "required": true,
            "content": {
                "application/json": {
                    "schema": { "$ref": "#/components/schemas/CallbackRequest" },
                    "example": request_example(),
                },
            },
        },
        "responses": of_accept(words),
    })
}

fn query(words: DocumentWords) -> Value {
    json!({
        "operationId": "queryCallback",
        "tags": ["callbacks"],
        "summary": words.say("Ask what became of a callback", "查询回调结果"),
        "description": words.say(
            "HTTP 200 whenever it is known, whatever became of it: read `code` and `status`.",
            "只要回调存在就返回 HTTP 200，无论结果如何：请看 `code` 和 `status`。",
        ),
        "parameters": [
            prefer(words.say(
                "`wait=N`: the answer waits at most N seconds until the status is final",
                "`wait=N`：最多等待 N 秒，直到状态不再变化",
            )),
            language(words),
        ],
        "responses": of_callback(words, false),
    })
}

fn cancel(words: DocumentWords) -> Value {
    json!({
        "operationId": "cancelCallback",
        "tags": ["callbacks"],
        "summary": words.say("Cancel a callback", "取消回调"),
        "description": words.say(
            "What waits is never delivered afterwards; what has ended stays as it is.",
            "等待中的回调取消后不会再投递；已结束的保持不变。",
        ),
        "parameters": [language(words)],
        "responses": of_callback(words, true),
    })
}

fn document(words: DocumentWords) -> Value {
    json!({
        "operationId": "apiDocument",
        "tags": ["service"],
        "summary": words.say("This document", "本文档"),
        "security": [],
        "parameters": [{
            "name": "lang",
            "in": "query",
            "required": false,
            "description": words.say("The language of the descriptions; `en` by default", "说明文字的语言；默认 `en`"),
            "schema": { "type": "string", "enum": ["en", "zh"] },
        }],
        "responses": {
            "200": {
                "description": words.say("The document", "文档"),
                "content": { "application/json": { "schema": { "type": "object" } } },
            },
        },
    })
}

fn alive(words: DocumentWords) -> Value {
    json!({
        "operationId": "alive",
        "tags": ["service"],
        "summary": words.say("Whether the process is alive", "进程是否存活"),
        "security": [],
        "responses": { "200": state(words.say("It is", "存活")) },
    })
}

fn ready(words: DocumentWords) -> Value {
    json!({
        "operationId": "ready",
        "tags": ["service"],
        "summary": words.say("Whether it takes callbacks", "是否可以接受回调"),
        "security": [],
        "responses": {
            "200": state(words.say("It does", "可以")),
            "503": state(words.say("It does not, or only soon", "暂时不可以")),
        },
    })
}

fn state(description: &str) -> Value {
    json!({
        "description": description,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "status": { "type": "string" },
                        "stopped": { "type": "array", "items": { "type": "string" } },
                        "notes": { "type": "array", "items": { "type": "string" } },
                    },
                },
            },
        },
    })
}

fn request_id(words: DocumentWords) -> Value {
    json!({
        "name": "request_id",
        "in": "path",
        "required": true,
        "description": words.say("As it was answered", "应答中的 request_id"),
        "schema": { "type": "string", "format": "uuid" },
        "example": "01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7d",
    })
}

fn header_parameter(name: &str, description: &str, pattern: Option<&str>) -> Value {
    let mut schema = json!({ "type": "string" });
    if let Some(pattern) = pattern {
        schema["pattern"] = json!(pattern);
    }
    json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema })
}

fn idempotency_key(words: DocumentWords) -> Value {
    header_parameter(
        "Idempotency-Key",
        words.say(
            "The same key within 24 hours gets the first answer's `request_id` and makes no second delivery",
            "24 小时内使用同一个键会得到首次应答的 `request_id`，不会重复投递",
        ),
        Some("^[!-~]{1,255}$"),
    )
}

fn prefer(description: &str) -> Value {
    let mut parameter = header_parameter("Prefer", description, None);
    parameter["example"] = json!("wait=0");
    parameter
}

fn language(words: DocumentWords) -> Value {
    let mut parameter = header_parameter(
        "Accept-Language",
        words.say(
            "`en` for English sentences; Chinese by default",
            "`en` 得到英文 `msg`；默认中文",
        ),
        None,
    );
    parameter["example"] = json!(words.say("en", "zh-CN"));
    parameter
}
