//! What does somebody want done, to which dead letters, and who answers for it?

use std::collections::HashSet;

use journal::{Filter, Status};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::asked::{self, MOST};
use super::refusal::Refusal;

/// The longest name and the longest reason, in bytes.
const MOST_WHO: usize = 200;
const MOST_REASON: usize = 1_000;
/// As many as are touched when nothing is said.
const USUAL: u32 = 100;

/// The body of a request to replay or discard, as it is sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    filter: Option<Map<String, Value>>,
    ids: Option<Vec<String>>,
    limit: Option<u32>,
    dry_run: bool,
    who: Option<String>,
    reason: Option<String>,
}

/// A wish that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) which: Which,
    /// None: to be counted only.
    pub(super) signed: Option<Signed>,
}

/// Which dead letters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// These, as far as they are dead.
    Ids(Vec<Uuid>),
    /// At most `limit` that match, oldest first.
    Matching { filter: Filter, limit: u32 },
}

/// Who wants it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) who: String,
    pub(super) reason: String,
}

impl Wish {
    /// Reads the body of a request, borne by a token of this name if it has one.
    ///
    /// # Errors
    /// A sentence on what is missing or makes no sense.
    pub(super) fn read(body: &[u8], named: Option<&str>) -> Result<Self, Refusal> {
        let body: Body = json(body)?;
        let which = match (body.ids, body.filter) {
            (Some(ids), None) => Which::Ids(read_ids(&ids)?),
            (None, Some(members)) => Which::Matching {
                filter: dead_filter(asked::filter(&members)?)?,
                limit: match body.limit {
                    Some(limit) => asked::limit(&limit.to_string())?,
                    None => USUAL,
                },
            },
            (Some(_), Some(_)) => return Err(bad("give either ids or a filter, not both")),
            (None, None) => return Err(bad("give ids, or a filter ({} means all dead letters)")),
        };
        if body.limit.is_some() && matches!(which, Which::Ids(_)) {
            return Err(bad("a limit goes with a filter, not with ids"));
        }
        let signed = match body.dry_run {
            true => None,
            false => Some(Signed::read(body.who, body.reason, named)?),
        };
        Ok(Self { which, signed })
    }
}

impl Which {
    /// In words, for the audit log.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Matching { filter, .. } => asked::in_words(filter),
            Self::Ids(ids) => match ids.as_slice() {
                [one] => one.to_string(),
                [first, .., last] => format!("{} ids, {first} to {last}", ids.len()),
                [] => "no ids".to_owned(),
            },
        }
    }
}

impl Signed {
    /// Reads who and why. A token with a name has the word; what its bearer tells beside it is put in
    /// brackets.
    ///
    /// # Errors
    /// When one is missing, or more than a line.
    pub(super) fn read(
        who: Option<String>,
        reason: Option<String>,
        named: Option<&str>,
    ) -> Result<Self, Refusal> {
        let text = |key: &str, value: Option<String>, most: usize| {
            let value = value.unwrap_or_default().trim().to_owned();
            if value.is_empty() {
                return Err(bad(&format!(
                    "{key:?} is missing; it goes into the audit log"
                )));
            }
            if value.len() > most || value.contains(char::is_control) {
                let what = format!("{key:?} is more than one line of {most} bytes");
                return Err(bad(&what));
            }
            Ok(value)
        };
        Ok(Self {
            who: match (named, who) {
                (None, who) => text("who", who, MOST_WHO)?,
                (Some(name), None) => name.to_owned(),
                (Some(name), who) => format!("{name} ({})", text("who", who, MOST_WHO)?),
            },
            reason: text("reason", reason, MOST_REASON)?,
        })
    }

    /// Reads the body of a request that needs nothing but who and why.
    ///
    /// # Errors
    /// As [`Wish::read`].
    pub(super) fn read_alone(body: &[u8], named: Option<&str>) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            who: Option<String>,
            reason: Option<String>,
        }
        let Body { who, reason } = json(body)?;
        Self::read(who, reason, named)
    }
}

