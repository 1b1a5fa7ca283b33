//! The API on a queue and a journal in a new directory, and a client of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Queue, embedded};
use bytes::Bytes;
use contract::control::{
    AppsSeen, Ask, AttemptsSeen, ControlAnswerBody, InstanceReport, TargetsSeen,
};
use contract::{Message, UnknownFields};
use delivery::CalleeRegistry;
use dispatcher::PauseRegistry;
use journal::{Journal, Origin, Record, RecordedState};
use reqwest::{Client, Method};
use runtime::clock::now_ms;
use runtime::http::HttpLimits;
use runtime::{Health, MetricsRegistry, Reloadable, SettingOrigin, SettingsShown};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::{AdminDependencies, AdminMetrics, AdminTokens, DoctorSources, serve};
use crate::config::AdminConfig;
use crate::control::{ControlPlane, Responder};
use crate::guard_check::GuardRules;

/// How long anything may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A queue and a journal in a new directory.
pub(crate) struct ApiFixture {
    pub(crate) broker: Broker,
    pub(crate) journal: Journal,
    directory: PathBuf,
}

/// Settings of a process.
fn settings() -> SettingsShown {
    SettingsShown {
        toml: "[retry]\nschedule = \"1s 30s\"\n\n[admin]\ntoken = \"***\"\n".to_owned(),
        origins: vec![SettingOrigin {
            key: "admin.token".to_owned(),
            place: "RINGBACK__ADMIN__TOKEN".to_owned(),
        }],
    }
}

/// A process that sees nothing.
struct Alone;

impl Responder for Alone {
    fn identity(&self) -> InstanceReport {
        InstanceReport {
            role: "admin".to_owned(),
            clock: now_ms(),
            ..InstanceReport::default()
        }
    }

    fn answer(&self, ask: Ask) -> ControlAnswerBody {
        match ask {
            Ask::Identity => ControlAnswerBody::Identity(Box::new(self.identity())),
            Ask::Targets => ControlAnswerBody::Targets(TargetsSeen::default()),
            Ask::Apps => ControlAnswerBody::Apps(AppsSeen::default()),
            Ask::Held(_) => ControlAnswerBody::Held(None),
            Ask::ProbeNow(_) => ControlAnswerBody::Probed(0),
            Ask::Attempts(_) => ControlAnswerBody::Attempts(AttemptsSeen::default()),
        }
    }
}

/// A message before its last attempt.
pub(crate) fn message(app: &str) -> Message {
    Message {
        request_id: Uuid::now_v7(),
        app_id: app.to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "hello".to_owned(),
        callback_url: Some("https://h.example/x?secret".to_owned()),
        options: contract::Options::default(),
        accepted_at: now_ms(),
        generation: 0,
        attempt: 3,
        deferrals: 0,
        hold: 0,
        not_before: None,
        scheduled_at: None,
        traceparent: None,
        tracestate: None,
        reply_to: None,
        history: Vec::new(),
        unknown: UnknownFields::default(),
        request_message: Bytes::from_static(b"{ \"n\" : 1 }"),
    }
}

/// A record of this message with this state.
pub(crate) fn record(message: &Message, state: RecordedState) -> Record {
    let is_dead_letter = matches!(state, RecordedState::Dead { .. } | RecordedState::Expired);
    Record {
        origin: Origin {
            request_id: message.request_id,
            app_id: message.app_id.clone(),
            caller_no: None,
            callee_no: None,
            message_type: message.message_type.clone(),
            callback_url: None,
            target: "https://h.example:443".to_owned(),
            accepted_at: message.accepted_at,
        },
        generation: message.generation,
        attempt: message.attempt,
        at: message.accepted_at,
        state,
        attempted: None,
        hold: message.hold,
        message: is_dead_letter.then(|| message.encode().into()),
    }
}

pub(crate) fn dead(reason: &str) -> RecordedState {
    RecordedState::Dead {
        reason: reason.to_owned(),
    }
}

