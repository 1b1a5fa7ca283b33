//! `GET /admin/v1/doctor`: is all well, as far as this process knows?
//!
//! - `certificates.rs`: the certificates that all processes have seen
//! - `sources.rs`: what the process gives to be looked at
//! - `history.rs`: the depths of the last minutes, to see growth

mod certificates;
pub(super) mod history;
pub(super) mod sources;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use broker::Broker;
use contract::CallbackStatus;
use contract::control::{Ask, ControlAnswerBody};
use delivery::CalleeRegistry;
use dispatcher::PauseRegistry;
use journal::{Filter, Journal, JournalError};
use runtime::ProcessUsage;
use runtime::clock::now_ms;
use tokio::time::Instant;

use super::error::ApiError;
use super::merge_targets::merge;
use super::processes::Names;
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::DoctorView;
use crate::control::{Answers, ControlPlane, offset_ms};
use crate::doctor::{
    BreakerFacts, DeadLetterFacts, DiskFacts, DueFacts, Facts, InstanceFacts, JournalFacts,
    PauseFacts, QueueFacts, RefusedReload, examine,
};
use history::DepthHistory;
use sources::DoctorSources;

/// How long each question to the journal may take: longer than the wait for a connection, whose error
/// says more.
const DEADLINE: Duration = Duration::from_secs(3);
/// What has been due for less is not asked for.
const OVERDUE_MS: u64 = 5 * 60 * 1_000;
/// The roles that make attempts.
const DISPATCHING_ROLES: [&str; 3] = ["dispatcher", "serve", "dev"];
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// `GET /admin/v1/doctor`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    query_params::only(http.query_string(), &[])?;
    ok(&view(&state, &facts(&state).await?))
}

/// What the checks find in these facts.
pub(crate) fn view(state: &AdminState, facts: &Facts) -> DoctorView {
    DoctorView {
        now: facts.now,
        process: state.doctor.process.clone(),
        findings: examine(facts),
    }
}

/// What this process knows now.
pub(crate) async fn facts(state: &AdminState) -> Result<Facts, ApiError> {
    let collector = Collector {
        broker: state.broker.clone(),
        journal: state.journal.clone(),
        registry: state.callee_registry.get(),
        pauses: state.pauses.clone(),
        control: state.control.clone(),
        history: state.depth_history.clone(),
        sources: state.doctor.clone(),
    };
    state
        .run(async move { Ok(collector.collect().await) })
        .await
}

/// Collects the facts of this process.
struct Collector {
    broker: Broker,
    journal: Option<Journal>,
    registry: Arc<CalleeRegistry>,
    pauses: PauseRegistry,
    control: ControlPlane,
    history: DepthHistory,
    sources: DoctorSources,
}

impl Collector {
    async fn collect(self) -> Facts {
        let now = now_ms();
        let usage = tokio::task::spawn_blocking(ProcessUsage::read);
        let (dead_letters, due, pauses, usage, targets, identities) = tokio::join!(
            self.ask(|journal| dead_letters(journal, now)),
            self.ask(|journal| due(journal, now)),
            in_time(self.pauses.list()),
            usage,
            self.control.ask(Ask::Targets),
            self.control.ask(Ask::Identity)
        );
        let (refused_settings, instances) = instances(&identities);
        let depths = *self.broker.depths().borrow();
        let free = self.broker.free_disk_bytes();
        let disk = free.and_then(|free| {
            Some(DiskFacts {
                free: (*free.borrow())?,
                floor: self.sources.min_free_bytes,
            })
        });
        let faults = self.broker.faults();
        let publishing = self.broker.publishing().borrow().clone();
        Facts {
            now,
            publishing,
            broker: self.sources.health.broker(),
            topology: faults.map(|faults| faults.borrow().to_string()),
            dispatches: self.sources.dispatches,
            journal: JournalFacts {
                state: self.sources.health.journal(),
                dead_letters,
                due,
            },
            queues: QueueFacts {
                depths,
                before: self.history.samples(Instant::now()),
            },
            disk,
            usage: usage.unwrap_or_default(),
            certificates: certificates::gather(&targets, &instances, &self.registry),
            refused_settings,
            instances: identities.is_sent.then_some(instances),
            silent: identities
                .silent
                .iter()
                .map(|silent| silent.report.name())
                .collect(),
            breakers: self.breakers(&targets),
            pauses: pauses.map(|pauses| {
                let facts = pauses.into_iter().map(|pause| PauseFacts {
                    name: format!("{} {}", pause.kind, pause.name),
                    by: pause.paused_by,
                    since: pause.paused_at,
                    reason: pause.reason,
                });
                facts.collect()
            }),
        }
    }

