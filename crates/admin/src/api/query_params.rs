//! Query parameters of the lists, and the filter that they and bulk requests share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use contract::CallbackStatus;
use delivery::DeadLetterReason;
use journal::{Cursor, Filter};
use uuid::Uuid;

use super::error::ApiError;
use super::{reason, timestamp};
use crate::doctor::said::{Said, say};

/// The maximum number of items that one request lists or changes.
pub(crate) const MAX_LIMIT: u32 = 1_000;
/// How many it lists or changes by default.
pub(crate) const DEFAULT_LIMIT: u32 = 100;

/// A request for one page of a list; `C` is the cursor of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageParams<C> {
    pub(super) limit: u32,
    pub(super) after: Option<C>,
}

/// Reads a query string that may hold these parameters, each at most once.
///
/// # Errors
/// A parameter that is unknown or duplicate.
pub(super) fn only(query: &str, known: &[&str]) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = BTreeMap::new();
    for (key, value) in pairs(query)? {
        if !known.contains(&&*key) {
            return Err(unknown(&key));
        }
        found.insert(key.into_owned(), value.into_owned());
    }
    Ok(found)
}

fn pairs(query: &str) -> Result<BTreeMap<Cow<'_, str>, Cow<'_, str>>, ApiError> {
    let mut found = BTreeMap::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if found.contains_key(&key) {
            let shown = shown(&key);
            return Err(ApiError::parameter(say!(
                "duplicate parameter {shown:?}",
                "参数 {shown:?} 重复"
            )));
        }
        found.insert(key, value);
    }
    Ok(found)
}

/// Reads a query string with page parameters only.
///
/// # Errors
/// A parameter that is unknown, duplicate or invalid.
pub(super) fn page<C>(
    query: &str,
    read_cursor: impl Fn(&str) -> Option<C>,
) -> Result<PageParams<C>, ApiError> {
    let mut found = only(query, &["limit", "after"])?;
    let limit = found.remove("limit").map(|text| limit(&text));
    let after = found.remove("after").map(|text| {
        let invalid = || {
            invalid(
                "after",
                &say!("is not a cursor of this list", "不是本列表的位置"),
            )
        };
        read_cursor(&text).ok_or_else(invalid)
    });
    Ok(PageParams {
        limit: limit.transpose()?.unwrap_or(DEFAULT_LIMIT),
        after: after.transpose()?,
    })
}

/// Reads a query string with a filter and page parameters.
///
/// # Errors
/// A parameter that is unknown, duplicate, empty or invalid.
pub(super) fn callbacks(query: &str) -> Result<(Filter, PageParams<Cursor>), ApiError> {
    let mut filter = Filter::default();
    let mut page = PageParams {
        limit: DEFAULT_LIMIT,
        after: None,
    };
    for (key, value) in pairs(query)? {
        match &*key {
            "after" => page.after = Some(Cursor(request_id(&value)?)),
            "limit" => page.limit = limit(&value)?,
            _ => set(&mut filter, &key, value)?,
        }
    }
    Ok((filter, page))
}

/// Reads a filter from a JSON object whose members are texts, numbers or booleans.
pub(super) fn filter(
    members: &serde_json::Map<String, serde_json::Value>,
) -> Result<Filter, ApiError> {
    let mut filter = Filter::default();
    for (key, value) in members {
        let value = match value {
            serde_json::Value::String(text) => Cow::Borrowed(text.as_str()),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => value.to_string().into(),
            serde_json::Value::Null
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => {
                return Err(invalid(
                    key,
                    &say!(
                        "is neither a text nor a number nor a boolean",
                        "既不是文本，也不是数字或布尔值"
                    ),
                ));
            }
        };
        set(&mut filter, key, value)?;
    }
    Ok(filter)
}

fn set(filter: &mut Filter, key: &str, value: Cow<'_, str>) -> Result<(), ApiError> {
    if value.trim().is_empty() {
        // Read as "any", an unset variable of a script would select everything.
        return Err(invalid(
            key,
            &say!("is empty; leave it out to mean any", "为空；不限时请省略"),
        ));
    }
    let timestamp = || timestamp::parse(&value).map_err(|reason| invalid(key, &reason));
    match key {
        "app_id" => filter.app_id = Some(value.into_owned()),
        "callee_no" => filter.callee_no = Some(value.into_owned()),
        "target" => filter.target = Some(target(&value)?),
        "message_type" => filter.message_type = Some(value.into_owned()),
        "reason" => filter.reason = Some(dead_letter_reason(&value)?),
        "deferred_reason" if value == reason::DELAYED => filter.delayed = Some(true),
        "deferred_reason" => {
            filter.deferred_reason = Some(known(key, &value, reason::of_waits())?);
        }
        "status" => set_status(filter, &value)?,
        "outcome" => filter.outcome = Some(known_outcome(&value)?),
        "http_status" => filter.http_status = Some(http_status(&value)?),
        "dead_since" => filter.dead_since = Some(timestamp()?),
        "dead_until" => filter.dead_until = Some(timestamp()?),
        "since" => filter.since = Some(timestamp()?),
        "until" => filter.until = Some(timestamp()?),
        "updated_before" => filter.updated_before = Some(timestamp()?),
        "discarded" => {
            let flag = value.parse();
            filter.discarded = flag.map_err(|_| {
                invalid(
                    key,
                    &say!("is neither true nor false", "既不是 true 也不是 false"),
                )
            })?;
        }
        _ => return Err(unknown(key)),
    }
    Ok(())
}

