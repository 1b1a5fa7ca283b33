//! Traces: spans that a collector of OpenTelemetry gets, by OTLP over HTTP.
//!
//! - `config.rs`: where to, and which share (`telemetry.otlp`)
//! - `exporter.rs`: the exporter, with what it counts and logs
//!
//! Off without an endpoint. Spans are kept in a bounded buffer and sent by a thread of their own: a
//! collector that is slow or away costs spans, never time.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{Link, SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};

mod config;
mod exporter;

pub use config::{OtlpConfig, TelemetryConfig};
pub use exporter::TraceMetrics;
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;

use exporter::CountedExporter;

/// The bits of a trace id that are random in every trace: W3C Trace Context level 2, 3.2.2.3.2. In a
/// UUID v7 they are, too.
const RANDOM_BITS: u32 = 56;
/// Spans that wait to be sent; more are dropped.
const BUFFERED: usize = 8_192;
/// How many are sent at once.
const BATCH: usize = 512;
/// How long a span waits for others at most.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the last spans may take when the process stops.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Exports the spans of a process.
#[derive(Debug)]
pub struct Tracer {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Traces whose random bits are below this are sampled.
    sampled_below: u64,
    metrics: TraceMetrics,
}

/// What a span tells.
#[derive(Debug)]
pub struct Span {
    /// What happened, of few kinds.
    pub name: &'static str,
    /// Its place between processes.
    pub kind: SpanKind,
    /// The trace.
    pub trace_id: u128,
    /// Its own id, not 0.
    pub id: u64,
    /// The span that it is a part of.
    pub parent: Option<u64>,
    /// Whether another process has the parent.
    pub parent_is_remote: bool,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What else is known.
    pub attributes: Vec<KeyValue>,
    /// An earlier span of this trace, from which it follows.
    pub follows: Option<u64>,
    /// Why it failed, if it did.
    pub error: Option<Cow<'static, str>>,
}

impl Tracer {
    /// Starts to export, if the settings name a collector. `version` is the program's.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn start(
        config: &TelemetryConfig,
        version: &'static str,
        resource: impl IntoIterator<Item = KeyValue>,
        metrics: TraceMetrics,
    ) -> Result<Option<Self>, String> {
        let Some(endpoint) = &config.otlp.endpoint else {
            return Ok(None);
        };
        let exporter = CountedExporter::new(endpoint, metrics.clone())?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(BUFFERED)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(INTERVAL)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name("ringback")
            .with_attribute(KeyValue::new("service.version", version))
            .with_attributes(resource)
            .build();
        processor.set_resource(&resource);
        Ok(Some(Self {
            processor,
            scope: InstrumentationScope::builder("ringback")
                .with_version(version)
                .build(),
            sampled_below: sampled_below(config.otlp.ratio),
            metrics,
        }))
    }

    /// Whether the spans of this trace are exported: as its caller decided, or by the ratio. All
    /// processes decide the same.
    #[must_use]
    pub fn samples(&self, trace_id: u128, callers_decision: Option<bool>) -> bool {
        callers_decision.unwrap_or_else(|| random_bits(trace_id) < self.sampled_below)
    }

    /// Exports a span, of a trace that is sampled. Never waits: while the collector is away, or slower
    /// than spans come, some are dropped.
    pub fn export(&self, span: Span) {
        self.metrics.ended();
        let trace_id = TraceId::from(span.trace_id);
        let context = |id: u64| {
            let (id, state) = (SpanId::from(id), TraceState::NONE);
            SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, state)
        };
        let mut links = SpanLinks::default();
        let follows = span.follows.map(context);
        links.links.extend(follows.map(Link::with_context));
        self.processor.on_end(SpanData {
            span_context: context(span.id),
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: span.parent_is_remote,
            span_kind: span.kind,
            name: Cow::Borrowed(span.name),
            start_time: span.start,
            end_time: span.end.max(span.start),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: match span.error {
                Some(description) => Status::Error { description },
                None => Status::Unset,
            },
            instrumentation_scope: self.scope.clone(),
        });
    }

    /// Sends what is buffered, for at most 3 s. Blocks.
    pub fn shutdown(&self) {
        // What could not be sent has been logged.
        let _ = self.processor.shutdown_with_timeout(SHUTDOWN);
    }
}

/// The bits of a trace id by which the ratio decides.
fn random_bits(trace_id: u128) -> u64 {
    let mask = (1_u128 << RANDOM_BITS) - 1;
    u64::try_from(trace_id & mask).unwrap_or(u64::MAX)
}

/// The bound of [`random_bits`] for a ratio between 0 and 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and 2^56"
)]
fn sampled_below(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * (1_u64 << RANDOM_BITS) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(ratio: f64) -> usize {
        let below = sampled_below(ratio);
        let ids =
            (0..10_000_u128).map(|id| id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        ids.filter(|id| random_bits(*id) < below).count()
    }

    #[test]
    fn the_ratio_is_the_share_of_traces_that_are_sampled() {
        assert_eq!(share(0.0), 0);
        assert_eq!(share(1.0), 10_000);
        let tenth = share(0.1);
        assert!((900..1_100).contains(&tenth), "{tenth}");
    }

    #[test]
    fn the_version_and_variant_of_a_uuid_do_not_decide() {
        let all = |bits: u128| bits << RANDOM_BITS;
        assert_eq!(random_bits(all(0xffff)), 0);
    }
}
