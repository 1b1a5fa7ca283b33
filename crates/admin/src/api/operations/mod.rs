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

use super::error::ApiError;
use super::state::AdminState;
pub(crate) use act::OperationAct;
pub(crate) use pace::steps_at;
pub(crate) use plan::OperationPlan;
use registry::{Operation, OperationState, OperationStep, Ordered};

/// Begins an operation; returns its id at once.
///
/// # Errors
/// When as many run as may.
pub(crate) fn start(
    state: Arc<AdminState>,
    plan: OperationPlan,
    ordered: Ordered,
) -> Result<Uuid, ApiError> {
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
    operation.end(ended);
    drop(permit);
}

async fn steps(state: &AdminState, plan: &OperationPlan, operation: &Operation) -> OperationState {
    let Ordered {
        rate,
        total,
        counted_at,
        actor,
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
