//! The OpenAPI 3.1 document of the operators' API, in English and Chinese.
//!
//! The routes and their roles are those of the table of routes; the bodies are described by the types
//! that are read and written.
//!
//! - `mod.rs`: the document as a whole
//! - `operations.rs`: what each route takes and answers
//! - `parameters.rs`: the parameters of queries
//! - `schemas.rs`: the bodies; `schema_words.rs`: their descriptions in Chinese
//! - `words.rs`: the two languages

mod operations;
mod parameters;
mod schema_words;
mod schemas;
#[cfg(test)]
mod tests;
mod words;

use contract::Language;
use serde_json::{Map, Value, json};

use super::error::ProblemCode;
use super::routes::{ENDPOINTS, Endpoint};
use operations::{OPERATIONS, OperationDoc};
use words::say;

/// The version of the API, as in its paths.
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
    let mut document = written_in(language);
    if language == Language::Chinese {
        schema_words::translate(&mut document);
    }
    document
}

fn written_in(language: Language) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": say(language, "Ringback: the operators' API", "Ringback：运维接口"),
            "version": API_VERSION,
            "description": say(language, DESCRIPTION, DESCRIPTION_ZH),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(language),
        "security": [{ "token": [] }, {}],
        "paths": paths(language),
        "components": {
            "responses": problem_responses(language),
            "schemas": schemas::all(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": say(
                        language,
                        "A token of `admin.token` or `admin.tokens`. Without any, requests of this machine alone are served",
                        "`admin.token` 或 `admin.tokens` 中的令牌；都未配置时只服务本机请求",
                    ),
                },
            },
        },
    })
}

const DESCRIPTION: &str = "Errors are problem details (RFC 9457): `code` is for programs, `detail` for people. A parameter or \
    field that is unknown, empty, duplicate or invalid is a 400; none is ever ignored.\n\nTimes are RFC 3339 in answers; in \
    requests also Unix milliseconds. `HEAD` is answered where `GET` is, and `OPTIONS` names the methods of a path in `Allow`. \
    Large answers are compressed for clients that send `Accept-Encoding: gzip`.";

const DESCRIPTION_ZH: &str = "错误以 problem details（RFC 9457）返回：`code` 给程序用，`detail` 给人看。未知、为空、重复或无效的参数或字段一律返回 400，\
    不会被忽略。\n\n应答中的时间为 RFC 3339；请求中也可用 Unix 毫秒。支持 `GET` 的路径同样支持 `HEAD`；`OPTIONS` 在 `Allow` 中列出支持的方法。\
    客户端发送 `Accept-Encoding: gzip` 时，较大的应答会被压缩。";

fn tags(language: Language) -> Value {
    let tags = [
        ("callbacks", "Callbacks", "回调"),
        ("dead letters", "Dead letters", "死信"),
        ("pauses", "Pauses", "暂停"),
        ("unreadable", "Unreadable messages", "无法解析的消息"),
        (
            "gateway",
            "The processes of the gateway, and what they see",
            "网关进程及其所见",
        ),
    ];
    let tags = tags.map(|(name, english, chinese)| json!({ "name": name, "description": say(language, english, chinese) }));
    json!(tags)
}

fn paths(language: Language) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in &ENDPOINTS {
        let found = OPERATIONS.iter().find(|doc| doc.is_of(endpoint));
        if let Some(doc) = found {
            let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
            let method = endpoint.method.as_str().to_lowercase();
            item[method] = operation(endpoint, doc, language);
        }
    }
    Value::Object(paths)
}

fn operation(endpoint: &Endpoint, doc: &OperationDoc, language: Language) -> Value {
    let role = endpoint.role.as_str();
    let mut parameters: Vec<Value> = Vec::new();
    if endpoint.path.contains("{id}") {
        parameters.push(parameters::id(doc.tag == "unreadable", language));
    }
    parameters.extend(doc.query.iter().flat_map(|group| group.all(language)));
    let mut operation = json!({
        "operationId": doc.id,
        "tags": [doc.tag],
        "summary": say(language, endpoint.summary, doc.chinese),
        "description": match language {
            Language::English => format!("Needs the role `{role}`."),
            Language::Chinese => format!("需要角色 `{role}`。"),
        },
        "responses": responses(doc, language),
    });
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(body) = doc.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schemas::reference(body) } },
        });
    }
    operation
}

