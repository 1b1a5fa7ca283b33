//! Operations: acts on many callbacks that this process works through in steps at a pace, for the console.
//! A command does the same by itself, with a request for each step.
//!
//! - `mod.rs`: begins an operation, and works through it.
//! - `act.rs`: what it does. `plan.rs`: to which callbacks: the dry run, and one step, by the functions of
//!   the API. `pace.rs`: how large a step is.
//! - `registry.rs`: the operations of this process: shown and stopped.
//!
//! An operation lives in the memory of its process. If that ends, what is left is as it was: the same
//! operation, started again, does the rest. What was done is in the audit log, step by step.

mod act;
mod pace;
mod plan;
pub(crate) mod registry;

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::audit::{self, AuditAction};
use super::bulk_request::Actor;
use super::state::AdminState;
pub(crate) use act::OperationAct;
pub(crate) use pace::steps_at;
pub(crate) use plan::OperationPlan;
pub(crate) use registry::NotBegun;
use registry::{Operation, OperationState, OperationStep, OperationView, Ordered};

/// Why an operation was stopped by the gateway: the reason in the audit log.
const REVOKED: &str = "the token of its operator was removed, or no longer grants it";

/// Begins an operation; returns its id at once.
///
/// # Errors
/// The same runs, or as many run as may.
pub(crate) fn start(
    state: Arc<AdminState>,
    plan: OperationPlan,
    ordered: Ordered,
) -> Result<Uuid, NotBegun> {
    let (operation, permit) = state.operations.begin(ordered)?;
    let id = operation.id;
    let runtime = state.runtime.clone();
    runtime.spawn(run(state, plan, operation, permit));
    Ok(id)
}

/// Works through it.
async fn run(
    state: Arc<AdminState>,
    plan: OperationPlan,
    operation: Arc<Operation>,
    permit: OwnedSemaphorePermit,
) {
    let ended = steps(&state, &plan, &operation).await;
    let is_revoked = ended == OperationState::Revoked;
    operation.end(ended);
    drop(permit);
    if is_revoked && let Ok(view) = state.operations.view(operation.id) {
        record_stop(&state, &view, Actor::of_gateway(REVOKED)).await;
    }
}

/// Writes that an operation was stopped, and how far it was, into the audit log.
pub(crate) async fn record_stop(state: &AdminState, view: &OperationView, actor: Actor) {
    let subject = format!("{}: {}", view.act.as_str(), view.subject);
    let count = usize::try_from(view.done()).unwrap_or(usize::MAX);
    let journal = state.journal.as_ref();
    audit::record(journal, AuditAction::Stop, subject, actor, count).await;
}

async fn steps(state: &AdminState, plan: &OperationPlan, operation: &Operation) -> OperationState {
    let Ordered {
        rate,
        total,
        counted_at,
        actor,
        grant,
        ..
    } = &operation.ordered;
    let (max, interval) = steps_at(*rate);
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut left, mut is_first) = (*total, true);
    while left > 0 {
        tokio::select! {
            biased;
            () = operation.stop.cancelled() => return OperationState::Stopped,
            _ = tick.tick() => {}
        }
        if !grant.holds() {
            return OperationState::Revoked;
        }
        let limit = max.min(u32::try_from(left).unwrap_or(u32::MAX));
        let step = plan.step(state, (limit, *counted_at), is_first, actor.clone());
        let done = match step.await {
            Ok(done) => done,
            Err(error) => return OperationState::Failed(error),
        };
        is_first = false;
        let step = OperationStep {
            changed: done.changed,
            pending: done.pending,
            requested: done.requested,
        };
        left = left.saturating_sub(step.sum());
        operation.add(step);
        if !done.more || step.sum() == 0 {
            break;
        }
    }
    OperationState::Done
}
