//! Acts on many callbacks: the dry run with a sample, pace and form, then the operation.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;
use serde::Deserialize;

use super::callbacks::{CallbackLine, lines};
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::{When, span};
use super::{filters, links, paths, query, translations};
use crate::api::access::OperatorAccess;
use crate::api::auth::Operator;
use crate::api::bulk_request::Actor;
use crate::api::bulk_view::BulkCountView;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::operations::registry::{OperationGrant, Ordered};
use crate::api::operations::{self, NotBegun, OperationAct, OperationPlan};
use crate::api::state::AdminState;
use crate::api::view::CallbackView;
use crate::api::{callbacks, dead_letters, pace};
use crate::config::Role;
use crate::doctor::said::say;

/// How many a second are taken, unless somebody says otherwise: as by the commands.
const DEFAULT_RATE: u32 = 100;
/// The fastest pace, as of the commands.
const MAX_RATE: u32 = 100_000;
/// How many callbacks are shown.
const SAMPLE: u32 = 10;

#[derive(Template)]
#[template(path = "console/bulk.html")]
pub(super) struct BulkPage {
    frame: PageFrame,
    t: &'static Texts,
    /// The end of the path.
    act: &'static str,
    name: &'static str,
    /// The filter, as a query string and as conditions.
    query: String,
    conditions: Vec<(String, String)>,
    subject: String,
    matched: u64,
    /// When they were counted, Unix ms.
    counted_at: u64,
    untouched: Vec<(u64, String)>,
    rate: u32,
    /// How long it takes; of retries, at the pace of the targets.
    takes: Option<String>,
    done_by: Option<When>,
    paces: Vec<(String, u64, String)>,
    sample: Vec<CallbackLine>,
    is_final: bool,
    needs_name: bool,
}

/// What is sent.
#[derive(Deserialize)]
pub(super) struct BulkForm {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    reason: String,
    rate: u32,
    matched: u64,
    counted_at: u64,
}

/// `GET /console/bulk/{act}?FILTER&rate=`: the dry run.
pub(super) async fn preview(
    state: Data<AdminState>,
    http: HttpRequest,
    act: Path<String>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let found = async {
        let act = allowed(&visit, &act)?;
        let asked = http.query_string();
        let rate = match query::value(asked, "rate") {
            None => DEFAULT_RATE,
            Some(text) => checked_rate(text.parse().ok())?,
        };
        let query = links::with(asked, &[]);
        let plan = OperationPlan::read(&state, act, &query).await?;
        let counted = plan.preview(&state, rate).await?;
        let sample = match counted.matched {
            0 => Vec::new(),
            _ => sample(&state, act, &query).await?,
        };
        Ok(render(
            &visit,
            (act, plan.describe()),
            &query,
            rate,
            (counted, sample),
        ))
    };
    page::answer(&visit, found.await)
}

/// `POST /console/bulk/{act}?FILTER`: begins the operation.
pub(super) async fn begin(
    state: Data<AdminState>,
    access: Data<OperatorAccess>,
    http: HttpRequest,
    act: Path<String>,
    form: Form<BulkForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let begun = async {
        let act = allowed(&visit, &act)?;
        let form = form.into_inner();
        let token_name = visit.operator.as_ref().and_then(|it| it.name.as_deref());
        let actor = Some(form.actor).filter(|actor| !actor.trim().is_empty());
        let actor = Actor::new(actor, Some(form.reason), token_name)?;
        let query = links::with(http.query_string(), &[]);
        let plan = OperationPlan::read(&state, act, &query).await?;
        let ordered = Ordered {
            act,
            subject: plan.describe(),
            rate: checked_rate(Some(form.rate))?,
            total: form.matched,
            // Nothing that changes from now on, whatever the form says.
            counted_at: form.counted_at.min(now_ms()),
            actor,
            grant: grant(access, visit.operator.clone()),
        };
        Ok::<_, ApiError>(operations::start(state.into_inner(), plan, ordered))
    };
    match begun.await {
        Ok(Ok(id)) => HttpResponse::SeeOther()
            .insert_header((LOCATION, format!("{}/{id}", paths::OPERATIONS)))
            .finish(),
        Ok(Err(refused)) => {
            let t = visit.texts();
            let (path, name) = match &refused {
                NotBegun::Same(id) => (format!("{}/{id}", paths::OPERATIONS), t.the_running_one),
                NotBegun::Full => (paths::OPERATIONS.to_owned(), t.operations),
            };
            page::error_with(&visit, &refused.problem(), Some((path, name)))
        }
        Err(problem) => page::error(&visit, &problem),
    }
}

