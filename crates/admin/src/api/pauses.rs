//! `/admin/v1/pauses`: list pauses; pause and resume callees, targets, apps, message types, intake and
//! deliveries.

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::Command;
use delivery::limits::LimitKey;
use delivery::{CalleeRegistry, UrlError};
use dispatcher::{PauseKey, PauseRegistry, Switch};
use journal::{Callback, Pause, PauseKind};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{self, AuditAction};
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::Actor;
use super::error::{ApiError, ProblemCode};
use super::known_callees;
use super::query_params;
use super::response::{ApiResponse, ok, ok_list};
use super::state::AdminState;
use super::view::{ItemsPage, PauseScope, PauseView, PausedView};
use crate::doctor::said::{Said, say};

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
    let mut found = in_force(&state).await?;
    if let Some(after) = page.after {
        found.retain(|pause| cursor_of(pause) > after);
    }
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more).map(cursor_of);
    let registry = state.callee_registry.get();
    let items = found
        .into_iter()
        .map(|pause| PauseView::from(pause).with_callee_name(&registry));
    let page = ItemsPage {
        next: last.map(|(at, kind, name)| format!("{at}-{kind}-{name}")),
        items: items.collect(),
    };
    ok_list(&page, &state.pauses)
}

/// All pauses, oldest first.
async fn in_force(state: &AdminState) -> Result<Vec<Pause>, ApiError> {
    let pauses = state.pauses.clone();
    state.run(async move { Ok(pauses.list().await?) }).await
}

/// All pauses, oldest first, with the names of callees.
pub(crate) async fn views(state: &AdminState) -> Result<Vec<PauseView>, ApiError> {
    let registry = state.callee_registry.get();
    let found = in_force(state).await?.into_iter();
    Ok(found
        .map(|pause| PauseView::from(pause).with_callee_name(&registry))
        .collect())
}

/// What is paused: exactly one of the first five, and who pauses it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// A registered callee.
    callee_no: Option<String>,
    /// A target: any URL of it.
    target: Option<String>,
    /// An app.
    app_id: Option<String>,
    /// A type of message.
    message_type: Option<String>,
    /// `intake` or `deliveries`.
    switch: Option<String>,
    /// Who acts; for the audit log. May be left out with a named token.
    actor: Option<String>,
    /// Why; for the audit log.
    reason: Option<String>,
}

/// `POST /admin/v1/pauses`
pub(super) async fn pause(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let body: PauseBody = super::body::parse(&body)?;
    let actor = Actor::new(body.actor, body.reason, TokenName::of(&http).as_deref())?;
    let selectors = [
        body.callee_no,
        body.target,
        body.app_id,
        body.message_type,
        body.switch,
    ];
    ok(&begin(&state, selectors, actor).await?)
}

/// The values of the [selectors](SELECTORS): exactly one is given.
type SelectorValues = [Option<String>; SELECTORS.len()];

/// Begins a pause, if it is not in force already.
pub(crate) async fn begin(
    state: &AdminState,
    selectors: SelectorValues,
    actor: Actor,
) -> Result<PausedView, ApiError> {
    let key = parse_key(selectors)?;
    let key = registered(&key, &state.callee_registry.get())?;
    let scope = match state.pauses.is_shared() {
        true => PauseScope::AllProcesses,
        false => PauseScope::ThisProcess,
    };
    let is_intake = key == PauseKey::Switch(Switch::Intake);
    if is_intake && scope == PauseScope::ThisProcess && !state.has_ingress {
        return Err(ApiError::NoJournal); // It would stop nothing.
    }
    let (pauses, journal) = (state.pauses.clone(), state.journal.clone());
    let control = state.control.clone();
    let paused = key.to_string();
    let new = state.run(async move {
        let Actor { name, reason, .. } = actor.clone();
        let new = pauses.pause(&key, name, reason).await?;
        if new {
            control.command(Command::PausesChanged);
            let subject = key.to_string();
            audit::record(journal.as_ref(), AuditAction::Pause, subject, actor, 1).await;
        }
        Ok(new)
    });
    let new = new.await?;
    Ok(PausedView { paused, new, scope })
}

/// `DELETE /admin/v1/pauses?callee_no=|target=|app_id=|message_type=|switch=&actor=&reason=`
pub(super) async fn resume(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let known = [&SELECTORS[..], &["actor", "reason"]].concat();
    let mut found = query_params::only(http.query_string(), &known)?;
    let token_name = TokenName::of(&http);
    let actor = Actor::new(
        found.remove("actor"),
        found.remove("reason"),
        token_name.as_deref(),
    )?;
    let selectors = SELECTORS.map(|selector| found.remove(selector));
    ok(&json!({ "resumed": end(&state, selectors, actor).await? }))
}

/// Ends a pause.
pub(crate) async fn end(
    state: &AdminState,
    selectors: SelectorValues,
    actor: Actor,
) -> Result<PauseView, ApiError> {
    let key = parse_key(selectors)?;
    // A callee that is no longer registered can still be resumed.
    let key = registered(&key, &state.callee_registry.get()).unwrap_or(key);
    let (pauses, journal) = (state.pauses.clone(), state.journal.clone());
    let control = state.control.clone();
    let ended = state.run(async move {
        let Some(ended) = pauses.resume(&key).await? else {
            let sentence = say!("{key} is not paused", "{key} 没有被暂停");
            return Err(ApiError::rejected(ProblemCode::NotPaused, sentence));
        };
        control.command(Command::PausesChanged);
        let subject = key.to_string();
        audit::record(journal.as_ref(), AuditAction::Resume, subject, actor, 1).await;
        Ok(ended)
    });
    ended.await.map(PauseView::from)
}

