//! Which callbacks does a request mean?

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use journal::{Cursor, Filter, Status};
use uuid::Uuid;

use super::moment;
use super::refusal::Refusal;

/// The most callbacks that one request lists, or touches.
pub(crate) const MOST: u32 = 1_000;
/// As many as are listed, or touched, when nothing is said.
const USUAL: u32 = 100;

/// A question for a page of callbacks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) filter: Filter,
    pub(super) after: Option<Cursor>,
    pub(super) limit: u32,
}

impl Asked {
    /// Reads a query string.
    ///
    /// # Errors
    /// A parameter that is unknown, there twice, empty, or cannot be read.
    pub(super) fn read(query: &str) -> Result<Self, Refusal> {
        let mut asked = Self {
            filter: Filter::default(),
            after: None,
            limit: USUAL,
        };
        let mut seen = HashSet::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !seen.insert(key.clone()) {
                return Err(bad(&key, "is there twice"));
            }
            match &*key {
                "cursor" => asked.after = Some(Cursor(id(&value)?)),
                "limit" => asked.limit = limit(&value)?,
                _ => set(&mut asked.filter, &key, value)?,
            }
        }
        Ok(asked)
    }
}

/// Reads a JSON object's members, each a text, a number or a truth value, as a filter.
///
/// # Errors
/// As [`Asked::read`].
pub(super) fn filter(
    members: &serde_json::Map<String, serde_json::Value>,
) -> Result<Filter, Refusal> {
    let mut filter = Filter::default();
    for (key, value) in members {
        let value = match value {
            serde_json::Value::String(text) => Cow::Borrowed(text.as_str()),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => value.to_string().into(),
            _ => return Err(bad(key, "is neither a text nor a number")),
        };
        set(&mut filter, key, value)?;
    }
    Ok(filter)
}

fn set(filter: &mut Filter, key: &str, value: Cow<'_, str>) -> Result<(), Refusal> {
    if value.trim().is_empty() {
        // Taken as "any", it would touch everything where a script's variable is not set.
        return Err(bad(key, "is empty; leave it out to mean any"));
    }
    let moment = || moment::read(&value).map_err(|reason| bad(key, &reason));
    match key {
        "app_id" => filter.app_id = Some(value.into_owned()),
        "callee_no" => filter.callee_no = Some(value.into_owned()),
        "target" => filter.target = Some(target(&value)),
        "message_type" => filter.message_type = Some(value.into_owned()),
        "reason" => filter.reason = Some(value.into_owned()),
        "status" => {
            let status = value.parse::<Status>();
            filter.status = Some(status.map_err(|reason| bad(key, &reason))?);
        }
        "since" => filter.since = Some(moment()?),
        "until" => filter.until = Some(moment()?),
        "updated_before" => filter.updated_before = Some(moment()?),
        "discarded" => {
            filter.discarded = match &*value {
                "true" => true,
                "false" => false,
                _ => return Err(bad(key, "is neither true nor false")),
            };
        }
        _ => return Err(bad(key, "is not known")),
    }
    Ok(())
}

/// Scheme, host and port as the journal writes them; any URL of the target is good enough.
fn target(text: &str) -> String {
    match delivery::TargetUrl::parse(text) {
        Ok(url) => url.target().to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Reads how many callbacks are meant.
pub(super) fn limit(text: &str) -> Result<u32, Refusal> {
    let limit = text.parse().ok().filter(|it| (1..=MOST).contains(it));
    limit.ok_or_else(|| bad("limit", &format!("is not a number from 1 to {MOST}")))
}

/// Reads a callback's id.
pub(super) fn id(text: &str) -> Result<Uuid, Refusal> {
    let shown = || text.chars().take(50).collect::<String>();
    Uuid::try_parse(text).map_err(|_| Refusal::Bad(format!("{:?} is no request_id", shown())))
}

fn bad(key: &str, what: &str) -> Refusal {
    let key: String = key.chars().take(50).collect();
    Refusal::Bad(format!("parameter {key:?} {what}"))
}

/// The filter in words, for the audit log.
pub(super) fn in_words(filter: &Filter) -> String {
    let mut words = String::new();
    let mut say = |key: &str, value: &dyn std::fmt::Display| {
        let between = if words.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(words, "{between}{key} {value}");
    };
    for (key, value) in [
        ("app_id", &filter.app_id),
        ("callee_no", &filter.callee_no),
        ("target", &filter.target),
        ("message_type", &filter.message_type),
        ("reason", &filter.reason),
    ] {
        if let Some(value) = value {
            say(key, value);
        }
    }
    if let Some(status) = filter.status {
        say("status", &status);
    }
    for (key, value) in [
        ("since", filter.since),
        ("until", filter.until),
        ("updated_before", filter.updated_before),
    ] {
        if let Some(value) = value {
            say(key, &contract::rfc3339(value));
        }
    }
    if words.is_empty() {
        words.push_str("all dead letters");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let asked = Asked::read(
            "app_id=a%20b&callee_no=EO001&target=https://h.example/x&status=dead&message_type=t\
             &reason=exhausted&since=1763900000000&until=2025-11-23T20:13:20%2B08:00&limit=7\
             &updated_before=1763900000001&discarded=true\
             &cursor=0199e6d2-0000-7000-8000-000000000000",
        );
        let filter = Filter {
            app_id: Some("a b".to_owned()),
            callee_no: Some("EO001".to_owned()),
            target: Some("https://h.example:443".to_owned()),
            status: Some(Status::Dead),
            message_type: Some("t".to_owned()),
            reason: Some("exhausted".to_owned()),
            since: Some(1_763_900_000_000),
            until: Some(1_763_900_000_000),
            updated_before: Some(1_763_900_000_001),
            discarded: true,
        };
        let after = Uuid::try_parse("0199e6d2-0000-7000-8000-000000000000").unwrap();
        assert_eq!(
            asked,
            Ok(Asked {
                filter: filter.clone(),
                after: Some(Cursor(after)),
                limit: 7
            })
        );
        assert_eq!(
            in_words(&filter),
            "app_id a b, callee_no EO001, target https://h.example:443, message_type t, \
             reason exhausted, status dead, since 2025-11-23T12:13:20.000Z, \
             until 2025-11-23T12:13:20.000Z, updated_before 2025-11-23T12:13:20.001Z"
        );
        assert_eq!(Asked::read("").unwrap().limit, USUAL);
        assert_eq!(in_words(&Filter::default()), "all dead letters");
    }

    #[test]
    fn what_is_not_understood_is_never_passed_over() {
        for (query, word) in [
            ("app=x", "not known"),
            ("app_id=x&app_id=y", "twice"),
            ("app_id=", "empty"),
            ("status=gone", "no status"),
            ("since=yesterday", "no time"),
            ("limit=0", "1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("cursor=7", "no request_id"),
            ("discarded=1", "neither"),
        ] {
            let refused = Asked::read(query).unwrap_err();
            assert!(matches!(refused, Refusal::Bad(_)), "{query}");
            assert!(refused.to_string().contains(word), "{query}: {refused}");
        }
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