/// One status, or several separated by commas.
fn set_status(filter: &mut Filter, text: &str) -> Result<(), ApiError> {
    let mut statuses = Vec::new();
    for one in text.split(',') {
        let status = status(one.trim())?;
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    match statuses.as_slice() {
        [one] => filter.status = Some(*one),
        several => {
            let waits = [CallbackStatus::Queued, CallbackStatus::Retrying];
            let has_both = waits.iter().all(|status| several.contains(status));
            if several.contains(&DUE) && !has_both {
                return Err(ApiError::parameter(say!(
                    "due is what is due of queued and retrying: give it alone, or with both",
                    "due 指 queued 与 retrying 中已到期的：请单独使用，或与两者一起使用"
                )));
            }
            filter.statuses = statuses;
        }
    }
    Ok(())
}

/// A filter for it selects what is due: the journal does not know which of these a process holds.
const DUE: CallbackStatus = CallbackStatus::Delivering;

/// The name of a status in a filter.
pub(crate) const fn name_in_filter(status: CallbackStatus) -> &'static str {
    match status {
        DUE => "due",
        other => other.as_str(),
    }
}

fn status(text: &str) -> Result<CallbackStatus, ApiError> {
    if text == DUE.as_str() {
        return Err(ApiError::parameter(say!(
            "which callbacks are being delivered is not in the journal: status=due selects what is due, \
             and /admin/v1/callbacks/ID (`ringback callback show`) says whether a process holds one",
            "回调记录库中没有“正在投递”的信息：status=due 选出已到期的回调；某个回调是否正由进程处理，见 \
             /admin/v1/callbacks/ID（`ringback callback show`）"
        )));
    }
    let mut all = CallbackStatus::ALL.into_iter();
    let found = all.find(|status| name_in_filter(*status) == text);
    found.ok_or_else(|| {
        let known = CallbackStatus::ALL.into_iter().map(name_in_filter);
        unknown_name("status", text, known)
    })
}

/// The name of a reason of dead letters: a mistyped one would find nothing.
fn dead_letter_reason(text: &str) -> Result<String, ApiError> {
    if text == DeadLetterReason::Expired.as_str() {
        return Err(invalid(
            "reason",
            &say!(
                "is a status: write status=expired",
                "是一种状态，请写 status=expired"
            ),
        ));
    }
    known("reason", text, reason::of_dead_letters())
}

/// The label of an outcome: a mistyped one would find nothing.
pub(super) fn known_outcome(text: &str) -> Result<String, ApiError> {
    known("outcome", text, delivery::retry::OUTCOME_LABELS.into_iter())
}

/// A name of this list.
fn known(
    key: &str,
    text: &str,
    names: impl Iterator<Item = &'static str> + Clone,
) -> Result<String, ApiError> {
    match names.clone().find(|name| *name == text) {
        Some(name) => Ok(name.to_owned()),
        None => Err(unknown_name(key, text, names)),
    }
}

fn unknown_name(key: &str, text: &str, names: impl Iterator<Item = &'static str>) -> ApiError {
    let names: Vec<&str> = names.collect();
    let (text, names) = (shown(text), names.join(", "));
    ApiError::parameter(say!(
        "unknown {key} {text:?}; known: {names}",
        "未知的 {key} {text:?}；可用：{names}"
    ))
}

fn http_status(text: &str) -> Result<u16, ApiError> {
    let status = text
        .parse()
        .ok()
        .filter(|status| (100..=599).contains(status));
    status.ok_or_else(|| {
        invalid(
            "http_status",
            &say!(
                "is not an HTTP status: known: 100 to 599",
                "不是 HTTP 状态码（100 至 599）"
            ),
        )
    })
}

