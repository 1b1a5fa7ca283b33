//! The line of the search box: `app:crm status:dead http:503 since:2h` becomes the filter of a list.

use std::fmt::Write as _;

use contract::CallbackStatus;
use url::form_urlencoded::Serializer;

use super::texts::Texts;
use crate::api::reason::{of_dead_letters, of_waits};
use crate::api::{query_params, timestamp};

/// The fewest digits of an id.
const MIN_ID_DIGITS: usize = 8;
/// How much of a word an error shows.
const MAX_SHOWN: usize = 50;

/// The words before a colon: what each selects, and an example.
pub(super) const KEYS: [(&str, &str); 11] = [
    ("id", "id:01a20a25-46b9"),
    ("app", "app:crm"),
    ("callee", "callee:EO001"),
    ("target", "target:https://host:443"),
    ("type", "type:order.paid"),
    ("status", "status:dead"),
    ("reason", "reason:exhausted"),
    ("http", "http:503"),
    ("outcome", "outcome:timeout"),
    ("since", "since:2h"),
    ("until", "until:2026-11-23T22:00:00Z"),
];

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SearchGoal {
    /// The callback whose id begins like this.
    Id(String),
    /// Callbacks: the query string of their list.
    Callbacks(String),
    /// Dead letters: the query string of their list.
    DeadLetters(String),
}

