//! The body of an act on many callbacks: which ones, who asks, and why.

use std::collections::HashSet;

use contract::CallbackStatus;
use journal::Filter;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::body;
use super::error::ApiError;
use super::filter_schema::CallbackFilter;
use super::query_params::{self, DEFAULT_LIMIT, MAX_LIMIT};
use super::request_ids::WrittenId;
use crate::doctor::said::say;

/// The reason in the audit log where none was given.
pub(super) const NO_REASON: &str = "no reason given";
const MAX_ACTOR_BYTES: usize = 200;
const MAX_REASON_BYTES: usize = 1_000;
/// Up to so many ids are listed in the audit log. They fit into its subject.
const MAX_LISTED_IDS: usize = 100;

/// Why a step takes no rate.
pub(super) const RATE_OF_A_DRY_RUN: &str =
    "\"rate\" is of a dry run: who sends steps sends them at the pace of their choice";

/// The body as it is sent.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BulkBody {
    #[schema(value_type = Option<CallbackFilter>)]
    filter: Option<Map<String, Value>>,
    /// Instead of a filter: whole ids.
    ids: Option<Vec<String>>,
    /// With a filter: at most so many in this step.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// A dry run of retry now: how many a second are going to be sent.
    rate: Option<u32>,
    /// Only count.
    dry_run: bool,
    /// Who acts; for the audit log. May be left out with a named token.
    actor: Option<String>,
    /// Why; for the audit log.
    reason: Option<String>,
    /// Requests with the same operation share an entry of the audit log: a UUID.
    operation: Option<String>,
    /// Erase: the `next` of the step before.
    after: Option<String>,
    /// Erase: what waits is cancelled first.
    cancel: Option<bool>,
    /// Recover: whatever the queues hold.
    force: Option<bool>,
}

/// A body that holds nothing but the actor and the reason.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActorBody {
    /// Who acts; for the audit log. May be left out with a named token.
    actor: Option<String>,
    /// Why; for the audit log.
    reason: Option<String>,
}

/// What is done to the selected callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BulkAct {
    /// Replay of dead letters.
    ReplayDead,
    /// Discard of dead letters.
    Discard,
    /// The next attempt at once, for what waits.
    RetryNow,
    /// Cancellation of what waits.
    Cancel,
    /// Replay of what was delivered or dead-lettered.
    Replay,
    /// Erasure of personal data.
    Erase,
    /// What waits, after the broker lost its messages.
    Recover,
}

/// A valid request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BulkRequest {
    pub(super) selection: Selection,
    /// None: a dry run, which only counts.
    pub(super) actor: Option<Actor>,
    /// Erase: begins after this callback.
    pub(super) after: Option<Uuid>,
    /// Erase: what waits is cancelled first.
    pub(super) cancel: bool,
    /// Recover: whatever the queues hold.
    pub(super) force: bool,
    /// A dry run of retry now: how many a second are going to be taken.
    pub(super) rate: Option<u32>,
}

/// Which callbacks are selected.
#[expect(clippy::large_enum_variant, reason = "one in each request")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// Those of these ids to which it can be done.
    Ids(Vec<Uuid>),
    /// At most `limit` that match, oldest first.
    Matching { filter: Filter, limit: u32 },
}

/// Who acts, and why; for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(super) name: String,
    pub(super) reason: String,
    /// Requests with the same operation share an entry of the audit log.
    pub(super) operation: Option<Uuid>,
}