/// Scheme, host and port as the journal stores them, from any URL of the target. Anything else would
/// find nothing.
pub(crate) fn target(text: &str) -> Result<String, ApiError> {
    match delivery::TargetUrl::parse(text) {
        Ok(url) => Ok(url.target().to_string()),
        Err(_) => {
            let text = shown(text);
            Err(invalid(
                "target",
                &say!(
                    "must be a URL with its scheme, http or https, such as https://host:8443, not {text:?}",
                    "必须是带 http 或 https 的 URL，例如 https://host:8443，而不是 {text:?}"
                ),
            ))
        }
    }
}

/// Reads a limit.
pub(super) fn limit(text: &str) -> Result<u32, ApiError> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        invalid(
            "limit",
            &say!(
                "is not a number from 1 to {MAX_LIMIT}",
                "不是 1 至 {MAX_LIMIT} 的数字"
            ),
        )
    })
}

/// Reads the whole id of a callback, where its first digits have no meaning: of a cursor.
pub(super) fn request_id(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text).map_err(|_| {
        let text = shown(text);
        ApiError::parameter(say!(
            "{text:?} is not a whole request_id",
            "{text:?} 不是完整的 request_id"
        ))
    })
}

fn unknown(key: &str) -> ApiError {
    let key = shown(key);
    ApiError::parameter(say!("unknown parameter {key:?}", "未知的参数 {key:?}"))
}

fn invalid(key: &str, reason: &Said) -> ApiError {
    let key = shown(key);
    ApiError::parameter(say!("parameter {key:?} {0}", "参数 {key:?}：{0}", *reason))
}

/// The beginning of an untrusted text, for an error message.
fn shown(text: &str) -> String {
    text.chars().take(50).collect()
}