/// Whether this operator has a token with the role `replay`, asked before each step.
fn grant(access: Data<OperatorAccess>, operator: Option<Operator>) -> OperationGrant {
    let access = access.into_inner();
    OperationGrant::new(move || {
        let operator = operator.as_ref();
        operator.is_some_and(|operator| access.still_grants(operator, Role::Replay))
    })
}

/// The act, for an operator who may do it.
fn allowed(visit: &Visit, act: &str) -> Result<OperationAct, ApiError> {
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Replay)) {
        return Err(ApiError::Forbidden(Role::Replay));
    }
    let found = OperationAct::ALL.into_iter().find(|it| it.as_str() == act);
    found.ok_or_else(|| {
        ApiError::rejected(
            ProblemCode::UnknownRoute,
            say!("there is no such act", "没有此操作"),
        )
    })
}

fn checked_rate(rate: Option<u32>) -> Result<u32, ApiError> {
    let rate = rate.filter(|rate| (1..=MAX_RATE).contains(rate));
    rate.ok_or_else(|| {
        ApiError::parameter(say!(
            "the pace is a number from 1 to {MAX_RATE} a second",
            "速率为每秒 1 至 {MAX_RATE} 的数字"
        ))
    })
}

/// The newest of them.
async fn sample(
    state: &AdminState,
    act: OperationAct,
    query: &str,
) -> Result<Vec<CallbackView>, ApiError> {
    if act.is_of_dead_letters() {
        let query = format!("{}&limit={SAMPLE}", links::with(query, &[]));
        let found = dead_letters::page(state, query.trim_start_matches('&')).await?;
        return Ok(found.page.items);
    }
    let has_status = query::value(query, "status").is_some();
    let query = match has_status {
        true => links::with(query, &[]),
        false => links::with(query, &[("status", act.waiting_statuses())]),
    };
    let retries = matches!(act, OperationAct::RetryNow | OperationAct::Expedite);
    // What its caller has delayed is left alone.
    let leaves_delayed = retries && query::value(&query, "deferred_reason").is_none();
    callbacks::sample(state, &query, leaves_delayed, SAMPLE).await
}

pub(super) fn render(
    visit: &Visit,
    (act, subject): (OperationAct, String),
    query: &str,
    rate: u32,
    (counted, sample): (BulkCountView, Vec<CallbackView>),
) -> BulkPage {
    let (t, now) = (visit.texts(), now_ms());
    let by_rate = counted.matched.div_ceil(u64::from(rate.max(1)));
    let estimate = counted.estimate.as_ref();
    let seconds = match estimate {
        Some(estimate) => estimate.done_in_s,
        None => Some(by_rate),
    };
    let seconds = seconds.filter(|_| counted.matched > 0);
    let targets = estimate.map_or_else(Vec::new, |it| it.targets.clone());
    let paces = targets.into_iter().map(|target| {
        let name = target.name.or(target.callee_no).or(target.target);
        let pace = target.per_second.map(pace::words).or(target.unknown);
        let pace = pace.map(|pace| t.say(&pace));
        (
            name.unwrap_or_default(),
            target.count,
            pace.unwrap_or_default(),
        )
    });
    BulkPage {
        frame: PageFrame::new(
            visit,
            match act.is_of_dead_letters() {
                true => Section::DeadLetters,
                false => Section::Callbacks,
            },
        ),
        t,
        act: act.as_str(),
        name: t.act_word(act),
        conditions: links::others(query, &[]),
        query: query.to_owned(),
        subject: t.subject(&subject),
        matched: counted.matched,
        counted_at: counted.now,
        untouched: counted
            .untouched
            .into_iter()
            .map(|other| {
                let why = translations::hindrance(&other.reason, other.detail, visit.language);
                (other.count, why)
            })
            .collect(),
        rate,
        takes: seconds.map(|seconds| span(seconds, t)),
        done_by: seconds
            .map(|seconds| When::of(now.saturating_add(seconds.saturating_mul(1_000)), now, t)),
        paces: paces.collect(),
        sample: lines(sample, now, t),
        is_final: matches!(act, OperationAct::Discard | OperationAct::Cancel),
        needs_name: visit.operator.as_ref().is_none_or(|it| it.name.is_none()),
    }
}
