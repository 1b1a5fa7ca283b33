//! The exporter of spans, with what it counts and logs.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Exporter};
use prometheus_client::metrics::counter::Counter;
use url::Url;

use super::config::traces_url;
use crate::log_limit::LogLimit;
use crate::metrics::{Labeled, Registry, add};

/// How long a collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

static NOT_EXPORTED: LogLimit = LogLimit::new();

/// What became of the spans. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    ended: Counter,
    exported: Arc<Labeled<Counter>>,
}

impl TraceMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            ended: add(
                registry,
                "trace_spans",
                "Spans of sampled traces that ended in this process; what is neither exported nor failed was dropped, or waits",
                Counter::default(),
            ),
            exported: Arc::new(Labeled::register(
                registry,
                "trace_spans_exported",
                "Spans that were sent to the collector, by result",
                "result",
                ["success", "failure"],
            )),
        }
    }

    pub(super) fn ended(&self) {
        self.ended.inc();
    }

    fn exported(&self, count: usize, successful: bool) {
        let result = if successful { "success" } else { "failure" };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.exported.with(result, |counter| counter.inc_by(count));
    }
}

/// An exporter that counts, and says in the log why spans were not taken.
#[derive(Debug)]
pub(super) struct CountedExporter {
    inner: SpanExporter,
    metrics: TraceMetrics,
}

impl CountedExporter {
    pub(super) fn new(endpoint: &Url, metrics: TraceMetrics) -> Result<Self, String> {
        let url = traces_url(endpoint);
        // A blocking client must not be made on a thread of the runtime.
        let client = std::thread::spawn(|| {
            reqwest::blocking::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(TIMEOUT)
                .build()
        });
        let client = match client.join() {
            Ok(client) => client.map_err(|error| error.to_string())?,
            Err(_) => return Err("no HTTP client could be made".to_owned()),
        };
        let inner = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(url.as_str())
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { inner, metrics })
    }
}

impl Exporter for CountedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.inner.export(batch).await;
        self.metrics.exported(count, result.is_ok());
        if let Err(error) = &result
            && let Some(suppressed) = NOT_EXPORTED.permit()
        {
            tracing::warn!(
                %error,
                spans = count,
                suppressed,
                "the collector of traces took no spans (telemetry.otlp.endpoint); callbacks go on"
            );
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