/// Why a line cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SearchError {
    /// There is nothing in it.
    Empty,
    /// This is no `key:value`.
    Word(String),
    /// There is no such key.
    Key(String),
    /// This key has no value.
    NoValue(&'static str),
    /// This key is there twice.
    Twice(&'static str),
    /// A quotation mark has no second one.
    Quote,
    /// An id stands with other words.
    IdAlone,
    /// What is no value of this key; and what is, in words.
    Value(&'static str, String, String),
}

impl SearchError {
    /// The sentence for a reader.
    pub(super) fn sentence(&self, t: &Texts) -> String {
        match self {
            Self::Empty => t.search_empty.to_owned(),
            Self::Word(word) => format!("{} `{word}`", t.search_word),
            Self::Key(key) => format!("{} `{key}:`", t.search_key),
            Self::NoValue(key) => format!("{} `{key}:`", t.search_no_value),
            Self::Twice(key) => format!("{} `{key}:`", t.search_twice),
            Self::Quote => t.search_quote.to_owned(),
            Self::IdAlone => t.search_id_alone.to_owned(),
            Self::Value(key, value, known) => {
                format!(
                    "{} `{key}:{value}`. {} {known}",
                    t.search_value, t.search_known
                )
            }
        }
    }
}

/// Reads a line, at `now` (Unix ms).
///
/// # Errors
/// What cannot be understood.
pub(super) fn parse(line: &str, now: u64) -> Result<SearchGoal, SearchError> {
    let words = words(line)?;
    let mut conditions: Vec<(&'static str, String)> = Vec::new();
    let mut seen: Vec<&'static str> = Vec::new();
    for word in &words {
        let (key, value) = key_and_value(word)?;
        if value.is_empty() {
            return Err(SearchError::NoValue(key));
        }
        if seen.contains(&key) {
            return Err(SearchError::Twice(key));
        }
        seen.push(key);
        if key == "id" {
            match words.as_slice() {
                [_] => return Ok(SearchGoal::Id(value)),
                _ => return Err(SearchError::IdAlone),
            }
        }
        conditions.push(condition(key, value, now)?);
    }
    if conditions.is_empty() {
        return Err(SearchError::Empty);
    }
    let has = |key: &str| conditions.iter().any(|(name, _)| *name == key);
    let dead_alone = conditions
        .iter()
        .any(|(key, value)| *key == "status" && matches!(&**value, "dead" | "expired"));
    let is_dead = has("reason") && !has("status") || dead_alone;
    let mut query = Serializer::new(String::new());
    for (key, value) in &conditions {
        query.append_pair(key, value);
    }
    Ok(match is_dead {
        true => SearchGoal::DeadLetters(query.finish()),
        false => SearchGoal::Callbacks(query.finish()),
    })
}

/// Splits at white space outside of quotation marks, which are taken away.
fn words(line: &str) -> Result<Vec<String>, SearchError> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut is_quoted = false;
    for char in line.chars() {
        match char {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            space if space.is_whitespace() && !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if is_quoted {
        return Err(SearchError::Quote);
    }
    words.extend(word);
    Ok(words)
}

/// What a word selects by. A URL and an id need no key.
fn key_and_value(word: &str) -> Result<(&'static str, String), SearchError> {
    if word.starts_with("https://") || word.starts_with("http://") {
        return Ok(("target", word.to_owned()));
    }
    let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_id = word
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_id && digits >= MIN_ID_DIGITS {
        return Ok(("id", word.to_owned()));
    }
    let Some((key, value)) = word.split_once(':') else {
        return Err(SearchError::Word(shown(word)));
    };
    let found = KEYS.iter().find(|(name, _)| *name == key);
    let (key, _) = found.ok_or_else(|| SearchError::Key(shown(key)))?;
    Ok((key, value.trim().to_owned()))
}

/// The condition of the list.
fn condition(
    key: &'static str,
    value: String,
    now: u64,
) -> Result<(&'static str, String), SearchError> {
    let unknown = |known: String| SearchError::Value(key, shown(&value), known);
    Ok(match key {
        "app" => ("app_id", value),
        "callee" => ("callee_no", value),
        "type" => ("message_type", value),
        "target" => {
            let target = query_params::target(&value);
            (
                "target",
                target.map_err(|_| unknown("https://host:443".to_owned()))?,
            )
        }
        "status" => {
            let known = statuses();
            let is_known = |one: &str| known.contains(&one);
            match value.split(',').all(|one| is_known(one.trim())) {
                true => ("status", value),
                false => return Err(unknown(known.join(", "))),
            }
        }
        "reason" => {
            if of_dead_letters().any(|name| name == value) {
                return Ok(("reason", value));
            }
            if of_waits().any(|name| name == value) {
                return Ok(("deferred_reason", value));
            }
            let known: Vec<&str> = of_dead_letters().chain(of_waits()).collect();
            return Err(unknown(known.join(", ")));
        }
        "http" => match value.parse::<u16>() {
            Ok(100..=599) => ("http_status", value),
            _ => return Err(unknown("100-599".to_owned())),
        },
        "outcome" => match delivery::retry::OUTCOME_LABELS.contains(&&*value) {
            true => ("outcome", value),
            false => return Err(unknown(delivery::retry::OUTCOME_LABELS.join(", "))),
        },
        // Nothing else has a time.
        since_or_until => {
            let at = time(&value, now);
            let at = at.ok_or_else(|| unknown("30m, 2h, 7d, 2026-11-23T22:00:00Z".to_owned()))?;
            (since_or_until, at.to_string())
        }
    })
}

/// A time, or how long ago it is.
fn time(text: &str, now: u64) -> Option<u64> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Some(now.saturating_sub(contract::duration_ms(ago)));
    }
    timestamp::parse(text).ok()
}

fn statuses() -> Vec<&'static str> {
    let all = CallbackStatus::ALL.into_iter();
    all.map(query_params::name_in_filter).collect()
}

/// What a browser suggests while somebody writes: the last word of a line is theirs to write.
pub(super) fn suggestions() -> Vec<String> {
    let statuses = statuses().into_iter().map(|name| ("status", name));
    let reasons = of_dead_letters().chain(of_waits());
    let reasons = reasons.map(|name| ("reason", name));
    let values = statuses.chain(reasons).map(|(key, name)| {
        let mut word = String::with_capacity(key.len() + 1 + name.len());
        // Writing to a String cannot fail.
        let _ = write!(word, "{key}:{name}");
        word
    });
    let examples = KEYS.iter().map(|(_, example)| (*example).to_owned());
    let mut all: Vec<String> = examples.chain(values).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::console::language::PageLanguage;

    /// 2025-11-23T12:13:20Z
    const NOW: u64 = 1_763_900_000_000;

    #[test]
    fn a_line_becomes_the_filter_of_a_list() {
        let callbacks = |query: &str| Ok(SearchGoal::Callbacks(query.to_owned()));
        let dead = |query: &str| Ok(SearchGoal::DeadLetters(query.to_owned()));
        for (line, goal) in [
            ("app:crm", callbacks("app_id=crm")),
            (
                "  app:\"a b\"   callee:EO001 ",
                callbacks("app_id=a+b&callee_no=EO001"),
            ),
            (
                "status:queued,retrying type:order.paid",
                callbacks("status=queued%2Cretrying&message_type=order.paid"),
            ),
            (
                "reason:exhausted http:503",
                dead("reason=exhausted&http_status=503"),
            ),
            ("status:dead", dead("status=dead")),
            (
                "status:dead,delivered",
                callbacks("status=dead%2Cdelivered"),
            ),
            ("reason:paused", callbacks("deferred_reason=paused")),
            ("outcome:tls", callbacks("outcome=tls")),
            ("since:2h", callbacks("since=1763892800000")),
            ("until:2025-11-23", callbacks("until=1763856000000")),
            (
                "https://h.example/x",
                callbacks("target=https%3A%2F%2Fh.example%3A443"),
            ),
            (
                "01a20a25-46b9",
                Ok(SearchGoal::Id("01a20a25-46b9".to_owned())),
            ),
            ("id:01A20A25", Ok(SearchGoal::Id("01A20A25".to_owned()))),
        ] {
            assert_eq!(parse(line, NOW), goal, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_is_known() {
        for (line, sentence) in [
            ("", "nothing to search for"),
            ("crm", "`crm`"),
            ("application:crm", "`application:`"),
            ("app:", "`app:`"),
            ("app:a app:b", "`app:`"),
            ("app:\"a", "quotation mark"),
            ("id:01a20a25 app:a", "stands alone"),
            ("status:gone", "known: queued, due, retrying"),
            ("reason:tired", "known: exhausted, rejected"),
            ("http:5xx", "100-599"),
            ("outcome:bad", "known: delivered, answered_1xx"),
            ("since:yesterday", "30m, 2h, 7d"),
            ("target:host", "https://host:443"),
        ] {
            let error = parse(line, NOW).unwrap_err();
            let english = error.sentence(Texts::of(PageLanguage::English));
            assert!(
                english.to_lowercase().contains(sentence),
                "{line}: {english}"
            );
            let chinese = error.sentence(Texts::of(PageLanguage::Chinese));
            assert_ne!(chinese, english, "{line}");
        }
    }

    #[test]
    fn every_suggestion_is_understood_by_itself() {
        for suggestion in suggestions() {
            assert!(parse(&suggestion, NOW).is_ok(), "{suggestion}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in "\\PC{0,60}") {
            let _ = parse(&line, NOW);
        }

        #[test]
        fn a_quoted_value_arrives_as_it_was_written(
            app in "[^\"\\pC\\s][^\"\\pC]{0,20}[^\"\\pC\\s]",
            kind in "[a-z.]{1,10}",
        ) {
            let goal = parse(&format!("app:\"{app}\" type:{kind}"), NOW);
            let Ok(SearchGoal::Callbacks(query)) = goal else {
                return Err(TestCaseError::fail(format!("{goal:?}")));
            };
            let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
            prop_assert_eq!(pairs, vec![
                ("app_id".into(), app.as_str().into()),
                ("message_type".into(), kind.as_str().into()),
            ]);
        }
    }
}
