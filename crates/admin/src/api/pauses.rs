//! `/admin/v1/pauses`: list pauses, pause and resume callees and targets.

use actix_web::HttpRequest;
use actix_web::web::Data;
use delivery::CalleeRegistry;
use delivery::limits::LimitKey;
use journal::{Pause, PauseKind};
use serde::Deserialize;
use serde_json::json;

use super::audit::{self, AuditAction};
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::Actor;
use super::error::{ApiError, ProblemCode};
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::{ItemsPage, PauseView, PausedView};

/// A position in the list of pauses, which is sorted by time, kind and name.
type PauseCursor = (u64, PauseKind, String);

fn cursor_of(pause: &Pause) -> PauseCursor {
    (pause.paused_at, pause.kind, pause.name.clone())
}

fn parse_cursor(text: &str) -> Option<PauseCursor> {
    let mut parts = text.splitn(3, '-');
    let (at, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some((at.parse().ok()?, kind.parse().ok()?, name.to_owned()))
}

/// `GET /admin/v1/pauses`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let page = query_params::page(http.query_string(), parse_cursor)?;
    let pauses = state.pauses.clone();
    let mut found = state.run(async move { Ok(pauses.list().await?) }).await?;
    if let Some(after) = page.after {
        found.retain(|pause| cursor_of(pause) > after);
    }
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more).map(cursor_of);
    ok(&ItemsPage {
        next: last.map(|(at, kind, name)| format!("{at}-{kind}-{name}")),
        items: found.into_iter().map(PauseView::from).collect(),
    })
}

/// `POST /admin/v1/pauses`
pub(super) async fn pause(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PauseBody {
        callee_no: Option<String>,
        target: Option<String>,
        actor: Option<String>,
        reason: Option<String>,
    }
    let body: PauseBody = super::body::parse(&body)?;
    let actor = Actor::new(body.actor, body.reason, TokenName::of(&http).as_deref())?;
    let key = parse_key(body.callee_no, body.target)?;
    let key = registered(&key, &state.callee_registry.get())?;
    let (pauses, journal) = (state.pauses.clone(), state.journal.clone());
    let paused = key.to_string();
    let new = state.run(async move {
        let Actor { name, reason, .. } = actor.clone();
        let new = pauses.pause(&key, name, reason).await?;
        if new {
            let subject = key.to_string();
            audit::record(journal.as_ref(), AuditAction::Pause, subject, actor, 1).await;
        }
        Ok(new)
    });
    let new = new.await?;
    ok(&PausedView { paused, new })
}

/// `DELETE /admin/v1/pauses?callee_no=|target=&actor=&reason=`
pub(super) async fn resume(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let known = ["callee_no", "target", "actor", "reason"];
    let mut found = query_params::only(http.query_string(), &known)?;
    let token_name = TokenName::of(&http);
    let actor = Actor::new(
        found.remove("actor"),
        found.remove("reason"),
        token_name.as_deref(),
    )?;
    let key = parse_key(found.remove("callee_no"), found.remove("target"))?;
    // A callee that is no longer registered can still be resumed.
    let key = registered(&key, &state.callee_registry.get()).unwrap_or(key);
    let (pauses, journal) = (state.pauses.clone(), state.journal.clone());
    let ended = state.run(async move {
        let Some(ended) = pauses.resume(&key).await? else {
            let sentence = format!("{key} is not paused");
            return Err(ApiError::rejected(ProblemCode::NotPaused, sentence));
        };
        let subject = key.to_string();
        audit::record(journal.as_ref(), AuditAction::Resume, subject, actor, 1).await;
        Ok(ended)
    });
    ok(&json!({ "resumed": PauseView::from(ended.await?) }))
}

fn parse_key(callee_no: Option<String>, target: Option<String>) -> Result<LimitKey, ApiError> {
    match (callee_no, target) {
        (Some(no), None) if !no.trim().is_empty() => Ok(LimitKey::Callee(no.as_str().into())),
        (None, Some(url)) => match LimitKey::parse(&url) {
            Ok(key @ LimitKey::Target(_)) => Ok(key),
            Ok(LimitKey::Callee(_)) => Err(ApiError::parameter(
                "target must be a URL (write https://host:443)",
            )),
            Err(error) => Err(ApiError::parameter(format!("target: {error}"))),
        },
        (Some(_) | None, Some(_) | None) => {
            Err(ApiError::parameter("give either callee_no or target"))
        }
    }
}

/// The callee as it is registered. A mistyped number would pause nothing.
fn registered(key: &LimitKey, registry: &CalleeRegistry) -> Result<LimitKey, ApiError> {
    let LimitKey::Callee(no) = key else {
        return Ok(key.clone());
    };
    match registry.find(no) {
        Some(callee) => Ok(LimitKey::Callee(callee.no.as_str().into())),
        None => {
            let sentence = format!("no callee {no} is registered");
            Err(ApiError::rejected(ProblemCode::UnknownCallee, sentence))
        }
    }
}
