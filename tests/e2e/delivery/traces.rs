//! Traces: a collector gets one tree for each callback, from its caller to its target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use serde_json::json;
use tests::targets::ReservedAddress;
use tests::{
    BrokerKind, GatewayOptions, GatewayRole, Process, ScriptedReply, SharedGateway, TestTarget,
    eventually, http, on_shared_runtime,
};

const SOON: Duration = Duration::from_secs(60);
const JSON: (&str, &str) = ("content-type", "application/json");
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";

/// A collector of OpenTelemetry, until dropped.
struct Collector {
    target: TestTarget,
    spans: Arc<Mutex<Vec<SeenSpan>>>,
}

/// What a collector got of a span.
#[derive(Clone, Debug)]
struct SeenSpan {
    name: String,
    trace: String,
    id: String,
    parent: String,
    links: Vec<String>,
    kind: SpanKind,
    role: String,
    start: u64,
    end: u64,
    failed: bool,
    attributes: BTreeMap<String, String>,
}

impl Collector {
    fn start() -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&spans);
        let observer = move |request: &[u8]| {
            let request = ExportTraceServiceRequest::decode(body_of(request));
            let request = request.unwrap();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.extend(spans_of(request));
        };
        let reply = ScriptedReply::status(200)
            .header("content-type", "application/x-protobuf")
            .body("");
        Self {
            target: ReservedAddress::new().open_observed(reply, observer),
            spans,
        }
    }

    /// Waits for so many spans of this trace, in the order of their names and starts.
    async fn tree(&self, trace: &str, count: usize) -> Vec<SeenSpan> {
        let mut tree = eventually("the spans of a trace", SOON, async || {
            let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
            let of_trace: Vec<_> = spans.iter().filter(|it| it.trace == trace).collect();
            match of_trace.len() == count {
                true => Ok(of_trace.into_iter().cloned().collect::<Vec<_>>()),
                false => Err(format!("{of_trace:#?}")),
            }
        })
        .await;
        tree.sort_by(|a, b| (&a.name, a.start).cmp(&(&b.name, b.start)));
        tree
    }
}

/// The body of a request whose head has ended.
fn body_of(request: &[u8]) -> &[u8] {
    let head_end = request.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    &request[head_end + 4..]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<SeenSpan> {
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap_or_default().attributes;
        let texts = |attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>| {
            let text = |value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>| {
                use opentelemetry_proto::tonic::common::v1::any_value::Value;
                match value.and_then(|value| value.value) {
                    Some(Value::StringValue(text)) => text,
                    Some(Value::IntValue(number)) => number.to_string(),
                    other => format!("{other:?}"),
                }
            };
            attributes
                .into_iter()
                .map(|it| (it.key, text(it.value)))
                .collect::<BTreeMap<_, _>>()
        };
        let resource_attributes = texts(attributes);
        assert_eq!(resource_attributes["service.name"], "ringback");
        for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
            spans.push(SeenSpan {
                kind: span.kind(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
                role: resource_attributes["ringback.role"].clone(),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                failed: span.status.is_some_and(|it| it.code() == StatusCode::Error),
                attributes: texts(span.attributes),
            });
        }
    }
    spans
}

async fn gateway(endpoint: &str, ratio: &str) -> SharedGateway {
    SharedGateway::start(|_| {
        GatewayOptions {
            schedule: "1s,1s".to_owned(),
            ..GatewayOptions::default()
        }
        .with_journal()
        .with("RINGBACK__TELEMETRY__OTLP__ENDPOINT", endpoint)
        .with("RINGBACK__TELEMETRY__OTLP__RATIO", ratio)
    })
    .await
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLERS_SPAN}-{flags}")
}