    async fn ask<'a, T, F>(&'a self, question: impl FnOnce(&'a Journal) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, JournalError>> + 'a,
    {
        match &self.journal {
            Some(journal) => in_time(question(journal)).await,
            None => Err("there is none".to_owned()),
        }
    }

    fn breakers(&self, answers: &Answers) -> Vec<BreakerFacts> {
        let (targets, _) = merge(answers, &Names::new());
        let not_closed = targets.into_iter().filter(|it| it.breaker != "closed");
        not_closed
            .map(|target| {
                let callee = target.callee_no.as_ref();
                let registered = callee.and_then(|no| self.registry.find(no));
                let name = match (callee, registered.and_then(|it| it.name.as_ref())) {
                    (Some(no), Some(name)) => format!("{no} {name}"),
                    (Some(no), None) => no.clone(),
                    (None, _) => target.target.unwrap_or_default(),
                };
                BreakerFacts {
                    name,
                    state: target.breaker.replace('_', " "),
                    apps: match callee {
                        Some(_) => 0,
                        None => target.breaker_apps,
                    },
                    app_ids: target.breaker_app_ids,
                    reason: target.breaker_reason,
                    probe_in: target.probe_in_s.map(Duration::from_secs_f64),
                }
            })
            .collect()
    }
}

/// What this process refused, and all processes that have answered. The first one is this process.
fn instances(answers: &Answers) -> (Option<RefusedReload>, Vec<InstanceFacts>) {
    let (mut own, mut all) = (None, Vec::new());
    for (index, answer) in answers.answers.iter().enumerate() {
        let ControlAnswerBody::Identity(report) = &answer.body else {
            continue;
        };
        let refused = report.reload.as_ref().and_then(|reload| {
            Some(RefusedReload {
                at: reload.at,
                reason: reload.refused.clone()?,
            })
        });
        let is_own = index == 0;
        all.push(InstanceFacts {
            name: report.name(),
            dispatches: DISPATCHING_ROLES.contains(&&*report.role),
            clock_offset_ms: match is_own {
                true => 0,
                false => offset_ms(report.clock, answers.asked_at, answer.at),
            },
            refused_settings: match is_own {
                true => None,
                false => refused.as_ref().map(|refused| refused.reason.clone()),
            },
        });
        if is_own {
            own = refused;
        }
    }
    (own, all)
}

/// Waits for an answer of the journal, but not for long.
async fn in_time<T>(answer: impl Future<Output = Result<T, JournalError>>) -> Result<T, String> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(answer) => answer.map_err(|error| error.reason().to_owned()),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn dead_letters(journal: &Journal, now: u64) -> Result<DeadLetterFacts, JournalError> {
    let all = Filter {
        statuses: vec![CallbackStatus::Dead, CallbackStatus::Expired],
        ..Filter::default()
    };
    let since_yesterday = Filter {
        dead_since: Some(now.saturating_sub(DAY_MS)),
        ..all.clone()
    };
    Ok(DeadLetterFacts {
        all: journal.count(&all, now).await?,
        since_yesterday: journal.count(&since_yesterday, now).await?,
    })
}

async fn due(journal: &Journal, now: u64) -> Result<DueFacts, JournalError> {
    let page = journal
        .overdue(now.saturating_sub(OVERDUE_MS), None)
        .await?;
    let oldest = page.overdue.iter().min_by_key(|callback| callback.due_at);
    Ok(DueFacts {
        oldest: oldest.map(|callback| (callback.request_id.to_string(), callback.due_at)),
        overdue: page.overdue.len(),
    })
}