impl BulkRequest {
    /// Parses the body of this act. `token_name` is the name of the request's token, if it has one.
    /// Ids must be whole.
    ///
    /// # Errors
    /// What is missing or invalid.
    pub(super) fn parse(
        body: &[u8],
        token_name: Option<&str>,
        act: BulkAct,
    ) -> Result<Self, ApiError> {
        let body: BulkBody = body::parse(body)?;
        for (key, given, only_of) in [
            ("after", body.after.is_some(), BulkAct::Erase),
            ("cancel", body.cancel.is_some(), BulkAct::Erase),
            ("force", body.force.is_some(), BulkAct::Recover),
            ("rate", body.rate.is_some(), BulkAct::RetryNow),
        ] {
            if given && act != only_of {
                return Err(ApiError::body(format!("{key:?} is of another command")));
            }
        }
        if body.rate.is_some() && !body.dry_run {
            return Err(ApiError::body(RATE_OF_A_DRY_RUN));
        }
        if act == BulkAct::Recover && body.ids.is_some() {
            return Err(ApiError::body("recover takes a filter: {} selects all"));
        }
        let selection = match (body.ids, body.filter) {
            (Some(ids), None) => Selection::Ids(unique(parse_ids(&ids)?)),
            (None, Some(members)) => Selection::Matching {
                filter: act.filter(query_params::filter(&members)?)?,
                limit: match body.limit {
                    Some(limit) => query_params::limit(&limit.to_string())?,
                    None => DEFAULT_LIMIT,
                },
            },
            (Some(_), Some(_)) => {
                return Err(ApiError::body("give either ids or a filter, not both"));
            }
            (None, None) => {
                let all = act.all();
                let sentence = format!("give ids, or a filter ({{}} selects {all})");
                return Err(ApiError::body(sentence));
            }
        };
        if body.limit.is_some() && matches!(selection, Selection::Ids(_)) {
            return Err(ApiError::body("limit is valid with a filter only"));
        }
        let actor = match body.dry_run {
            true => None,
            false => Some(Actor::of_operation(
                (body.actor, body.reason),
                body.operation.as_deref(),
                token_name,
            )?),
        };
        Ok(Self {
            selection,
            actor,
            after: body
                .after
                .as_deref()
                .map(query_params::request_id)
                .transpose()?,
            cancel: body.cancel.unwrap_or_default(),
            force: body.force.unwrap_or_default(),
            rate: body.rate,
        })
    }
}

impl BulkAct {
    /// What an empty filter selects, in words.
    const fn all(self) -> &'static str {
        match self {
            Self::ReplayDead | Self::Discard => "all dead letters",
            Self::RetryNow | Self::Cancel | Self::Recover => "all that waits",
            Self::Replay | Self::Erase => "nothing",
        }
    }

    /// Checks that a filter can select what this is done to, and adds what it implies.
    ///
    /// # Errors
    /// When it selects nothing of that, or too much.
    pub(super) fn filter(self, filter: Filter) -> Result<Filter, ApiError> {
        match self {
            Self::ReplayDead | Self::Discard => dead_letter_filter(filter),
            Self::RetryNow => Ok(without_delayed(waiting_filter(filter, false)?)),
            Self::Recover => waiting_filter(filter, false),
            Self::Cancel => waiting_filter(filter, true),
            Self::Replay => ended_filter(filter),
            Self::Erase if filter.app_id.is_none() => Err(ApiError::parameter(say!(
                "erase takes ids, or a filter with an app_id",
                "抹除需要 id，或带 app_id 的条件"
            ))),
            Self::Erase => Ok(filter),
        }
    }
}

/// A caller's delay is not ended by an act on many, unless the filter says what is waited for.
fn without_delayed(mut filter: Filter) -> Filter {
    if filter.delayed.is_none() && filter.deferred_reason.is_none() {
        filter.delayed = Some(false);
    }
    filter
}

/// Checks that a filter can select callbacks that wait, and with `unaccounted` those that are unaccounted.
///
/// # Errors
/// When it asks for others.
pub(super) fn waiting_filter(mut filter: Filter, unaccounted: bool) -> Result<Filter, ApiError> {
    let of_death = filter.dead_since.is_some() || filter.dead_until.is_some();
    if of_death || filter.reason.is_some() {
        return Err(ApiError::parameter(say!(
            "reason, dead_since and dead_until select dead letters, and those do not wait: \
             dead letters are replayed",
            "reason、dead_since 与 dead_until 只选出死信，而死信并不等待：死信应当重放"
        )));
    }
    let waits = |status: &CallbackStatus| {
        status.is_unfinished() || unaccounted && *status == CallbackStatus::Unaccounted
    };
    let asked = filter.status.iter().chain(&filter.statuses);
    if let Some(other) = asked.copied().find(|status| !waits(status)) {
        let (others, others_zh) = match unaccounted {
            true => (", due or unaccounted", "、due 或 unaccounted"),
            false => (" or due", " 或 due"),
        };
        let name = query_params::name_in_filter(other);
        return Err(ApiError::parameter(say!(
            "what is {name} does not wait: the status is queued, retrying{others}",
            "{name} 状态的回调并不等待：可用的状态为 queued、retrying{others_zh}"
        )));
    }
    if filter.status.is_none() && filter.statuses.is_empty() {
        filter.statuses = vec![CallbackStatus::Queued, CallbackStatus::Retrying];
        filter
            .statuses
            .extend(unaccounted.then_some(CallbackStatus::Unaccounted));
    }
    Ok(filter)
}

