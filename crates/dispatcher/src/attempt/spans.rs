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
    /// The spans of the wait, the attempt and the record.
    queue_span: u64,
    span: u64,
    record_span: u64,
    decision: Decision,
    received_at: SystemTime,
}

/// What ended in a deferral is no attempt: its wait goes on.
const fn is_attempt(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Defer { .. })
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
        let id = |span: CallbackSpan| match redelivered {
            false => span.id(message.request_id),
            // Two spans must not have one id.
            true => fastrand::u64(1..),
        };
        let (generation, number) = (message.generation, message.attempt);
        Self {
            context,
            queue_span: id(CallbackSpan::Queue(generation, number)),
            span: id(CallbackSpan::Attempt(generation, number)),
            record_span: id(CallbackSpan::Record(generation, number)),
            decision,
            received_at: SystemTime::now(),
        }
    }

    /// The id of the trace, for the log.
    pub(super) const fn trace_id(&self) -> u128 {
        self.context.trace_id
    }

    /// The same, for the metrics: if [`Self::ended`] gives the spans of an attempt with this verdict to the
    /// exporter, which may still lose them.
    pub(super) fn exported_id(&self, verdict: &Verdict) -> Option<u128> {
        let exported = self.decision == Decision::Exported && is_attempt(verdict);
        exported.then_some(self.context.trace_id)
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
        if !is_attempt(verdict) {
            return;
        }
        let (request_id, number) = (message.request_id, message.attempt);
        let callback = [
            KeyValue::new("ringback.request_id", request_id.to_string()),
            KeyValue::new("ringback.app_id", message.app_id.clone()),
            KeyValue::new("ringback.message_type", message.message_type.clone()),
            KeyValue::new("ringback.attempt", i64::from(number)),
        ];
        let Wait { since, follows } = Wait::of(message);
        let mut attributes = callback.to_vec();
        attributes.extend([
            KeyValue::new("messaging.destination.name", queue_label(queue)),
            KeyValue::new("ringback.deferrals", i64::from(message.deferrals)),
        ]);
        let end = self.received_at;
        let start = since.map_or(end, time);
        tracer.export(Span {
            name: "queue",
            kind: SpanKind::Consumer,
            trace_id: self.context.trace_id,
            id: self.queue_span,
            parent: Some(CallbackSpan::Accept.id(request_id)),
            parent_is_remote: true,
            start: start.min(end), // The clock of another machine.
            end,
            attributes,
            follows,
            error: None,
        });
        let outcome = attempt.outcome.label();
        let mut attributes = callback.to_vec();
        attributes.extend([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("ringback.target", route.target.clone()),
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
            parent: Some(self.queue_span),
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
            id: self.record_span,
            parent: Some(self.span),
            parent_is_remote: false,
            start: end.checked_sub(took).unwrap_or(end),
            end,
            attributes: vec![KeyValue::new(
                "ringback.request_id",
                message.request_id.to_string(),
            )],
            follows: None,
            error: None,
        });
    }
}

/// The wait before an attempt.
#[derive(Debug, PartialEq, Eq)]
struct Wait {
    /// Since when, Unix ms. `None`: it is not known.
    since: Option<u64>,
    /// The attempt before it.
    follows: Option<u64>,
}

impl Wait {
    fn of(message: &Message) -> Self {
        let id =
            |generation, number| CallbackSpan::Attempt(generation, number).id(message.request_id);
        let replay = (message.attempt == 1).then(|| message.generation.checked_sub(1));
        match (message.history.last(), replay.flatten()) {
            // Its last attempt may be long ago: in between it was a dead letter.
            (previous, Some(generation)) => Self {
                since: message.scheduled_at,
                follows: previous.map(|previous| id(generation, previous.number)),
            },
            (Some(previous), None) => Self {
                since: Some(previous.started_at.saturating_add(previous.duration_ms)),
                follows: Some(id(message.generation, previous.number)),
            },
            (None, None) => Self {
                since: Some(message.accepted_at),
                follows: None,
            },
        }
    }
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
    fn an_attempt_that_may_have_been_made_before_has_spans_of_its_own() {
        let message = message();
        let first = AttemptTrace::of(&message, false, None);
        let known = CallbackSpan::Attempt(0, 1).id(message.request_id);
        assert_eq!(first.span, known);
        let again = AttemptTrace::of(&message, true, None);
        assert_ne!(again.span, first.span);
        assert_ne!(again.queue_span, first.queue_span);
        assert_ne!(again.record_span, first.record_span);
    }

    #[test]
    fn a_wait_follows_the_attempt_before_it_and_a_replay_the_last_one_of_its_former_life() {
        let attempt = |generation, number| Some(CallbackSpan::Attempt(generation, number).id(ID));
        let first = Message {
            request_id: ID,
            accepted_at: 5,
            ..message()
        };
        let wait = Wait {
            since: Some(5),
            follows: None,
        };
        assert_eq!(Wait::of(&first), wait);
        let mut retry = Message {
            attempt: 3,
            ..first
        };
        retry.push_history(contract::HistoryEntry {
            number: 2,
            started_at: 100,
            duration_ms: 20,
            outcome: "timeout".to_owned(),
            http_status: None,
            unknown: contract::UnknownFields::default(),
        });
        let wait = Wait {
            since: Some(120),
            follows: attempt(0, 2),
        };
        assert_eq!(Wait::of(&retry), wait);
        let replay = Message {
            generation: 1,
            attempt: 1,
            ..retry
        };
        let wait = Wait {
            since: None,
            follows: attempt(0, 2),
        };
        assert_eq!(Wait::of(&replay), wait);
    }
}