/// What names the pause in a request: exactly one of these.
pub(crate) const SELECTORS: [&str; 5] = ["callee_no", "target", "app_id", "message_type", "switch"];

/// As long as an accepted callback's may be.
const MAX_NAME_BYTES: usize = 128;

/// The key of a pause, from the values of the [selectors](SELECTORS).
pub(super) fn parse_key(values: SelectorValues) -> Result<PauseKey, ApiError> {
    let given = SELECTORS.into_iter().zip(values);
    let mut given = given.filter_map(|(selector, value)| Some((selector, value?)));
    let (Some((selector, value)), None) = (given.next(), given.next()) else {
        let [all @ .., last] = SELECTORS;
        return Err(ApiError::parameter(say!(
            "give exactly one of {0} and {last}",
            "{0}、{last} 中必须且只能给出一个",
            all.join(", ")
        )));
    };
    let is_name = !value.trim().is_empty()
        && value.len() <= MAX_NAME_BYTES
        && !value.contains(char::is_control);
    match selector {
        "target" => match LimitKey::parse(&value) {
            Ok(key @ LimitKey::Target(_)) => Ok(key.into()),
            Ok(LimitKey::Callee(_)) => Err(ApiError::parameter(say!(
                "target must be a URL (write https://host:443)",
                "目标必须是 URL，例如 https://host:443"
            ))),
            Err(error) => Err(ApiError::parameter(say!(
                "target: {0}",
                "目标：{0}",
                url_error(&error)
            ))),
        },
        "switch" => match &*value {
            "intake" => Ok(PauseKey::Switch(Switch::Intake)),
            "deliveries" => Ok(PauseKey::Switch(Switch::Deliveries)),
            _ => Err(ApiError::parameter(say!(
                "switch must be intake or deliveries",
                "开关只能是 intake 或 deliveries"
            ))),
        },
        _ if !is_name => Err(ApiError::parameter(say!(
            "{selector} must have 1 to {MAX_NAME_BYTES} bytes and no control characters",
            "{selector} 须为 1 至 {MAX_NAME_BYTES} 字节，且不含控制字符"
        ))),
        "app_id" => Ok(PauseKey::App(value.into())),
        "message_type" => Ok(PauseKey::MessageType(value.into())),
        _ => Ok(PauseKey::Limit(LimitKey::Callee(value.into()))),
    }
}

/// The callee as it is registered. A mistyped number would pause nothing.
pub(super) fn registered(key: &PauseKey, registry: &CalleeRegistry) -> Result<PauseKey, ApiError> {
    let PauseKey::Limit(LimitKey::Callee(no)) = key else {
        return Ok(key.clone());
    };
    match registry.find(no) {
        Some(callee) => Ok(LimitKey::Callee(callee.no.as_str().into()).into()),
        None => {
            let known = known_callees::listed(registry);
            let sentence = say!(
                "no callee {no} is registered; known: {known}",
                "没有登记被回调方 {no}；已登记：{known}"
            );
            Err(ApiError::rejected(ProblemCode::UnknownCallee, sentence))
        }
    }
}

/// Why a target is no URL.
fn url_error(error: &UrlError) -> Said {
    let chinese = match error {
        UrlError::TooLong { max } => format!("URL 超过 {max} 字节"),
        UrlError::ControlCharacter => "URL 含有控制字符".to_owned(),
        UrlError::Malformed => "URL 不是完整的 URL".to_owned(),
        UrlError::Scheme => "URL 不是以 http:// 或 https:// 开头".to_owned(),
        UrlError::UserInfo => "URL 含有用户信息".to_owned(),
        UrlError::NoHost => "URL 没有主机".to_owned(),
        UrlError::Port => "URL 的端口无法访问".to_owned(),
    };
    Said::both(error.to_string(), chinese)
}

/// The pauses in force that concern an unfinished callback, each as a sentence.
pub(super) fn of_callback(callback: &Callback, pauses: &PauseRegistry) -> Vec<Said> {
    let origin = &callback.origin;
    let mut keys = vec![
        PauseKey::App(origin.app_id.as_str().into()),
        PauseKey::MessageType(origin.message_type.as_str().into()),
        PauseKey::Switch(Switch::Deliveries),
    ];
    // A URL wins over a callee, which is then only a label.
    match (&origin.callback_url, &origin.callee_no) {
        (None, Some(no)) => keys.push(LimitKey::Callee(no.as_str().into()).into()),
        _ => keys.extend(LimitKey::parse(&origin.target).ok().map(PauseKey::Limit)),
    }
    let found = pauses.find(&keys);
    found.iter().map(sentence).collect()
}

/// `App crm is paused by ann since 2026-11-23T12:00:00.000Z: reason.`
fn sentence(pause: &Pause) -> Said {
    let name = &pause.name;
    let subject = match pause.kind {
        PauseKind::Callee => say!("Callee {name} is paused", "被回调方 {name} 已暂停"),
        PauseKind::Target => say!("Target {name} is paused", "目标 {name} 已暂停"),
        PauseKind::App => say!("App {name} is paused", "应用 {name} 已暂停"),
        PauseKind::MessageType => say!("Message type {name} is paused", "消息类型 {name} 已暂停"),
        PauseKind::Intake => say!("Intake is stopped", "接收已停止"),
        PauseKind::Deliveries => say!("Deliveries are stopped", "投递已停止"),
    };
    let (since, by) = (contract::rfc3339(pause.paused_at), &pause.paused_by);
    let reason = &pause.reason;
    let text = say!(
        "{0} by {by} since {since}: {reason}.",
        "{0}（{by}，自 {since} 起）：{reason}。",
        subject
    );
    text.one_line()
}