/// Checks that a filter says which ended callbacks it means: a replay of all that was delivered must
/// not begin with a forgotten option.
fn ended_filter(filter: Filter) -> Result<Filter, ApiError> {
    let asked: Vec<CallbackStatus> = filter
        .status
        .into_iter()
        .chain(filter.statuses.clone())
        .collect();
    if asked.is_empty() {
        return Err(ApiError::parameter(say!(
            "say which status is replayed: delivered, dead or expired",
            "请指明重放哪种状态：delivered、dead 或 expired"
        )));
    }
    let replayable = |status: &CallbackStatus| {
        matches!(
            status,
            CallbackStatus::Delivered | CallbackStatus::Dead | CallbackStatus::Expired
        )
    };
    match asked.into_iter().find(|status| !replayable(status)) {
        None => Ok(filter),
        Some(other) => {
            let name = query_params::name_in_filter(other);
            Err(ApiError::parameter(say!(
                "what is {name} cannot be replayed: the status is delivered, dead or expired",
                "{name} 状态的回调不能重放：可用的状态为 delivered、dead 或 expired"
            )))
        }
    }
}

impl Selection {
    /// In words, for the audit log.
    pub(super) fn describe(&self, act: BulkAct) -> String {
        match self {
            Self::Matching { filter, .. } => query_params::describe(filter, act.all()),
            Self::Ids(ids) => match ids.as_slice() {
                [one] => one.to_string(),
                [first, .., last] if ids.len() > MAX_LISTED_IDS => {
                    format!("{} ids, {first} to {last}", ids.len())
                }
                many => {
                    let listed: Vec<String> = many.iter().map(Uuid::to_string).collect();
                    format!("{} ids: {}", many.len(), listed.join(", "))
                }
            },
        }
    }
}

impl Actor {
    /// Checks who acts and why. The name of a token comes first; what the request adds follows in
    /// brackets.
    ///
    /// # Errors
    /// When one is missing, too long, or more than one line.
    pub(crate) fn new(
        actor: Option<String>,
        reason: Option<String>,
        token_name: Option<&str>,
    ) -> Result<Self, ApiError> {
        let check = |key: &str, chinese: &str, value: Option<String>, max: usize| {
            let value = value.unwrap_or_default().trim().to_owned();
            if value.is_empty() {
                return Err(ApiError::body(say!(
                    "{key:?} is missing; it is written to the audit log",
                    "请填写{chinese}，它会写入审计日志"
                )));
            }
            if value.len() > max || value.contains(char::is_control) {
                return Err(ApiError::body(say!(
                    "{key:?} must be one line of at most {max} bytes",
                    "{chinese}只能是一行，且不超过 {max} 字节"
                )));
            }
            Ok(value)
        };
        Ok(Self {
            name: match (token_name, actor) {
                (None, actor) => check("actor", "姓名", actor, MAX_ACTOR_BYTES)?,
                (Some(name), None) => name.to_owned(),
                (Some(name), actor) => {
                    format!(
                        "{name} ({})",
                        check("actor", "姓名", actor, MAX_ACTOR_BYTES)?
                    )
                }
            },
            reason: check("reason", "理由", reason, MAX_REASON_BYTES)?,
            operation: None,
        })
    }

    /// Who stops something. A name or reason that is missing or cannot be written does not hold the stop up.
    pub(crate) fn who_stops(actor: &str, reason: String, token_name: Option<&str>) -> Self {
        let named = |name: &str| {
            let actor = Some(name.to_owned()).filter(|name| !name.trim().is_empty());
            Self::new(actor, Some(NO_REASON.to_owned()), token_name).ok()
        };
        let name = named(actor).or_else(|| named(""));
        let name = name.map_or_else(|| "unnamed".to_owned(), |actor| actor.name);
        Self::new(None, Some(reason), Some(&name)).unwrap_or_else(|_| Self {
            name,
            reason: NO_REASON.to_owned(),
            operation: None,
        })
    }

    /// The gateway itself, for this reason.
    pub(super) fn of_gateway(reason: &str) -> Self {
        Self {
            name: "ringback".to_owned(),
            reason: reason.to_owned(),
            operation: None,
        }
    }

    /// The same, of a step of this operation.
    pub(super) fn of(self, operation: Uuid) -> Self {
        Self {
            operation: Some(operation),
            ..self
        }
    }

    /// The same, of one step of a command.
    pub(super) fn of_operation(
        (actor, reason): (Option<String>, Option<String>),
        id: Option<&str>,
        token_name: Option<&str>,
    ) -> Result<Self, ApiError> {
        let operation = id.map(operation).transpose()?;
        Ok(Self {
            operation,
            ..Self::new(actor, reason, token_name)?
        })
    }