#[test]
fn one_tree_leads_from_the_caller_over_a_retry_to_the_target() {
    on_shared_runtime(async {
        let collector = Collector::start();
        // The caller decides, not the ratio.
        let fixture = gateway(&collector.target.url(), "0").await;
        let fixture = fixture.in_test();
        let callback = fixture.callback("/flaky/1").to_string();
        let parent = traceparent("01");
        let headers = [JSON, ("traceparent", &*parent), ("tracestate", "a=1,b=2")];
        let answer = fixture.gateway.post_raw(callback, &headers).await;
        let id = answer.accepted();
        let received = fixture.received(&id, 2).await;

        // accept; and for each attempt the wait, the call and the record.
        let tree = collector.tree(TRACE, 7).await;
        let [accept, first, second, recorded, again, waited, longer] = &tree[..] else {
            panic!("{tree:#?}");
        };
        // In the order of their names: accept, attempt, journal, queue.
        let names: Vec<&str> = tree.iter().map(|span| &*span.name).collect();
        let (attempt, journal, queue) = ("attempt", "journal", "queue");
        assert_eq!(
            names,
            ["accept", attempt, attempt, journal, journal, queue, queue]
        );
        assert_eq!(accept.parent, CALLERS_SPAN);
        for (span, parent) in [
            (waited, accept),
            (longer, accept),
            (first, waited),
            (second, longer),
            (recorded, first),
            (again, second),
        ] {
            assert_eq!(span.parent, parent.id, "{span:#?}");
            assert!(span.start <= span.end, "{span:#?}");
        }
        // The retry is linked to what it repeats.
        assert_eq!(longer.links, std::slice::from_ref(&first.id));
        assert_eq!(waited.links, [] as [String; 0]);
        assert_eq!(
            (accept.kind, waited.kind, first.kind),
            (SpanKind::Server, SpanKind::Consumer, SpanKind::Client)
        );
        assert!(first.failed && !second.failed, "{first:#?} {second:#?}");
        assert_eq!(first.attributes["ringback.verdict"], "retry");
        assert_eq!(first.attributes["http.response.status_code"], "503");
        assert_eq!(second.attributes["ringback.verdict"], "delivered");
        for span in [accept, waited, first] {
            assert_eq!(span.attributes["ringback.request_id"], id);
        }
        let (ingress, dispatcher) = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => ("ingress", "dispatcher"),
            BrokerKind::Embedded => ("serve", "serve"),
        };
        assert_eq!((&*accept.role, &*second.role), (ingress, dispatcher));
        // The wait for the retry is in its span.
        let waited = Duration::from_nanos(longer.end - longer.start);
        assert!(waited >= Duration::from_secs(1), "{waited:?}");
        // Each request names the span of its attempt, which the collector has.
        for (request, span) in received.iter().zip([first, second]) {
            let expected = format!("00-{TRACE}-{}-01", span.id);
            assert_eq!(request.headers["traceparent"], expected);
            assert_eq!(request.headers["tracestate"], "a=1,b=2");
        }
        // The buckets of both attempts name it, for a scraper that knows exemplars.
        let role = GatewayRole::Dispatcher(0);
        let exemplar = format!("# {{trace_id=\"{TRACE}\"}}");
        let page = fixture.gateway.metrics(role).await;
        let named = |page: &str, name: &str| {
            let mut lines = page.lines().filter(|line| line.starts_with(name));
            lines.any(|line| line.contains(&exemplar))
        };
        for name in [
            "ringback_attempt_duration_seconds_bucket",
            "ringback_delivery_latency_seconds_bucket",
        ] {
            assert!(named(&page, name), "{page}");
        }
        let process = fixture.gateway.dispatchers.first();
        let dispatcher = process.unwrap_or(&fixture.gateway.ingress).metrics;
        let request = http::client().get(format!("http://{dispatcher}/metrics"));
        let request = request.header("accept", "text/plain;version=0.0.4");
        let answer = request.send().await.unwrap();
        let content_type = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let page = answer.text().await.unwrap();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
        assert!(page.contains("ringback_attempt_duration_seconds_bucket"));
        assert!(!page.contains("trace_id"), "{page}");
        // The log names the trace, too.
        let process = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => &fixture.gateway.dispatchers[0].process,
            BrokerKind::Embedded => &fixture.gateway.ingress.process,
        };
        let log = process.log();
        let lines = log.lines().filter(|line| line.contains(&id));
        let attempts: Vec<&str> = lines.filter(|line| line.contains("attempt ")).collect();
        assert_eq!(attempts.len(), 2, "{log}");
        let named = format!("\"trace_id\":\"{TRACE}\"");
        assert!(attempts.iter().all(|line| line.contains(&named)), "{log}");
    });
}

