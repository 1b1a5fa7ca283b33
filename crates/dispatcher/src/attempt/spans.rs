//! The trace of an attempt: what the target is told of it, and the spans of its wait, its call and its
//! record.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::call::CompletedAttempt;
use crate::policy::route::DeliveryRoute;
use crate::queue::{WorkQueue, queue_label};
use contract::{CallbackSpan, Message, TraceContext};
use delivery::Verdict;
use runtime::traces::{KeyValue, Span, SpanKind, Tracer};

/// The trace that an attempt belongs to.
pub(crate) struct AttemptTrace {
    context: TraceContext,
    /// The span of the attempt.
    span: u64,
    decision: Decision,
    received_at: SystemTime,
}

/// Whether the spans are exported.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Exported,
    NotSampled,
    /// This process exports none.
    Off,
}

impl AttemptTrace {
    /// Decides whether the spans of this message's attempt are exported. `redelivered`: a lost
    /// dispatcher may have made the attempt already.
    pub(super) fn of(message: &Message, redelivered: bool, tracer: Option<&Tracer>) -> Self {
        let context = TraceContext::of(message.request_id, message.traceparent.as_deref());
        let decision = match tracer {
            None => Decision::Off,
            Some(tracer) if tracer.samples(context.trace_id, context.sampled) => Decision::Exported,
            Some(_) => Decision::NotSampled,
        };
        let span = match redelivered {
            false => attempt_span(message, message.attempt),
            // Two spans must not have one id.
            true => fastrand::u64(1..),
        };
        Self {
            context,
            span,
            decision,
            received_at: SystemTime::now(),
        }
    }

    /// The id of the trace, for the log.
    pub(super) const fn trace_id(&self) -> u128 {
        self.context.trace_id
    }

    /// The header for the target. Where no span of ours is exported, the caller's stays as it is, so that
    /// the target's spans have a parent that exists.
    pub(crate) fn traceparent<'a>(&self, message: &'a Message) -> Cow<'a, str> {
        if self.decision != Decision::Exported
            && self.context.parent.is_some()
            && let Some(callers) = &message.traceparent
        {
            return Cow::Borrowed(callers);
        }
        // Whoever collects no traces leaves the decision to the target.
        let flags = u8::from(self.decision != Decision::NotSampled);
        let TraceContext { trace_id, .. } = self.context;
        Cow::Owned(format!("00-{trace_id:032x}-{:016x}-{flags:02x}", self.span))
    }

    /// Exports the wait in the queue and the call.
    pub(super) fn ended(
        &self,
        message: &Message,
        route: &DeliveryRoute,
        attempt: &CompletedAttempt,
        verdict: &Verdict,
        queue: WorkQueue,
        tracer: Option<&Tracer>,
    ) {
        let Some(tracer) = tracer.filter(|_| self.decision == Decision::Exported) else {
            return;
        };
        let request_id = message.request_id;
        let (generation, number) = (message.generation, message.attempt);
        let waited = CallbackSpan::Queue(generation, number).id(request_id);
        let callback = [
            KeyValue::new("ringback.request_id", request_id.to_string()),
            KeyValue::new("ringback.app_id", message.app_id.clone()),
            KeyValue::new("ringback.message_type", message.message_type.clone()),
            KeyValue::new("ringback.attempt", i64::from(number)),
        ];
        let previous = message.history.last();
        let waiting_since = previous.map_or(message.accepted_at, |previous| {
            previous.started_at.saturating_add(previous.duration_ms)
        });
        let mut attributes = callback.to_vec();
        attributes.extend([
            KeyValue::new("messaging.destination.name", queue_label(queue)),
            KeyValue::new("ringback.deferrals", i64::from(message.deferrals)),
        ]);
        let (start, end) = (time(waiting_since), self.received_at);
        tracer.export(Span {
            name: "queue",
            kind: SpanKind::Consumer,
            trace_id: self.context.trace_id,
            id: waited,
            parent: Some(CallbackSpan::Accept.id(request_id)),
            parent_is_remote: true,
            start: start.min(end), // The clock of another machine.
            end,
            attributes,
            follows: previous.map(|previous| attempt_span(message, previous.number)),
            error: None,
        });
        let outcome = attempt.outcome.label();
        let mut attributes = callback.to_vec();
        attributes.extend([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("server.address", route.target.clone()),
            KeyValue::new("ringback.outcome", outcome),
            KeyValue::new("ringback.verdict", verdict_label(verdict)),
        ]);
        let status = attempt.outcome.http_status();
        attributes
            .extend(status.map(|it| KeyValue::new("http.response.status_code", i64::from(it))));
        let callee = message.callee_no.clone();
        attributes.extend(callee.map(|it| KeyValue::new("ringback.callee_no", it)));
        let start = time(attempt.started_at);
        tracer.export(Span {
            name: "attempt",
            kind: SpanKind::Client,
            trace_id: self.context.trace_id,
            id: self.span,
            parent: Some(waited),
            parent_is_remote: false,
            start,
            end: start + attempt.duration,
            attributes,
            follows: None,
            error: (*verdict != Verdict::Delivered).then_some(Cow::Borrowed(outcome)),
        });
    }

    /// Exports the time that the record took to be durable.
    pub(super) fn recorded(&self, message: &Message, took: Duration, tracer: Option<&Tracer>) {
        let Some(tracer) = tracer.filter(|_| self.decision == Decision::Exported) else {
            return;
        };
        let end = SystemTime::now();
        tracer.export(Span {
            name: "journal",
            kind: SpanKind::Producer,
            trace_id: self.context.trace_id,
            id: CallbackSpan::Record(message.generation, message.attempt).id(message.request_id),
            parent: Some(self.span),
            parent_is_remote: false,
            start: end.checked_sub(took).unwrap_or(end),
            end,
            attributes: Vec::new(),
            follows: None,
            error: None,
        });
    }
}

