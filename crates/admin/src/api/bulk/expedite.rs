//! `POST /admin/v1/expedite`: a callee or target is back, so all that waits for it is attempted at once.

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::{Ask, ControlAnswerBody};
use delivery::limits::LimitKey;
use dispatcher::PauseKey;
use journal::Filter;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{count_retries, retry_now};
use crate::api::audit::AuditAction;
use crate::api::auth::TokenName;
use crate::api::body::{self, BodyBytes};
use crate::api::bulk_request::{Actor, BulkAct, RATE_OF_A_DRY_RUN, Selection};
use crate::api::bulk_view::BulkView;
use crate::api::error::ApiError;
use crate::api::estimate;
use crate::api::pauses::{parse_key, registered};
use crate::api::query_params;
use crate::api::response::{ApiResponse, ok};
use crate::api::state::AdminState;
use crate::api::timestamp;
use crate::control::ControlPlane;
use crate::doctor::said::say;

/// What is back: exactly one of callee and target.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExpediteBody {
    /// A registered callee.
    callee_no: Option<String>,
    /// A target: any URL of it.
    target: Option<String>,
    /// At most so many in this step.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// A dry run: how many a second are going to be sent.
    rate: Option<u32>,
    /// With nothing recorded since this time: RFC 3339 or Unix milliseconds.
    #[schema(value_type = Option<String>)]
    updated_before: Option<serde_json::Value>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
    /// Whether breakers give way. A command says so in its first step alone: a failing probe must not
    /// be repeated by every step.
    probe: Option<bool>,
    /// Who acts; for the audit log. May be left out with a named token.
    actor: Option<String>,
    /// Why; for the audit log.
    reason: Option<String>,
    /// Requests with the same operation share an entry of the audit log: a UUID.
    operation: Option<String>,
}

/// `POST /admin/v1/expedite`
pub(in crate::api) async fn expedite(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let body: ExpediteBody = body::parse(&body)?;
    let key = key(&state, body.callee_no, body.target)?;
    let selection = Selection::Matching {
        filter: waiting_for(&key, body.updated_before.as_ref())?,
        limit: match body.limit {
            Some(limit) => query_params::limit(&limit.to_string())?,
            None => query_params::DEFAULT_LIMIT,
        },
    };
    if body.dry_run {
        let (mut counted, sample) = count_retries(&state, selection).await?;
        counted.estimate = estimate::of(&state, counted.matched, &sample, body.rate).await;
        return ok(&counted);
    }
    if body.rate.is_some() {
        return Err(ApiError::body(RATE_OF_A_DRY_RUN));
    }
    let actor = Actor::of_operation(
        (body.actor, body.reason),
        body.operation.as_deref(),
        TokenName::of(&http).as_deref(),
    )?;
    let probe = body.probe.unwrap_or(true).then_some(&key);
    ok(&step(&state, selection, probe, actor).await?)
}

/// The callee or target; one of the two is given.
///
/// # Errors
/// Not one of the two, or a callee that is not registered.
pub(crate) fn key(
    state: &AdminState,
    callee_no: Option<String>,
    target: Option<String>,
) -> Result<LimitKey, ApiError> {
    let key = parse_key([callee_no, target, None, None, None])?;
    match registered(&key, &state.callee_registry.get())? {
        PauseKey::Limit(key) => Ok(key),
        _ => Err(ApiError::parameter(say!(
            "give exactly one of callee_no and target",
            "callee_no 与 target 必须且只能给出一个"
        ))),
    }
}

/// One step. `probe`: whose breakers give way.
pub(in crate::api) async fn step(
    state: &AdminState,
    selection: Selection,
    probe: Option<&LimitKey>,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    let probed = match probe {
        Some(key) => Some(probe_now(&state.control, key).await),
        None => None,
    };
    let done = state.run(async move {
        retry_now::step(&broker, &journal, &selection, AuditAction::Expedite, actor).await
    });
    let mut done = done.await?;
    done.probed = probed;
    Ok(done)
}

/// Lets all dispatchers call the key at once; returns for how many apps that changed something.
async fn probe_now(control: &ControlPlane, key: &LimitKey) -> u64 {
    let answers = control.ask(Ask::ProbeNow(key.to_string())).await.answers;
    let probed = answers.into_iter().map(|answer| match answer.body {
        ControlAnswerBody::Probed(count) => count,
        _ => 0,
    });
    probed.sum()
}

/// All that waits for the callee or target.
pub(in crate::api) fn waiting_for(
    key: &LimitKey,
    updated_before: Option<&serde_json::Value>,
) -> Result<Filter, ApiError> {
    let (callee_no, target) = match key {
        LimitKey::Callee(no) => (Some(no.to_string()), None),
        LimitKey::Target(target) => (None, Some(target.to_string())),
    };
    let text = match updated_before {
        None => None,
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let updated_before = text.map(|text| timestamp::parse(&text)).transpose();
    let updated_before = updated_before.map_err(|reason| {
        ApiError::parameter(say!(
            "\"updated_before\" {0}",
            "\"updated_before\"：{0}",
            reason
        ))
    })?;
    BulkAct::RetryNow.filter(Filter {
        callee_no,
        target,
        updated_before,
        ..Filter::default()
    })
}