/// What any request may be answered.
const SHARED: [ProblemCode; 8] = [
    ProblemCode::InvalidParameter,
    ProblemCode::Unauthenticated,
    ProblemCode::InsufficientRole,
    ProblemCode::ForeignOrigin,
    ProblemCode::TooManyFailures,
    ProblemCode::Internal,
    ProblemCode::NoJournal,
    ProblemCode::Unavailable,
];

/// What a request with a body may be answered as well.
const OF_BODIES: [ProblemCode; 3] = [
    ProblemCode::InvalidBody,
    ProblemCode::BodyTooLarge,
    ProblemCode::NotJson,
];

fn responses(doc: &OperationDoc, language: Language) -> Value {
    let mut responses = Map::new();
    responses.insert(
        doc.status.to_string(),
        json!({
            "description": say(language, "Done", "成功"),
            "content": { "application/json": { "schema": doc.answer.schema() } },
        }),
    );
    for codes in problems(doc) {
        let status = codes.first().map_or(500, |code| code.status().as_u16());
        let reference = json!({ "$ref": format!("#/components/responses/{}", name(&codes)) });
        responses.insert(status.to_string(), reference);
    }
    Value::Object(responses)
}

/// The problems that an operation may be answered, those of one status together.
fn problems(doc: &OperationDoc) -> Vec<Vec<ProblemCode>> {
    let of_bodies: &[ProblemCode] = if doc.body.is_some() { &OF_BODIES } else { &[] };
    let mut by_status: Vec<Vec<ProblemCode>> = Vec::new();
    for code in [&SHARED[..], of_bodies, doc.problems].concat() {
        let is_its = |codes: &&mut Vec<ProblemCode>| {
            codes
                .first()
                .is_some_and(|first| first.status() == code.status())
        };
        match by_status.iter_mut().find(is_its) {
            Some(codes) => codes.push(code),
            None => by_status.push(vec![code]),
        }
    }
    by_status
}

/// The name of the response with one of these problems.
fn name(codes: &[ProblemCode]) -> String {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    names.join("-")
}

/// The responses with problems of all operations, by name.
fn problem_responses(language: Language) -> Value {
    let all = OPERATIONS.iter().flat_map(problems);
    let responses = all.map(|codes| (name(&codes), problem(&codes, language)));
    Value::Object(responses.collect())
}

/// The response with one of these problems, which have one status.
fn problem(codes: &[ProblemCode], language: Language) -> Value {
    let named = codes.iter().map(|code| {
        let title = code.title();
        let chinese = schema_words::chinese(title).unwrap_or(title);
        format!("`{}`: {}", code.as_str(), say(language, title, chinese))
    });
    let examples = codes.iter().map(|code| {
        let value = json!({ "value": code.example() });
        (code.as_str().to_owned(), value)
    });
    let mut response = json!({
        "description": named.collect::<Vec<_>>().join("; "),
        "content": {
            "application/problem+json": {
                "schema": schemas::reference("Problem"),
                "examples": examples.collect::<Map<_, _>>(),
            },
        },
    });
    let header = |english, chinese, kind| json!({ "description": say(language, english, chinese), "schema": { "type": kind } });
    if codes.contains(&ProblemCode::TooManyFailures) {
        let retry_after = header("Seconds to wait", "应等待的秒数", "integer");
        response["headers"] = json!({ "Retry-After": retry_after });
    }
    if codes.contains(&ProblemCode::Unauthenticated) {
        let challenge = header("How to authenticate", "认证方式", "string");
        response["headers"] = json!({ "WWW-Authenticate": challenge });
    }
    response
}