#[test]
fn a_trace_that_its_caller_does_not_record_is_not_exported() {
    on_shared_runtime(async {
        let collector = Collector::start();
        let fixture = gateway(&collector.target.url(), "1").await;
        let fixture = fixture.in_test();
        let callback = fixture.callback("/ok").to_string();
        let unsampled = traceparent("00");
        let headers = [JSON, ("traceparent", &*unsampled)];
        let answer = fixture.gateway.post_raw(callback.clone(), &headers).await;
        let received = fixture.received(&answer.accepted(), 1).await;
        assert_eq!(received[0].headers["traceparent"], unsampled);
        // Without a caller's trace the ratio decides, and the callback's id is the trace's.
        let answer = fixture.gateway.post_raw(callback, &[JSON]).await;
        let id = answer.accepted();
        let received = fixture.received(&id, 1).await;
        let own = id.replace('-', "");
        let tree = collector.tree(&own, 4).await;
        assert_eq!((&*tree[0].name, &*tree[0].parent), ("accept", ""));
        let expected = format!("00-{own}-{}-01", tree[1].id);
        assert_eq!(received[0].headers["traceparent"], expected);
        let spans = collector.spans.lock().unwrap();
        assert!(spans.iter().all(|span| span.trace == own), "{spans:#?}");
    });
}

#[test]
fn a_repeat_of_an_idempotency_key_and_a_replay_leave_each_span_one_id() {
    on_shared_runtime(async {
        let collector = Collector::start();
        let fixture = gateway(&collector.target.url(), "1").await;
        let fixture = fixture.in_test();
        let callback = fixture.callback("/status/400").to_string();
        let headers = [JSON, ("idempotency-key", "order-1")];
        let post = async || {
            let answer = fixture.gateway.post_raw(callback.clone(), &headers).await;
            answer.accepted()
        };
        let id = post().await;
        let trace = id.replace('-', "");
        collector.tree(&trace, 4).await;
        assert_eq!(post().await, id);
        // Its spans come after those of the repeat.
        let path = "/admin/v1/dead-letters/replay";
        let request = json!({ "ids": [id], "actor": "ops@example", "reason": "a test" });
        eventually("the replay of what is recorded as dead", SOON, async || {
            let answer = fixture.gateway.admin(path, Some(&request)).await;
            let replayed = answer["replayed"] == 1;
            replayed.then_some(()).ok_or_else(|| answer.to_string())
        })
        .await;
        let tree = collector.tree(&trace, 7).await;
        let ids: BTreeSet<&str> = tree.iter().map(|span| &*span.id).collect();
        assert_eq!(ids.len(), 7, "{tree:#?}");
        let named = |name: &str| tree.iter().filter(|it| it.name == name).collect::<Vec<_>>();
        assert_eq!(named("accept").len(), 1);
        let (attempts, waits) = (named("attempt"), named("queue"));
        assert_eq!(waits[1].links, std::slice::from_ref(&attempts[0].id));
        let waited = Duration::from_nanos(waits[1].end - waits[1].start);
        assert!(
            waited < Duration::from_secs(1),
            "not as a dead letter: {waited:?}"
        );
    });
}