    /// Parses a body that holds nothing but the actor and the reason.
    pub(super) fn parse(body: &[u8], token_name: Option<&str>) -> Result<Self, ApiError> {
        let ActorBody { actor, reason } = body::parse(body)?;
        Self::new(actor, reason, token_name)
    }
}

/// Checks that a filter can select dead letters.
///
/// # Errors
/// When it asks for another status.
pub(super) fn dead_letter_filter(filter: Filter) -> Result<Filter, ApiError> {
    let other = filter.statuses.iter().copied();
    let mut other =
        other.filter(|status| !matches!(status, CallbackStatus::Dead | CallbackStatus::Expired));
    match filter.status.or_else(|| other.next()) {
        None | Some(CallbackStatus::Dead | CallbackStatus::Expired) => Ok(filter),
        Some(CallbackStatus::Unaccounted) => Err(ApiError::parameter(say!(
            "an unaccounted callback cannot be replayed or discarded: no body of it is left; its \
             caller must send it again",
            "下落不明的回调不能重放或丢弃：其内容已不存在，须由调用方重新提交"
        ))),
        Some(status) => {
            let name = query_params::name_in_filter(status);
            Err(ApiError::parameter(say!(
                "the status of a dead letter is dead or expired, never {name}",
                "死信的状态是 dead 或 expired，不会是 {name}"
            )))
        }
    }
}

/// Parses the id that requests of one operation share.
pub(super) fn operation(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text).map_err(|_| ApiError::body("\"operation\" is not a UUID"))
}

fn parse_ids(texts: &[String]) -> Result<Vec<Uuid>, ApiError> {
    if !(1..=MAX_LIMIT as usize).contains(&texts.len()) {
        return Err(ApiError::body(format!("give 1 to {MAX_LIMIT} ids")));
    }
    let ids = texts.iter().map(|text| WrittenId::of_act(text));
    ids.collect()
}