impl ApiFixture {
    pub(crate) async fn new() -> Self {
        runtime::telemetry::install_crypto();
        let name = format!("ringback-admin-{}", Uuid::now_v7().simple());
        let directory = std::env::temp_dir().join(name);
        let options = embedded::EmbeddedOptions {
            directory: directory.clone(),
            publish_timeout: Duration::from_secs(5),
            min_free_bytes: 0,
        };
        let broker = Broker::open(&options).unwrap();
        let journal = Journal::open(&directory).unwrap();
        journal.migrate().await.unwrap();
        Self {
            broker,
            journal,
            directory,
        }
    }

    /// A dead letter in the journal, but not in the queue.
    pub(crate) async fn dead_letter(&self, app: &str, reason: &str) -> Message {
        let message = message(app);
        self.journal
            .record(&[record(&message, dead(reason))])
            .await
            .unwrap();
        message
    }

    /// Takes the next message of a queue.
    pub(crate) async fn next(&self, queue: Queue) -> Message {
        let mut consumer = self.broker.consume(queue, 1);
        let received = tokio::time::timeout(TIMEOUT, consumer.next())
            .await
            .unwrap();
        let message = Message::decode(&received.body).unwrap();
        received.settle(broker::Settlement::Complete).await.unwrap();
        consumer.close().await;
        message
    }

    /// Serves the API.
    pub(crate) fn serve(&self, token: Option<&str>, journal: bool) -> TestClient {
        let config = AdminConfig {
            token: token.map(Into::into),
            ..AdminConfig::default()
        };
        self.serve_with(config, journal)
    }

    /// Serves the API with these settings, on any port.
    pub(crate) fn serve_with(&self, config: AdminConfig, journal: bool) -> TestClient {
        let mut dependencies = self.dependencies();
        if !journal {
            dependencies.journal = None;
        }
        Self::serve_dependencies(config, dependencies)
    }

    /// Serves the API of these dependencies, on any port.
    pub(crate) fn serve_dependencies(
        config: AdminConfig,
        dependencies: AdminDependencies,
    ) -> TestClient {
        let stop = CancellationToken::new();
        let config = AdminConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..config
        };
        let (address, serving) = serve(&config, dependencies, stop.clone()).unwrap();
        tokio::spawn(serving);
        TestClient {
            base: format!("http://{address}"),
            http: Client::builder().no_proxy().build().unwrap(),
            stop,
        }
    }

    pub(crate) fn dependencies(&self) -> AdminDependencies {
        AdminDependencies {
            broker: self.broker.clone(),
            journal: Some(self.journal.clone()),
            callee_registry: Reloadable::new(CalleeRegistry::new([]).unwrap()),
            retention: Duration::from_secs(3_600),
            dead_letter_retention: Duration::from_secs(24 * 3_600),
            pauses: PauseRegistry::default(),
            control: ControlPlane::start(
                &self.broker,
                false,
                Arc::new(Alone),
                &CancellationToken::new(),
            ),
            has_ingress: true,
            doctor: DoctorSources {
                process: "tests@here:1".to_owned(),
                health: Health::new(),
                dispatches: false,
                min_free_bytes: 0,
            },
            guard_rules: Reloadable::new(GuardRules::closed()),
            http: HttpLimits::uncounted(),
            metrics: MetricsRegistry::new().add(AdminMetrics::register),
            tokens: Reloadable::new(AdminTokens::default()),
            settings: Arc::new(settings),
        }
    }

    /// The file of the journal.
    pub(crate) fn journal_file(&self) -> PathBuf {
        self.directory.join("journal.db")
    }

    pub(crate) async fn close(self) {
        self.broker.close().await;
        self.journal.close().await;
        std::fs::remove_dir_all(self.directory).unwrap();
    }
}

/// A client of the API. Dropping it stops the server.
pub(crate) struct TestClient {
    pub(crate) base: String,
    pub(super) http: Client,
    stop: CancellationToken,
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestClient {
    /// The same client at another address of this machine: failures are counted by address.
    pub(super) fn at(&self, last: u8) -> Client {
        let address = std::net::IpAddr::from([127, 0, 0, last]);
        let client = Client::builder().no_proxy().local_address(address);
        client.build().unwrap()
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> reqwest::Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        request.send().await.unwrap()
    }

    async fn json(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let response = self.send(method, path, body).await;
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.json(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.json(Method::POST, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> (u16, Value) {
        self.json(Method::DELETE, path, None).await
    }
}