/// A filter that may be asked of the dead letters.
///
/// # Errors
/// When it asks for another status.
pub(super) fn dead_filter(filter: Filter) -> Result<Filter, Refusal> {
    match filter.status {
        None | Some(Status::Dead | Status::Expired) => Ok(filter),
        Some(status) => Err(bad(&format!(
            "a dead letter is dead or expired, never {status}"
        ))),
    }
}

fn read_ids(texts: &[String]) -> Result<Vec<Uuid>, Refusal> {
    if !(1..=MOST as usize).contains(&texts.len()) {
        return Err(bad(&format!("1 to {MOST} ids are taken at a time")));
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for text in texts {
        let id = asked::id(text)?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Reads a body that is a JSON object.
pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // serde takes a list for a struct, its members in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("the body cannot be read: it is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| bad(&format!("the body cannot be read: {error}")))
}

fn bad(sentence: &str) -> Refusal {
    Refusal::Bad(sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Wish, String> {
        Wish::read(body.as_bytes(), None).map_err(|refused| refused.to_string())
    }

    #[test]
    fn a_wish_names_its_dead_letters_and_is_signed() {
        let wish = read(r#"{"filter":{"app_id":"a"},"limit":7,"who":"me@here","reason":"why"}"#);
        let wish = wish.unwrap();
        let Which::Matching { filter, limit } = &wish.which else {
            panic!("{wish:?}");
        };
        assert_eq!((filter.app_id.as_deref(), *limit), (Some("a"), 7));
        let signed = wish.signed.unwrap();
        assert_eq!((&*signed.who, &*signed.reason), ("me@here", "why"));
        assert_eq!(wish.which.in_words(), "app_id a");
    }

    #[test]
    fn a_named_token_signs_for_its_bearer() {
        let who = |body: &str| {
            Signed::read_alone(body.as_bytes(), Some("ann"))
                .unwrap()
                .who
        };
        assert_eq!(who(r#"{"reason":"r"}"#), "ann");
        assert_eq!(who(r#"{"who":"bob@x","reason":"r"}"#), "ann (bob@x)");
    }

    #[test]
    fn a_dry_run_needs_no_signature() {
        let wish = read(r#"{"filter":{},"dry_run":true}"#).unwrap();
        assert_eq!(wish.signed, None);
        assert_eq!(wish.which.in_words(), "all dead letters");
    }

    #[test]
    fn ids_are_taken_once_each() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let body = format!(r#"{{"ids":["{a}","{b}","{a}"],"who":"w","reason":"r"}}"#);
        let wish = read(&body).unwrap();
        assert_eq!(wish.which, Which::Ids(vec![a, b]));
        assert_eq!(wish.which.in_words(), format!("2 ids, {a} to {b}"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let many = format!(r#"{{"ids":{:?}}}"#, vec!["x"; 1_001]);
        for (body, word) in [
            ("", "cannot be read"),
            ("[]", "cannot be read"),
            (r#"{"filters":{}}"#, "unknown field"),
            (r#"{"who":"w","reason":"r"}"#, "give ids, or a filter"),
            (r#"{"filter":{},"ids":["x"]}"#, "not both"),
            (r#"{"filter":{"app":"x"}}"#, "not known"),
            (r#"{"filter":{"status":"queued"}}"#, "dead or expired"),
            (r#"{"filter":{},"limit":5000}"#, "1 to 1000"),
            (r#"{"filter":{},"reason":"r"}"#, "\"who\" is missing"),
            (
                r#"{"filter":{},"who":"w","reason":" "}"#,
                "\"reason\" is missing",
            ),
            (r#"{"filter":{},"who":"w\n","reason":"a\nb"}"#, "one line"),
            (r#"{"ids":[]}"#, "1 to 1000"),
            (r#"{"ids":["x"]}"#, "no request_id"),
            (&many, "1 to 1000"),
        ] {
            let refused = read(body).unwrap_err();
            assert!(refused.contains(word), "{body}: {refused}");
        }
    }
}