#[test]
fn a_deferral_is_part_of_the_wait() {
    on_shared_runtime(async {
        let collector = Collector::start();
        let fixture = gateway(&collector.target.url(), "1").await;
        let fixture = fixture.in_test();
        let target = fixture.callee.url("/ok");
        let pause = json!({ "target": target, "actor": "ops@example", "reason": "a test" });
        fixture
            .gateway
            .admin("/admin/v1/pauses", Some(&pause))
            .await;
        let id = fixture.send(&fixture.callback("/ok")).await;
        let deferred = "ringback_deferrals_total{reason=\"paused\"}";
        eventually("a deferral", SOON, async || {
            let count = fixture.metric(GatewayRole::Dispatcher(0), deferred).await;
            (count > 0).then_some(()).ok_or(count.to_string())
        })
        .await;
        let admin = fixture.gateway.admin_url();
        let resume = ["resume", &target, "--reason", "done", "--admin", &admin];
        let mut resume = Process::ringback(&resume, [("USER", "ops")]);
        assert!(resume.wait_exit(SOON).await.success(), "{}", resume.log());
        fixture.received(&id, 1).await;
        let tree = collector.tree(&id.replace('-', ""), 4).await;
        let [accept, attempt, _, queue] = &tree[..] else {
            panic!("{tree:#?}");
        };
        assert_eq!((&*attempt.name, &*queue.name), ("attempt", "queue"));
        let deferrals: u32 = queue.attributes["ringback.deferrals"].parse().unwrap();
        assert!(deferrals > 0, "{queue:#?}");
        // One wait, from the acceptance to the attempt.
        assert!(
            queue.start < accept.end && queue.end <= attempt.start,
            "{tree:#?}"
        );
        assert_eq!(attempt.parent, queue.id);
    });
}

#[test]
fn the_spans_of_a_redelivery_have_ids_of_their_own_in_the_same_trace() {
    on_shared_runtime(async {
        let collector = Collector::start();
        let mut fixture = gateway(&collector.target.url(), "1").await;
        let id = fixture.send(&fixture.callback("/slow/3000")).await;
        fixture.received(&id, 1).await;
        // The attempt that it was making is not known to have ended.
        match BrokerKind::chosen() {
            BrokerKind::RabbitMq => fixture.gateway.restart_dispatcher(0).await,
            BrokerKind::Embedded => fixture.gateway.restart_ingress().await,
        }
        let received = fixture.received(&id, 2).await;
        let trace = id.replace('-', "");
        let is_of_attempt = |span: &&SeenSpan| span.trace == trace && span.name == "attempt";
        let attempt = eventually("the span of the attempt", SOON, async || {
            let spans = collector.spans.lock().unwrap();
            let attempts: Vec<_> = spans.iter().filter(is_of_attempt).cloned().collect();
            let [attempt] = &attempts[..] else {
                return Err(format!("{attempts:#?}"));
            };
            Ok(attempt.clone())
        })
        .await;
        let parent = |request: usize| received[request].headers["traceparent"].clone();
        assert_eq!(parent(1), format!("00-{trace}-{}-01", attempt.id));
        assert_ne!(
            parent(0),
            parent(1),
            "the first attempt has a span of its own"
        );
        assert!(parent(0).starts_with(&format!("00-{trace}-")));
    });
}

#[test]
fn a_collector_that_is_away_stops_no_callback_and_is_counted() {
    on_shared_runtime(async {
        let nobody = ReservedAddress::new();
        let endpoint = format!("http://{}", nobody.address());
        let fixture = gateway(&endpoint, "1").await;
        let fixture = fixture.in_test();
        for _ in 0..20 {
            let id = fixture.send(&fixture.callback("/ok")).await;
            fixture.received(&id, 1).await;
        }
        let failed = "ringback_trace_spans_exported_total{result=\"failure\"}";
        eventually("spans that could not be sent", SOON, async || {
            let count = fixture.metric(GatewayRole::Ingress, failed).await;
            (count > 0).then_some(()).ok_or(count.to_string())
        })
        .await;
        let log = fixture.gateway.ingress.process.log();
        assert!(
            log.contains("the collector of traces took no spans"),
            "{log}"
        );
    });
}
