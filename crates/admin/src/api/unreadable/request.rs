//! Which unreadable messages a request selects, and what is done to them.

use serde::Deserialize;
use utoipa::ToSchema;

use super::body;
use crate::api::audit::AuditAction;
use crate::api::body as api_body;
use crate::api::bulk_request::{self, Actor};
use crate::api::error::ApiError;
use crate::api::query_params::{self, MAX_LIMIT};

/// How many of the oldest messages are looked at.
pub(super) const MAX_HELD: u16 = 200;

/// How many ids the audit log names.
const MAX_LISTED_IDS: usize = 100;

/// What is done to unreadable messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnreadableAction {
    Requeue,
    Discard,
}

impl UnreadableAction {
    pub(super) const fn past_participle(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Discard => "discarded",
        }
    }

    pub(super) const fn audited(self) -> AuditAction {
        match self {
            Self::Requeue => AuditAction::RequeueUnreadable,
            Self::Discard => AuditAction::DiscardUnreadable,
        }
    }
}

/// Which messages are selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnreadableSelection {
    /// All copies with one of these ids.
    Ids(Vec<String>),
    /// The oldest.
    Oldest(usize),
}

impl UnreadableSelection {
    /// Whether it selects messages with this id.
    pub(super) fn has(&self, id: &str) -> bool {
        match self {
            Self::Ids(ids) => ids.iter().any(|it| it == id),
            Self::Oldest(_) => true,
        }
    }

    /// In words, for the audit log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Oldest(_) => "all unreadable messages".to_owned(),
            Self::Ids(ids) if ids.len() > MAX_LISTED_IDS => format!("{} ids", ids.len()),
            Self::Ids(ids) => ids.join(", "),
        }
    }
}

/// The body as it is sent: `ids`, or `all`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct UnreadableBody {
    /// The ids of messages.
    ids: Option<Vec<String>>,
    /// The oldest ones, whatever they are.
    all: bool,
    /// How many of the oldest are looked at.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Only count.
    dry_run: bool,
    /// Who acts; for the audit log. May be left out with a named token.
    actor: Option<String>,
    /// Why; for the audit log.
    reason: Option<String>,
    /// Requests with the same operation share an entry of the audit log: a UUID.
    operation: Option<String>,
}

/// A valid request.
pub(super) struct UnreadableRequest {
    pub(super) selection: UnreadableSelection,
    /// None: a dry run, which only counts.
    pub(super) actor: Option<Actor>,
}

impl UnreadableRequest {
    /// Parses a body. `token_name` is the name of the request's token, if it has one.
    ///
    /// # Errors
    /// What is missing or invalid.
    pub(super) fn parse(body: &[u8], token_name: Option<&str>) -> Result<Self, ApiError> {
        let body: UnreadableBody = api_body::parse(body)?;
        let limit = match body.limit {
            Some(limit) => query_params::limit(&limit.to_string())?,
            None => MAX_HELD.into(),
        };
        let selection = match (body.ids, body.all) {
            (Some(ids), false) if (1..=MAX_LIMIT as usize).contains(&ids.len()) => {
                let ids = ids.iter().map(|id| body::parse_id(id));
                UnreadableSelection::Ids(ids.collect::<Result<_, _>>()?)
            }
            (Some(_), false) => return Err(ApiError::body(format!("give 1 to {MAX_LIMIT} ids"))),
            (None, true) => {
                UnreadableSelection::Oldest(usize::try_from(limit).unwrap_or(usize::MAX))
            }
            (_, _) => return Err(ApiError::body("give either ids, or \"all\": true")),
        };
        let actor = match body.dry_run {
            true => None,
            false => Some(Actor {
                operation: body
                    .operation
                    .as_deref()
                    .map(bulk_request::operation)
                    .transpose()?,
                ..Actor::new(body.actor, body.reason, token_name)?
            }),
        };
        Ok(Self { selection, actor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_selects_ids_or_all_and_names_its_actor() {
        let parse = |body: &str| {
            let request = UnreadableRequest::parse(body.as_bytes(), None);
            request.map_err(|error| error.to_string())
        };
        let id = "0123456789abcdef";
        let request = parse(&format!(
            r#"{{"ids":["{id}"],"actor":"me","reason":"why"}}"#
        ));
        let request = request.unwrap();
        assert_eq!(
            request.selection,
            UnreadableSelection::Ids(vec![id.to_owned()])
        );
        assert!(request.selection.has(id) && !request.selection.has("other"));
        assert_eq!(request.actor.unwrap().name, "me");
        let all = parse(r#"{"all":true,"dry_run":true,"limit":7}"#).unwrap();
        assert_eq!(
            (all.selection, all.actor),
            (UnreadableSelection::Oldest(7), None)
        );
        for (body, sentence) in [
            (r#"{"reason":"r","actor":"a"}"#, "give either ids"),
            (r#"{"ids":["x"],"all":true}"#, "give either ids"),
            (r#"{"ids":[],"dry_run":true}"#, "1 to 1000"),
            (r#"{"ids":["x"],"dry_run":true}"#, "not the id"),
            (r#"{"all":true,"actor":"a"}"#, "\"reason\" is missing"),
            (r#"{"all":true,"dry_run":true,"limit":0}"#, "1 to 1000"),
        ] {
            let error = parse(body).err().unwrap();
            assert!(error.contains(sentence), "{body}: {error}");
        }
    }
}
