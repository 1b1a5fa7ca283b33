//! The OpenAPI 3.1 document of the callers' API, in English and Chinese.
//!
//! Written from the answers and limits of `contract`; its tests hold it against the routes, the real
//! bodies and the committed files.
//!
//! - `mod.rs`: the document as a whole
//! - `operations.rs`: the operation of each route
//! - `responses.rs`: the answers, and their headers
//! - `schemas.rs`: the bodies
//! - `words.rs`: the two languages

mod operations;
mod responses;
mod schemas;
#[cfg(test)]
mod tests;
mod words;

use contract::Language;
use serde_json::{Value, json};

use words::DocumentWords;

/// The version of the API, which changes when callers must change.
const API_VERSION: &str = "1";

/// The document in English, as JSON with line ends.
pub fn english() -> Vec<u8> {
    written(&document(Language::English))
}

/// The document in Chinese, as JSON with line ends.
pub fn chinese() -> Vec<u8> {
    written(&document(Language::Chinese))
}

fn written(document: &Value) -> Vec<u8> {
    let mut text = format!("{document:#}");
    text.push('\n');
    text.into_bytes()
}

fn document(language: Language) -> Value {
    let words = DocumentWords(language);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": words.say("Ringback: the callers' API", "Ringback：调用方接口"),
            "version": API_VERSION,
            "summary": words.say(
                "Send callbacks, ask what became of them, cancel them",
                "发送回调、查询结果、取消回调",
            ),
            "description": words.say(DESCRIPTION, DESCRIPTION_ZH),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            {
                "name": "callbacks",
                "description": words.say("Callbacks", "回调"),
            },
            {
                "name": "service",
                "description": words.say("The gateway itself", "网关自身"),
            },
        ],
        "security": security(),
        "paths": operations::paths(words),
        "components": {
            "schemas": schemas::all(words),
            "securitySchemes": security_schemes(words),
        },
    })
}

const DESCRIPTION: &str = "Every answer is `{\"request_id\", \"code\", \"msg\"}`. `request_id` is there exactly when the \
    callback was accepted or may have been: what was answered without one is never delivered.\n\n`HEAD` is answered where \
    `GET` is, and `OPTIONS` names the methods of a path in `Allow`. `Accept-Language: en` gets English sentences in `msg`; \
    codes never change with the language. An operator can have every answer sent with HTTP 200 \
    (`ingress.http_status = \"always_200\"`): read `code` then.\n\nThe operator chooses one way to authenticate for all \
    callers (`auth.mode`): none, `bearer` or `hmac`.";

const DESCRIPTION_ZH: &str = "所有应答都是 `{\"request_id\", \"code\", \"msg\"}`。只有回调已被接受或可能已被接受时才有 `request_id`；\
    没有 `request_id` 的请求一定不会被投递。\n\n支持 `GET` 的路径同样支持 `HEAD`；`OPTIONS` 在 `Allow` 中列出该路径支持的方法。\
    请求头 `Accept-Language: en` 使 `msg` 为英文；`code` 不随语言变化。运维可以让所有应答的 HTTP 状态都为 200\
    （`ingress.http_status = \"always_200\"`），此时请以 `code` 为准。\n\n认证方式由运维统一选定（`auth.mode`）：无、`bearer` 或 `hmac`。";

/// None, a bearer key, or a signature.
fn security() -> Value {
    json!([
        {},
        { "bearer": [] },
        { "app": [], "signatureId": [], "signatureTime": [], "signature": [] },
    ])
}

fn security_schemes(words: DocumentWords) -> Value {
    let header = |name: &str, description: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": description });
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": words.say("`auth.mode = \"bearer\"`: a key of the app", "`auth.mode = \"bearer\"`：应用的密钥"),
        },
        "app": header(
            "x-callback-app-id",
            words.say(
                "`auth.mode = \"hmac\"`: the app; what is not visible ASCII, and `%`, is percent-encoded",
                "`auth.mode = \"hmac\"`：应用；可见 ASCII 以外的字符和 `%` 须百分号编码",
            ),
        ),
        "signatureId": header(
            "webhook-id",
            words.say("An id of this request, unique", "本次请求的唯一编号"),
        ),
        "signatureTime": header(
            "webhook-timestamp",
            words.say("Unix seconds, at most 5 minutes from now", "Unix 秒，与当前时间相差不超过 5 分钟"),
        ),
        "signature": header(
            "webhook-signature",
            words.say(
                "Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.payload`. The payload is the body; \
                 without one, method and path: `GET /api/callback/...`",
                "Standard Webhooks：`v1,` 加上对 `id.timestamp.payload` 的 HMAC-SHA256 的 base64。payload 为请求体；没有请求体时为方法和路径：\
                 `GET /api/callback/...`",
            ),
        ),
    })
}
