//! A gateway and a practice callee that several tests share.
//!
//! Each test looks for its own `request_id`. Messages that can only be taken from a queue in order
//! (dead letters, unreadable ones) are kept for the test that looks for them.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::Message;
use ringback::practice_callee::ReceivedRequest;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::queue_message::QueueMessage;
use crate::{BrokerUnderTest, Callee, Gateway, GatewayOptions, GatewayRole, eventually};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(30);

/// A gateway on the shared broker and a practice callee. Start it under
/// [`crate::on_shared_runtime`] and keep it in a static: its processes then end with the test
/// process.
#[derive(Debug)]
pub struct SharedGateway {
    /// The gateway.
    pub gateway: Gateway<'static>,
    /// The target of most callbacks.
    pub callee: Callee,
    dead_letters: Mutex<HashMap<String, DeadLetterMessage>>,
    unreadable: Mutex<HashMap<Bytes, QueueMessage>>,
}

/// A dead letter, decoded.
#[derive(Debug)]
pub struct DeadLetterMessage {
    /// As it was in the queue.
    pub taken: QueueMessage,
    /// As the dispatcher would decode it.
    pub message: Message,
}

impl DeadLetterMessage {
    /// The header `ringback-reason`.
    pub fn reason(&self) -> String {
        self.taken.header("ringback-reason").unwrap_or_default()
    }

    /// The outcomes of its attempts, oldest first.
    pub fn outcomes(&self) -> Vec<&str> {
        let attempts = self.message.history.iter();
        attempts.map(|attempt| &*attempt.outcome).collect()
    }
}

impl SharedGateway {
    /// Starts both; the options may depend on where the callee listens.
    ///
    /// # Panics
    /// When one of them does not start.
    pub async fn start(options: impl FnOnce(&Callee) -> GatewayOptions) -> Self {
        let callee = Callee::start().await;
        let options = options(&callee);
        Self {
            gateway: Gateway::start(BrokerUnderTest::shared().await, options).await,
            callee,
            dead_letters: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// A good callback to a path of the callee.
    pub fn callback(&self, path: &str) -> Value {
        callback(&self.callee.url(path))
    }

    /// POSTs a callback that must be accepted, and returns its request id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn send(&self, callback: &Value) -> String {
        self.gateway.post(callback).await.accepted()
    }

    /// The callee's requests with this id, once there are `count`.
    ///
    /// # Panics
    /// When there are fewer after a while.
    pub async fn received(&self, id: &str, count: usize) -> Vec<Arc<ReceivedRequest>> {
        eventually(&format!("{count} attempts of {id}"), SOON, async || {
            let received = self.callee.requests.for_id(id);
            if received.len() >= count {
                Ok(received)
            } else {
                Err(format!("{} attempts", received.len()))
            }
        })
        .await
    }

    /// The dead letter of this id.
    ///
    /// # Panics
    /// When there is none after a while, or one that cannot be read.
    pub async fn dead_letter(&self, id: &str) -> DeadLetterMessage {
        eventually(&format!("the dead letter of {id}"), SOON, async || {
            let mut dead = self.dead_letters.lock().await;
            while let Some(taken) = self.gateway.take_dead_letter().await {
                let message = Message::decode(&taken.body).expect("a readable dead letter");
                dead.insert(
                    message.request_id.to_string(),
                    DeadLetterMessage { taken, message },
                );
            }
            dead.remove(id)
        })
        .await
    }

    /// The unreadable message with this body.
    ///
    /// # Panics
    /// When there is none after a while.
    pub async fn unreadable(&self, body: &[u8]) -> QueueMessage {
        eventually("the unreadable message", SOON, async || {
            let mut unreadable = self.unreadable.lock().await;
            while let Some(taken) = self.gateway.take("unreadable").await? {
                unreadable.insert(taken.body.clone(), taken);
            }
            let found = unreadable.remove(body);
            found.ok_or_else(|| format!("{unreadable:?}"))
        })
        .await
    }

    /// The value of one time series of a role; 0 if it does not exist (yet).
    pub async fn metric(&self, role: GatewayRole, series: &str) -> u64 {
        let page = self.gateway.metrics(role).await;
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Marks one test's use of the gateway: if the test fails, the ends of its logs are printed.
    pub fn in_test(&self) -> SharedGatewayUse<'_> {
        SharedGatewayUse(self)
    }
}

/// See [`SharedGateway::in_test`].
#[derive(Debug)]
pub struct SharedGatewayUse<'a>(&'a SharedGateway);

impl Deref for SharedGatewayUse<'_> {
    type Target = SharedGateway;

    fn deref(&self) -> &SharedGateway {
        self.0
    }
}

impl Drop for SharedGatewayUse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for instance in self.0.gateway.instances() {
                instance.process.show_log();
            }
        }
    }
}

/// A good callback to this URL.
pub fn callback(url: &str) -> Value {
    json!({
        "callback_url": url,
        "app_id": "5SV4BVSY0OXQ3ZSA",
        "message_type": "order.paid",
        "request_message": { "field1": 1 },
    })
}