fn attempt_span(message: &Message, number: u32) -> u64 {
    CallbackSpan::Attempt(message.generation, number).id(message.request_id)
}

const fn verdict_label(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retry { .. } => "retry",
        Verdict::Defer { .. } => "deferred",
        Verdict::DeadLetter(_) => "dead_lettered",
    }
}

fn time(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::message;

    const ID: uuid::Uuid = uuid::Uuid::from_u128(0xab);
    const CALLERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn told(traceparent: Option<&str>, decision: Decision) -> String {
        let message = Message {
            request_id: ID,
            traceparent: traceparent.map(str::to_owned),
            ..message()
        };
        let mut trace = AttemptTrace::of(&message, false, None);
        trace.decision = decision;
        trace.span = 7;
        trace.traceparent(&message).into_owned()
    }

    #[test]
    fn a_target_continues_the_callers_trace_under_the_span_that_exists() {
        let ours = "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01";
        assert_eq!(told(Some(CALLERS), Decision::Exported), ours);
        assert_eq!(told(Some(CALLERS), Decision::NotSampled), CALLERS);
        assert_eq!(told(Some(CALLERS), Decision::Off), CALLERS);
    }

    #[test]
    fn without_a_callers_trace_one_begins_here() {
        let begun =
            |flags: &str| format!("00-000000000000000000000000000000ab-0000000000000007-{flags}");
        for traceparent in [None, Some("junk")] {
            assert_eq!(told(traceparent, Decision::Exported), begun("01"));
            assert_eq!(told(traceparent, Decision::NotSampled), begun("00"));
            assert_eq!(told(traceparent, Decision::Off), begun("01"));
        }
    }

    #[test]
    fn an_attempt_that_may_have_been_made_before_has_a_span_of_its_own() {
        let message = message();
        let first = AttemptTrace::of(&message, false, None);
        assert_eq!(first.span, attempt_span(&message, message.attempt));
        assert_ne!(AttemptTrace::of(&message, true, None).span, first.span);
    }
}
