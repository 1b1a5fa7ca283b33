//! The parameters of queries and paths.

use contract::Language;
use serde_json::{Value, json};

use super::words::say;
use crate::api::filter_schema::FILTER;
use crate::api::query_params::MAX_LIMIT;

/// Parameters that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterGroup {
    /// The page of a list.
    Page,
    /// The filter of callbacks.
    Filter,
    /// Who acts or looks, and why.
    Actor,
    /// What a pause is of.
    Selectors,
    /// Those of the stats.
    Stats,
    /// Those of the attempts that ended a moment ago.
    Attempts,
    /// Those of the question to the guard.
    Guard,
}

impl ParameterGroup {
    pub(super) fn all(self, language: Language) -> Vec<Value> {
        let text = || json!({ "type": "string", "minLength": 1 });
        let one = |name: &str, schema: Value, english, chinese| {
            parameter(name, &schema, say(language, english, chinese))
        };
        match self {
            Self::Page => vec![
                one(
                    "limit",
                    json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT }),
                    "How many items; 100 if absent",
                    "条数；默认 100",
                ),
                one(
                    "after",
                    text(),
                    "The `next` of the page before",
                    "上一页的 `next`",
                ),
            ],
            Self::Filter => {
                let filter = FILTER.iter().map(|condition| {
                    let words = say(language, condition.english, condition.chinese);
                    let mut parameter = parameter(condition.name, &condition.schema(), words);
                    let schema = &mut parameter["schema"];
                    if schema["type"] == "string" {
                        schema["examples"] = json!([condition.example]);
                    }
                    parameter
                });
                filter.collect()
            }
            Self::Actor => vec![
                one(
                    "actor",
                    text(),
                    "Who acts; may be left out with a named token",
                    "操作人；使用具名令牌时可省略",
                ),
                one(
                    "reason",
                    text(),
                    "Why; for the audit log",
                    "原因；写入审计日志",
                ),
            ],
            Self::Selectors => vec![
                one(
                    "callee_no",
                    text(),
                    "A registered callee",
                    "已登记的被回调方",
                ),
                one(
                    "target",
                    text(),
                    "A target: any URL of it",
                    "目标：可写其任意 URL",
                ),
                one("app_id", text(), "An app", "应用"),
                one("message_type", text(), "A type of message", "消息类型"),
                one(
                    "switch",
                    json!({ "type": "string", "enum": ["intake", "deliveries"] }),
                    "All intake, or all deliveries",
                    "全部接收或全部投递",
                ),
            ],
            Self::Stats => vec![
                one("callee", text(), "Of this callee", "该被回调方的"),
                one("target", text(), "Of this target", "该目标的"),
                one("app", text(), "Of this app", "该应用的"),
                one(
                    "from",
                    text(),
                    "The begin; 24 hours ago if absent",
                    "开始时间；默认 24 小时前",
                ),
                one("to", text(), "The end; now if absent", "结束时间；默认现在"),
                one(
                    "step",
                    text(),
                    "Whole minutes that are added up, such as `15m`",
                    "合并的整分钟数，例如 `15m`",
                ),
            ],
            Self::Attempts => {
                let mut all = vec![one(
                    "seconds",
                    json!({ "type": "integer", "minimum": 1, "maximum": 30 }),
                    "How far back; 5 if absent",
                    "向前多少秒；默认 5",
                )];
                for name in ["app_id", "callee_no", "target", "message_type"] {
                    all.push(one(name, text(), "As for lists", "与列表相同"));
                }
                let outcome = json!({ "type": "string", "enum": delivery::retry::OUTCOME_LABELS });
                all.push(one("outcome", outcome, "With this outcome", "该结果的"));
                let failed = json!({ "type": "boolean" });
                all.push(one(
                    "failed",
                    failed,
                    "`true`: those that did not deliver",
                    "`true`：未送达的",
                ));
                all
            }
            Self::Guard => {
                let mut target = one(
                    "target",
                    text(),
                    "A URL, or the number of a callee",
                    "URL 或被回调方编号",
                );
                target["required"] = json!(true);
                vec![
                    target,
                    one(
                        "app_id",
                        text(),
                        "The app whose rules apply",
                        "适用其规则的应用",
                    ),
                    one(
                        "addresses",
                        text(),
                        "IP addresses, separated by commas, in place of what the name resolves to",
                        "代替域名解析结果的 IP 地址，用逗号分隔",
                    ),
                ]
            }
        }
    }
}

/// The id in the path.
pub(super) fn id(is_of_a_message: bool, language: Language) -> Value {
    let (english, chinese) = match is_of_a_message {
        true => ("The id of the message", "消息编号"),
        false => (
            "The `request_id`; where it is only read, its first 8 digits or more will do",
            "`request_id`；只读时可只写前 8 位或更多",
        ),
    };
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": say(language, english, chinese),
        "schema": { "type": "string" },
    })
}

fn parameter(name: &str, schema: &Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}