/// The filter in words, for the audit log; `all` if it selects all.
pub(super) fn describe(filter: &Filter, all: &str) -> String {
    let mut words = String::new();
    let mut add = |key: &str, value: &dyn Display| {
        let separator = if words.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(words, "{separator}{key} {value}");
    };
    for (key, value) in [
        ("app_id", &filter.app_id),
        ("callee_no", &filter.callee_no),
        ("target", &filter.target),
        ("message_type", &filter.message_type),
        ("reason", &filter.reason),
        ("deferred_reason", &filter.deferred_reason),
    ] {
        if let Some(value) = value {
            add(key, value);
        }
    }
    if filter.delayed == Some(true) {
        add("deferred_reason", &reason::DELAYED);
    }
    if let Some(status) = filter.status {
        add("status", &name_in_filter(status));
    }
    if !filter.statuses.is_empty() {
        let names: Vec<&str> = filter
            .statuses
            .iter()
            .map(|one| name_in_filter(*one))
            .collect();
        add("status", &names.join(" or "));
    }
    if let Some(outcome) = &filter.outcome {
        add("outcome", outcome);
    }
    if let Some(status) = filter.http_status {
        add("http_status", &status);
    }
    for (key, value) in [
        ("since", filter.since),
        ("until", filter.until),
        ("dead_since", filter.dead_since),
        ("dead_until", filter.dead_until),
        ("updated_before", filter.updated_before),
    ] {
        if let Some(value) = value {
            add(key, &contract::rfc3339(value));
        }
    }
    if words.is_empty() {
        words.push_str(all);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ProblemCode;

    #[test]
    fn every_parameter_is_read() {
        let (filter, page) = callbacks(
            "app_id=a%20b&callee_no=EO001&target=https://h.example/x&status=dead&message_type=t\
             &reason=exhausted&since=1763900000000&until=2025-11-23T20:13:20%2B08:00&limit=7\
             &updated_before=1763900000001&discarded=true\
             &after=0199e6d2-0000-7000-8000-000000000000",
        )
        .unwrap();
        let expected = Filter {
            app_id: Some("a b".to_owned()),
            callee_no: Some("EO001".to_owned()),
            target: Some("https://h.example:443".to_owned()),
            status: Some(CallbackStatus::Dead),
            message_type: Some("t".to_owned()),
            reason: Some("exhausted".to_owned()),
            since: Some(1_763_900_000_000),
            until: Some(1_763_900_000_000),
            updated_before: Some(1_763_900_000_001),
            discarded: true,
            ..Filter::default()
        };
        assert_eq!(filter, expected);
        let after = Uuid::try_parse("0199e6d2-0000-7000-8000-000000000000").unwrap();
        let after = Some(Cursor(after));
        assert_eq!(page, PageParams { limit: 7, after });
        assert_eq!(
            describe(&filter, ""),
            "app_id a b, callee_no EO001, target https://h.example:443, message_type t, \
             reason exhausted, status dead, since 2025-11-23T12:13:20.000Z, \
             until 2025-11-23T12:13:20.000Z, updated_before 2025-11-23T12:13:20.001Z"
        );
        assert_eq!(callbacks("").unwrap().1.limit, DEFAULT_LIMIT);
        assert_eq!(describe(&Filter::default(), "all"), "all");
    }

    #[test]
    fn an_invalid_parameter_is_never_ignored() {
        for (query, sentence) in [
            ("app=x", "unknown parameter \"app\""),
            ("app_id=x&app_id=y", "duplicate parameter \"app_id\""),
            ("app_id=", "parameter \"app_id\" is empty"),
            (
                "status=shop",
                "unknown status \"shop\"; known: queued, due, retrying, delivered, dead, \
                 expired, cancelled, unaccounted",
            ),
            (
                "reason=exausted",
                "unknown reason \"exausted\"; known: exhausted, rejected, redirected, \
                 address_refused, delivery_limit, unknown",
            ),
            ("reason=expired", "write status=expired"),
            ("since=yesterday", "is not a timestamp"),
            ("limit=0", "1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("after=7", "\"7\" is not a whole request_id"),
            (
                "target=h.example:8443",
                "parameter \"target\" must be a URL with its scheme, http or https, such as \
                 https://host:8443, not \"h.example:8443\"",
            ),
            ("target=h.example", "must be a URL with its scheme"),
            ("target=ftp://h.example", "must be a URL with its scheme"),
            ("discarded=1", "neither true nor false"),
            (
                "status=dead,shop",
                "unknown status \"shop\"; known: queued, ",
            ),
            ("status=dead,due", "give it alone"),
            ("status=delivering", "status=due selects what is due"),
            ("reason=tired", "known: exhausted, rejected,"),
            ("deferred_reason=tired", "known: in_flight, rate,"),
            ("outcome=tired", "unknown outcome \"tired\"; known: "),
            ("http_status=99", "100 to 599"),
            ("http_status=5xx", "100 to 599"),
            ("dead_since=soon", "is not a timestamp"),
        ] {
            let error = callbacks(query).unwrap_err();
            assert_eq!(error.code(), ProblemCode::InvalidParameter, "{query}");
            assert!(error.to_string().contains(sentence), "{query}: {error}");
        }
        let number = |text: &str| text.parse::<u64>().ok();
        for query in ["app_id=x", "limit=1&limit=2", "limit=x", "after=x"] {
            assert!(page(query, number).is_err(), "{query}");
        }
        let (limit, after) = (2, Some(7));
        assert_eq!(
            page("limit=2&after=7", number),
            Ok(PageParams { limit, after })
        );
    }

    #[test]
    fn several_statuses_and_what_an_attempt_said_are_conditions_too() {
        let query = "status=retrying,queued&http_status=503&outcome=answered_5xx\
                     &deferred_reason=breaker_open\
                     &dead_since=1763900000000&dead_until=1763900000001";
        let (filter, _) = callbacks(query).unwrap();
        let statuses = vec![CallbackStatus::Retrying, CallbackStatus::Queued];
        assert_eq!((filter.status, &filter.statuses), (None, &statuses));
        assert_eq!(filter.http_status, Some(503));
        assert_eq!(filter.outcome.as_deref(), Some("answered_5xx"));
        assert_eq!(
            describe(&filter, ""),
            "deferred_reason breaker_open, status retrying or queued, \
             outcome answered_5xx, http_status 503, \
             dead_since 2025-11-23T12:13:20.000Z, dead_until 2025-11-23T12:13:20.001Z"
        );
        let (delayed, _) = callbacks("deferred_reason=delayed").unwrap();
        assert_eq!(
            (delayed.delayed, &delayed.deferred_reason),
            (Some(true), &None)
        );
        assert_eq!(describe(&delayed, ""), "deferred_reason delayed");
        let (due, _) = callbacks("status=due").unwrap();
        assert_eq!(due.status, Some(CallbackStatus::Delivering));
        assert_eq!(describe(&due, ""), "status due");
        let (one, _) = callbacks("status=dead,dead").unwrap();
        assert_eq!(one.status, Some(CallbackStatus::Dead));
    }

    #[test]
    fn a_filter_in_json_is_the_same_filter() {
        let members = serde_json::json!({"app_id": "a", "since": 1_763_900_000_000_u64});
        let read = filter(members.as_object().unwrap()).unwrap();
        assert_eq!(read.app_id.as_deref(), Some("a"));
        assert_eq!(read.since, Some(1_763_900_000_000));
        let members = serde_json::json!({"app_id": null});
        assert!(filter(members.as_object().unwrap()).is_err());
    }
}