/// Each once, in order.
fn unique(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

#[cfg(test)]
mod tests {
    use journal::MAX_AUDIT_SUBJECT;

    use super::*;

    fn parse(body: &str) -> Result<BulkRequest, String> {
        BulkRequest::parse(body.as_bytes(), None, BulkAct::ReplayDead)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_stop_has_the_name_of_its_token_or_the_one_that_was_given_and_needs_neither() {
        let name = |actor: &str, token| Actor::who_stops(actor, String::new(), token).name;
        assert_eq!(name("ann", None), "ann");
        assert_eq!(name("ann", Some("ops")), "ops (ann)");
        assert_eq!(name(" ", Some("ops")), "ops");
        assert_eq!(name("two\nlines", Some("ops")), "ops");
        assert_eq!(name("", None), "unnamed");
        let why = Actor::who_stops("ann", "too fast".to_owned(), None).reason;
        assert_eq!(why, "too fast");
    }

    #[test]
    fn a_request_selects_its_dead_letters_and_names_its_actor() {
        let body = r#"{"filter":{"app_id":"a"},"limit":7,"actor":"me@here","reason":"why"}"#;
        let request = parse(body).unwrap();
        let Selection::Matching { filter, limit } = &request.selection else {
            panic!("{request:?}");
        };
        assert_eq!((filter.app_id.as_deref(), *limit), (Some("a"), 7));
        let actor = request.actor.unwrap();
        assert_eq!((&*actor.name, &*actor.reason), ("me@here", "why"));
        assert_eq!(request.selection.describe(BulkAct::ReplayDead), "app_id a");
    }

    #[test]
    fn the_name_of_a_token_comes_first() {
        let name = |body: &str| Actor::parse(body.as_bytes(), Some("ann")).unwrap().name;
        assert_eq!(name(r#"{"reason":"r"}"#), "ann");
        assert_eq!(name(r#"{"actor":"bob@x","reason":"r"}"#), "ann (bob@x)");
    }

    #[test]
    fn a_dry_run_needs_no_actor() {
        let request = parse(r#"{"filter":{},"dry_run":true}"#).unwrap();
        assert_eq!(request.actor, None);
        assert_eq!(
            request.selection.describe(BulkAct::ReplayDead),
            "all dead letters"
        );
    }

    #[test]
    fn duplicate_ids_count_once() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let body = format!(r#"{{"ids":["{a}","{b}","{a}"],"actor":"w","reason":"r"}}"#);
        let request = parse(&body).unwrap();
        assert_eq!(request.selection, Selection::Ids(vec![a, b]));
        assert_eq!(
            request.selection.describe(BulkAct::ReplayDead),
            format!("2 ids: {a}, {b}")
        );
        let many: Vec<Uuid> = (1..=101).map(Uuid::from_u128).collect();
        let last = many[100];
        let listed = Selection::Ids(many[..100].to_vec()).describe(BulkAct::Discard);
        assert!(listed.ends_with(&many[99].to_string()) && listed.len() < MAX_AUDIT_SUBJECT);
        let described = Selection::Ids(many).describe(BulkAct::Discard);
        assert_eq!(described, format!("101 ids, {a} to {last}"));
    }

    #[test]
    fn a_filter_selects_only_what_the_act_can_be_done_to() {
        let parse = |act, filter: &str| {
            let body = format!(r#"{{"filter":{filter},"dry_run":true}}"#);
            let parsed = BulkRequest::parse(body.as_bytes(), None, act);
            parsed
                .map(|request| match request.selection {
                    Selection::Matching { filter, .. } => filter.statuses.len(),
                    Selection::Ids(ids) => panic!("{ids:?}"),
                })
                .map_err(|error| error.to_string())
        };
        for (act, filter, expected) in [
            (BulkAct::RetryNow, "{}", Ok(2)),
            (BulkAct::Cancel, "{}", Ok(3)),
            (BulkAct::Cancel, r#"{"status":"unaccounted"}"#, Ok(0)),
            (
                BulkAct::RetryNow,
                r#"{"status":"unaccounted"}"#,
                Err("does not wait"),
            ),
            (
                BulkAct::RetryNow,
                r#"{"status":"queued,dead"}"#,
                Err("what is dead"),
            ),
            (
                BulkAct::Cancel,
                r#"{"reason":"exhausted"}"#,
                Err("select dead letters"),
            ),
            (
                BulkAct::Recover,
                r#"{"dead_since":"2026-01-01"}"#,
                Err("select dead letters"),
            ),
            (BulkAct::Replay, "{}", Err("say which status")),
            (BulkAct::Replay, r#"{"status":"delivered,dead"}"#, Ok(2)),
            (
                BulkAct::Replay,
                r#"{"status":"cancelled"}"#,
                Err("cannot be replayed"),
            ),
            (
                BulkAct::Erase,
                r#"{"status":"dead"}"#,
                Err("with an app_id"),
            ),
            (BulkAct::Erase, r#"{"app_id":"a"}"#, Ok(0)),
        ] {
            match (parse(act, filter), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{act:?} {filter}"),
                (Err(found), Err(expected)) => {
                    assert!(found.contains(expected), "{act:?} {filter}: {found}");
                }
                other => panic!("{act:?} {filter}: {other:?}"),
            }
        }
        let body = r#"{"filter":{},"dry_run":true,"force":true}"#;
        let refused = BulkRequest::parse(body.as_bytes(), None, BulkAct::Cancel);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("of another command")
        );
    }

    #[test]
    fn an_invalid_body_is_rejected() {
        let many = format!(r#"{{"ids":{:?}}}"#, vec!["x"; 1_001]);
        for (body, sentence) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{", "cannot be read"),
            (r#"{"filters":{}}"#, "unknown field"),
            (r#"{"actor":"w","reason":"r"}"#, "give ids, or a filter"),
            (r#"{"filter":{},"ids":["x"]}"#, "not both"),
            (r#"{"filter":{"app":"x"}}"#, "unknown parameter \"app\""),
            (r#"{"filter":{"status":"queued"}}"#, "dead or expired"),
            (r#"{"filter":{},"limit":5000}"#, "1 to 1000"),
            (r#"{"filter":{},"reason":"r"}"#, "\"actor\" is missing"),
            (
                r#"{"filter":{},"actor":"w","reason":" "}"#,
                "\"reason\" is missing",
            ),
            (r#"{"filter":{},"actor":"w\n","reason":"a\nb"}"#, "one line"),
            (
                r#"{"filter":{},"actor":"w","reason":"r","operation":"7"}"#,
                "not a UUID",
            ),
            (r#"{"ids":[]}"#, "1 to 1000"),
            (r#"{"ids":["x"]}"#, "\"x\" is not a request_id"),
            (
                r#"{"ids":["01a20a25"],"dry_run":true}"#,
                "an act needs the whole request_id",
            ),
            (&many, "1 to 1000"),
        ] {
            let error = parse(body).unwrap_err();
            assert!(error.contains(sentence), "{body}: {error}");
        }
    }
}
