//! How does a message get its turn at its target?

use crate::attempt::{Bench, Ending, expires_at_ms, unix_ms};
use crate::gates::{Asked, Entered, Held};
use crate::plan::Plan;
use crate::slots::Slot;
use crate::{follow_up, record};
use broker::Lane;
use contract::Message;
use delivery::limits::{self, Parked, park_after};
use std::time::{Duration, SystemTime};

/// What comes of asking for a turn.
pub(crate) enum Turn {
    /// The call may be made. Without a pass where there is nothing to call.
    Go(Option<Held>),
    /// Not now.
    Park {
        why: Parked,
        /// How long at least, as far as that is known.
        until: Duration,
    },
    /// The process stops: the message goes back to its queue as it is.
    Stop,
}

/// Asks the gate, and waits for a moment if it says so, without a slot meanwhile.
pub(crate) async fn enter(plan: &Plan, slot: &mut Slot, bench: &Bench) -> Turn {
    let Some(key) = &plan.key else {
        return Turn::Go(None);
    };
    let lane = match slot.lane() {
        Lane::First => limits::Lane::First,
        _ => limits::Lane::Retry,
    };
    let waiting = match bench.gates.ask(key, lane, &plan.limits, plan.paused) {
        Asked::Now(entered) => return entered.into(),
        Asked::Wait(waiting) => waiting,
    };
    slot.give_back();
    let called = async {
        let entered = waiting.called().await;
        if let Entered::Go(_) = entered {
            slot.take_again().await;
        }
        entered
    };
    // Boxed, so that a call which had not to wait carries no room for it.
    let called = Box::pin(bench.stop.run_until_cancelled(called)).await;
    called.map_or(Turn::Stop, Turn::from)
}

impl From<Entered> for Turn {
    fn from(entered: Entered) -> Self {
        match entered {
            Entered::Go(held) => Self::Go(Some(held)),
            Entered::Park { why, until } => Self::Park { why, until },
        }
    }
}

/// Sets a message aside, its attempt unspent.
pub(crate) fn parked(
    message: &Message,
    target: String,
    why: Parked,
    until: Duration,
    bench: &Bench,
) -> Ending {
    let now = unix_ms(SystemTime::now());
    let left = expires_at_ms(message).map(|at| Duration::from_millis(at.saturating_sub(now)));
    let after = park_after(until, message.parked, fastrand::f64(), left);
    let why = why.as_str();
    bench.metrics.parked(why);
    tracing::debug!(
        request_id = %message.request_id, callback_target = target, attempt = message.attempt, why,
        next_in_s = after.as_secs_f64(), "parked: its target is not to be called now"
    );
    let settlement = follow_up::parked(message, now, after);
    Ending {
        record: Some(record::parked(
            message,
            target,
            now,
            why,
            after,
            &settlement,
        )),
        settlement,
        code: None,
    }
}
