//! The span of a request that is accepted, or refused.

use std::borrow::Cow;
use std::time::SystemTime;

use contract::{CallbackSpan, TraceContext};
use runtime::traces::{KeyValue, Span, SpanKind, Tracer};
use uuid::Uuid;

/// A request that is being answered, where spans are exported.
pub(crate) struct AcceptSpan<'a> {
    tracer: &'a Tracer,
    /// The caller's trace.
    caller: Option<TraceContext>,
    began: SystemTime,
}

impl<'a> AcceptSpan<'a> {
    /// Begins the span. `traceparent`: the caller's.
    pub(crate) fn begin(tracer: Option<&'a Tracer>, traceparent: Option<&str>) -> Option<Self> {
        Some(Self {
            tracer: tracer?,
            caller: traceparent.and_then(TraceContext::parse),
            began: SystemTime::now(),
        })
    }

    /// Exports the span of a request that was answered with this status. Only one that has begun the
    /// callback is in the callback's trace; another one (refused, or a repeat of an idempotency key) is
    /// seen in its caller's trace alone.
    pub(crate) fn end(
        self,
        request_id: Option<Uuid>,
        has_begun: bool,
        app_id: Option<&str>,
        http_status: u16,
    ) {
        let begun = request_id.filter(|_| has_begun);
        let context = match (begun, self.caller) {
            (_, Some(caller)) => caller,
            (Some(begun), None) => TraceContext::of(begun, None),
            (None, None) => return,
        };
        if !self.tracer.samples(context.trace_id, context.sampled) {
            return;
        }
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("url.path", "/api/callback"),
            KeyValue::new("http.response.status_code", i64::from(http_status)),
        ];
        let id = request_id.map(|id| KeyValue::new("ringback.request_id", id.to_string()));
        let app = app_id.map(|app| KeyValue::new("ringback.app_id", app.to_owned()));
        attributes.extend(id.into_iter().chain(app));
        self.tracer.export(Span {
            name: "accept",
            kind: SpanKind::Server,
            trace_id: context.trace_id,
            id: match begun {
                Some(begun) => CallbackSpan::Accept.id(begun),
                None => fastrand::u64(1..),
            },
            parent: context.parent,
            parent_is_remote: true,
            start: self.began,
            end: SystemTime::now(),
            attributes,
            follows: None,
            error: (http_status >= 500).then_some(Cow::Borrowed("not accepted")),
        });
    }
}
