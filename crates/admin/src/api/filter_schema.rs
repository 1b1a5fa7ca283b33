//! The filter of lists and of acts on many, for the OpenAPI document.

use std::borrow::Cow;

use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// One condition: a parameter of lists, and a member of the object `filter`.
pub(super) struct FilterParameter {
    pub(super) name: &'static str,
    pub(super) english: &'static str,
    pub(super) chinese: &'static str,
    /// A value that is valid.
    pub(super) example: &'static str,
}

const fn parameter(
    name: &'static str,
    example: &'static str,
    english: &'static str,
    chinese: &'static str,
) -> FilterParameter {
    FilterParameter {
        name,
        english,
        chinese,
        example,
    }
}

/// Every condition.
pub(super) const FILTER: [FilterParameter; 14] = [
    parameter("app_id", "shop", "Of this app", "该应用的"),
    parameter("callee_no", "EO001", "For this callee", "该被回调方的"),
    parameter(
        "target",
        "https://orders.example",
        "For this target: any URL of it",
        "该目标的：可写该目标的任意 URL",
    ),
    parameter("message_type", "order.paid", "Of this type", "该消息类型的"),
    parameter(
        "status",
        "dead",
        "With this status; several are separated by commas",
        "该状态的；多个用逗号分隔",
    ),
    parameter(
        "reason",
        "exhausted",
        "Dead-lettered for this reason",
        "因该原因成为死信的",
    ),
    parameter(
        "deferred_reason",
        "breaker_open",
        "Deferred for this reason",
        "因该原因推迟的",
    ),
    parameter(
        "http_status",
        "503",
        "Whose last attempt was answered with this status",
        "最近一次尝试的应答状态",
    ),
    parameter(
        "dead_since",
        "2026-11-23T22:00:00Z",
        "Dead-lettered at this time or later: RFC 3339 or Unix milliseconds",
        "在此时间或之后成为死信：RFC 3339 或 Unix 毫秒",
    ),
    parameter(
        "dead_until",
        "2026-11-24",
        "Dead-lettered before this time",
        "在此时间之前成为死信",
    ),
    parameter(
        "since",
        "2026-11-23",
        "Accepted at this time or later",
        "在此时间或之后接受",
    ),
    parameter(
        "until",
        "1763900000000",
        "Accepted before this time",
        "在此时间之前接受",
    ),
    parameter(
        "updated_before",
        "2026-11-24T06:00:00+08:00",
        "With nothing recorded since this time",
        "此时间以来没有新记录",
    ),
    parameter(
        "discarded",
        "true",
        "`true`: discarded ones, too",
        "`true`：包括已丢弃的",
    ),
];

impl FilterParameter {
    /// The schema of a value.
    pub(super) fn schema(&self) -> Value {
        match self.name {
            "discarded" => json!({ "type": "boolean" }),
            "http_status" => json!({ "type": "integer", "minimum": 100, "maximum": 599 }),
            _ => json!({ "type": "string", "minLength": 1 }),
        }
    }
}

/// The object `filter`: a callback must match all that is given.
pub(super) struct CallbackFilter;

impl CallbackFilter {
    fn json() -> Value {
        let properties = FILTER.iter().map(|parameter| {
            let mut schema = parameter.schema();
            schema["description"] = json!(parameter.english);
            (parameter.name.to_owned(), schema)
        });
        json!({
            "type": "object",
            "description": "A callback must match all that is given; `{}` selects all that the act is for.",
            "properties": properties.collect::<serde_json::Map<_, _>>(),
            "additionalProperties": false,
        })
    }
}

impl PartialSchema for CallbackFilter {
    fn schema() -> RefOr<Schema> {
        // The tests of the document would find an empty one.
        serde_json::from_value(Self::json()).map_or_else(|_| Schema::default().into(), RefOr::T)
    }
}

impl ToSchema for CallbackFilter {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("CallbackFilter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::query_params;

    #[test]
    fn every_condition_is_read_from_a_query_and_from_json() {
        for FilterParameter { name, example, .. } in FILTER {
            let pair = |value| {
                url::form_urlencoded::Serializer::new(String::new())
                    .append_pair(name, value)
                    .finish()
            };
            assert!(query_params::callbacks(&pair(example)).is_ok(), "{name}");
            assert!(query_params::callbacks(&pair("")).is_err(), "{name}");
            let mut members = serde_json::Map::new();
            members.insert(name.to_owned(), json!(example));
            assert!(query_params::filter(&members).is_ok(), "{name}");
        }
    }
}
