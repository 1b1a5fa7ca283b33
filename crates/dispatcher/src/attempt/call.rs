//! Makes the call of an attempt and measures it.

use crate::http::client::{CallResult, HttpSender};
use crate::policy::route::DeliveryRoute;
use contract::{Message, duration_ms};
use delivery::Outcome;
use journal::TargetAnswer;
use runtime::clock::now_ms;
use std::time::{Duration, Instant};

/// An attempt that has ended.
pub(super) struct CompletedAttempt {
    pub(super) outcome: Outcome,
    /// In the words of what reported a failure, for operators.
    pub(super) cause: Option<String>,
    /// What the target answered, if that is kept.
    pub(super) answer: Option<TargetAnswer>,
    /// Unix time, ms.
    pub(super) started_at: u64,
    pub(super) duration: Duration,
}

impl CompletedAttempt {
    /// Unix time, ms.
    pub(super) fn ended_at(&self) -> u64 {
        self.started_at.saturating_add(duration_ms(self.duration))
    }
}

pub(super) async fn call(
    message: &Message,
    route: &DeliveryRoute,
    sender: &HttpSender,
    traceparent: &str,
    keep_answers: bool,
) -> CompletedAttempt {
    let (started_at, started) = (now_ms(), Instant::now());
    let CallResult {
        outcome,
        cause,
        answer,
    } = sender.send(message, route, traceparent, keep_answers).await;
    CompletedAttempt {
        outcome,
        cause,
        answer,
        started_at,
        duration: started.elapsed(),
    }
}
