//! Tests of ingress over real connections, on the embedded broker and its journal.
//!
//! The tests act as the dispatcher.
//!
//! - `admission.rs`: admission with the journal away, and without one.
//! - `interface.rs`: methods, CORS, the headers of limits, the OpenAPI document and its page.
//! - `idempotency.rs`: idempotency keys.
//! - `query.rs`: queries and cancellations.
//! - `wait.rs`: `Prefer: wait=N` on a new callback.

mod admission;
mod idempotency;
mod interface;
mod query;
mod wait;

use crate::config::IngressConfig;
use crate::state::{AppState, IngressDependencies};
use crate::{IngressMetrics, server};
use actix_web::web;
use broker::{Broker, Consumer, EmbeddedOptions, Queue, Settlement};
use contract::{Message, Reply, ReplyCode};
use delivery::auth::CallerRegistry;
use delivery::{CalleeRegistry, Guards};
use journal::{Journal, JournalHandle, Recorder};
use runtime::http::HttpLimits;
use runtime::{Health, MetricsRegistry, Reloadable};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(40);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running ingress, and the broker and journal behind it.
struct TestIngress {
    address: SocketAddr,
    state: web::Data<AppState>,
    broker: Broker,
    journal: Journal,
    registry: MetricsRegistry,
    stop: CancellationToken,
    directory: PathBuf,
}

/// A response as received.
#[derive(Debug)]
struct TestResponse {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl TestIngress {
    async fn start() -> Self {
        Self::with(|_, _| ()).await
    }

    async fn with(change: impl FnOnce(&mut IngressConfig, &mut IngressDependencies)) -> Self {
        let name = format!("ringback-ingress-{}", Uuid::now_v7());
        let directory = std::env::temp_dir().join(name);
        let publish_timeout = Duration::from_secs(1);
        let broker = Broker::open(&EmbeddedOptions {
            directory: directory.clone(),
            publish_timeout: TIMEOUT,
            min_free_bytes: 0,
        });
        let broker = broker.unwrap();
        let journal = Journal::open(&directory).unwrap();
        journal.migrate().await.unwrap();
        let recorder = Recorder::start(Arc::new(journal.clone()), 1_000);
        let mut config = IngressConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 1,
            // The tests act as the dispatcher, and know no probes.
            target_delay: Duration::ZERO,
            ..IngressConfig::default()
        };
        let health = Health::new();
        let registry = MetricsRegistry::new();
        let mut dependencies = IngressDependencies {
            broker: broker.clone(),
            callers: Reloadable::new(CallerRegistry::open()),
            callees: Reloadable::new(CalleeRegistry::new([]).unwrap()),
            guards: Reloadable::new(Guards::default()),
            metrics: Arc::new(registry.add(IngressMetrics::register)),
            traffic: crate::AppTraffic::default(),
            http: HttpLimits::uncounted(),
            health: Arc::clone(&health),
            journal: Some(JournalHandle {
                journal: journal.clone(),
                recorder,
                keep: journal::JournalConfig::default().keep(),
            }),
            max_journal_backlog: 1_000,
            publish_timeout,
            intake: tokio::sync::watch::channel(None).1,
            is_held: Arc::new(|_| Box::pin(async { false })),
            tracer: None,
        };
        change(&mut config, &mut dependencies);
        let stop = CancellationToken::new();
        let limits = dependencies.http.clone();
        let state = web::Data::new(AppState::new(&config, dependencies, stop.clone()));
        let bound = server::bind(&config, state.clone(), &limits, health, stop.clone());
        let (address, serving) = bound.unwrap();
        tokio::spawn(serving);
        Self {
            address,
            state,
            broker,
            journal,
            registry,
            stop,
            directory,
        }
    }

    /// Sends a request on a new connection.
    async fn connect(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> TestResponse {
        let mut stream = self.connect(method, path, headers, body).await;
        let mut response = String::new();
        let read = stream.read_to_string(&mut response);
        tokio::time::timeout(TIMEOUT, read).await.unwrap().unwrap();
        TestResponse::parse(&response)
    }

    async fn post(&self, headers: &str, body: &str) -> TestResponse {
        self.ask("POST", "/api/callback", headers, body).await
    }

    async fn get(&self, id: impl ToString) -> TestResponse {
        let path = format!("/api/callback/{}", id.to_string());
        self.ask("GET", &path, "", "").await
    }

    async fn delete(&self, id: impl ToString) -> TestResponse {
        let path = format!("/api/callback/{}", id.to_string());
        self.ask("DELETE", &path, "", "").await
    }

    /// The next message of the queue `first`.
    async fn take(&self, first: &mut Consumer) -> Message {
        let received = tokio::time::timeout(TIMEOUT, first.next()).await.unwrap();
        let message = Message::decode(&received.body).unwrap();
        received.settle(Settlement::Complete).await.unwrap();
        message
    }

    fn first(&self) -> Consumer {
        self.broker.consume(Queue::First, 10)
    }

    /// Replies as a dispatcher does at the end of a first attempt.
    fn reply(&self, message: &Message, code: ReplyCode) {
        let request_id = message.request_id;
        let reply = Reply { request_id, code }.encode();
        let address = message.reply_to.clone().unwrap();
        self.broker.reply(address, reply.into());
    }
}

impl Drop for TestIngress {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl TestResponse {
    fn parse(response: &str) -> Self {
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            status: status.parse().unwrap(),
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    /// A string field of the body, `""` if absent.
    fn text(&self, name: &str) -> &str {
        let begin = format!("\"{name}\":\"");
        let rest = self.body.split_once(&begin).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split('"').next())
            .unwrap_or_default()
    }

    fn id(&self) -> Uuid {
        let id = self.text("request_id");
        id.parse().unwrap_or_else(|_| panic!("no id: {self:?}"))
    }

    fn summary(&self) -> (u16, &str) {
        (self.status, self.text("code"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A valid request with these options.
fn callback(options: &str) -> String {
    format!(
        r#"{{"callback_url":"https://x.cn/a?t=1","app_id":"a","message_type":"m","request_message":{{}},"options":{options}}}"#
    )
}

/// Polls until `check` succeeds.
async fn eventually<T>(mut check: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    loop {
        match check().await {
            Ok(found) => return found,
            Err(seen) if tokio::time::Instant::now() > deadline => panic!("timed out: {seen}"),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}
