//! On what do the tests of the operators' routes stand?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use boot::Live;
use boot::settings::AdminSettings;
use broker::{Broker, Lane, embedded};
use bytes::Bytes;
use contract::Message;
use delivery::Parties;
use dispatcher::{Pauses, Targets};
use journal::{Journal, Origin, Record, State};
use reqwest::{Client, Method};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admin::{Tools, moment, serve};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A queue and a journal in a directory of their own.
pub(crate) struct Ground {
    pub(crate) broker: Broker,
    pub(crate) journal: Journal,
    directory: PathBuf,
}

/// A message that is about to be given up.
pub(crate) fn letter(app: &str) -> Message {
    Message {
        request_id: Uuid::now_v7(),
        app_id: app.to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "hello".to_owned(),
        callback_url: Some("https://h.example/x?secret".to_owned()),
        options: contract::Options::default(),
        accepted_at: moment::now(),
        generation: 0,
        attempt: 3,
        parked: 0,
        not_before: None,
        traceparent: None,
        reply_to: None,
        history: Vec::new(),
        request_message: Bytes::from_static(b"{ \"n\" : 1 }"),
    }
}

/// The record of its end.
pub(crate) fn record(message: &Message, state: State) -> Record {
    let ends = matches!(state, State::Dead { .. } | State::Expired);
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
        dead_letter: ends.then(|| message.encode().into()),
    }
}

pub(crate) fn dead(reason: &str) -> State {
    State::Dead {
        reason: reason.to_owned(),
    }
}

impl Ground {
    pub(crate) async fn new() -> Self {
        boot::telemetry::install_crypto();
        let name = format!("ringback-admin-{}", Uuid::now_v7().simple());
        let directory = std::env::temp_dir().join(name);
        let settings = embedded::Settings {
            directory: directory.clone(),
            publish_timeout: Duration::from_secs(5),
        };
        let broker = Broker::open(&settings).unwrap();
        let journal = Journal::open(&directory).unwrap();
        journal.migrate().await.unwrap();
        Self {
            broker,
            journal,
            directory,
        }
    }

    /// A dead letter of which the journal knows. (The queue does not.)
    pub(crate) async fn give_up(&self, app: &str, reason: &str) -> Message {
        let message = letter(app);
        self.journal
            .record(&[record(&message, dead(reason))])
            .await
            .unwrap();
        message
    }

    /// The next message of a lane, taken for good.
    pub(crate) async fn next(&self, lane: Lane) -> Message {
        let mut consumer = self.broker.consume(lane, 1);
        let received = tokio::time::timeout(PATIENCE, consumer.next())
            .await
            .unwrap();
        let message = Message::decode(&received.body).unwrap();
        received.settle(broker::Settlement::Done).await.unwrap();
        consumer.close().await;
        message
    }

    /// Opens the operators' listener on it.
    pub(super) fn open(&self, token: Option<&str>, journal: bool) -> Asking {
        let settings = AdminSettings {
            token: token.map(Into::into),
            ..AdminSettings::default()
        };
        self.open_with(settings, journal)
    }

    /// Opens it with these settings, wherever it may.
    pub(super) fn open_with(&self, settings: AdminSettings, journal: bool) -> Asking {
        let stop = CancellationToken::new();
        let settings = AdminSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..settings
        };
        let tools = Tools {
            broker: self.broker.clone(),
            journal: journal.then(|| self.journal.clone()),
            parties: Live::new(Parties::new([]).unwrap()),
            retention: Duration::from_secs(3_600),
            pauses: Pauses::default(),
            targets: Targets::default(),
        };
        let (address, serving) = serve(&settings, tools, stop.clone()).unwrap();
        tokio::spawn(serving);
        Asking {
            base: format!("http://{address}"),
            client: Client::builder().no_proxy().build().unwrap(),
            stop,
        }
    }

    pub(crate) async fn end(self) {
        self.broker.close().await;
        self.journal.close().await;
        std::fs::remove_dir_all(self.directory).unwrap();
    }
}

/// Somebody who asks over HTTP.
pub(super) struct Asking {
    pub(super) base: String,
    pub(super) client: Client,
    stop: CancellationToken,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Asking {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
        )
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }
}
