//! How do several tests share one gateway without treading on one another's toes?
//!
//! Each test looks for its own `request_id`. What can only be taken out of a queue one after the
//! other (dead letters, poison) is taken by whoever looks and kept for whom it concerns.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::Message;
use ringback::callee::Received;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::taken::Taken;
use crate::{Callee, Gateway, GatewayOptions, Ground, Role, eventually};

/// How long a fact may take that nothing but the machine's load holds up.
const SOON: Duration = Duration::from_secs(30);

/// A gateway on the shared ground and a practice callee. Start it under [`crate::together`] and
/// keep it in a static: its processes then end with the test process.
#[derive(Debug)]
pub struct World {
    /// The gateway.
    pub gateway: Gateway<'static>,
    /// The target of most callbacks.
    pub callee: Callee,
    dead: Mutex<HashMap<String, DeadLetter>>,
    poison: Mutex<HashMap<Bytes, Taken>>,
}

/// A dead letter, read.
#[derive(Debug)]
pub struct DeadLetter {
    /// As it stood in the queue.
    pub taken: Taken,
    /// As the dispatcher would read it.
    pub message: Message,
}

impl DeadLetter {
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

impl World {
    /// Starts both; the options may depend on where the callee listens.
    ///
    /// # Panics
    /// When one of them does not start.
    pub async fn start(options: impl FnOnce(&Callee) -> GatewayOptions) -> Self {
        let callee = Callee::start().await;
        let options = options(&callee);
        Self {
            gateway: Gateway::start(Ground::shared().await, options).await,
            callee,
            dead: Mutex::default(),
            poison: Mutex::default(),
        }
    }

    /// A good callback to a path of the callee.
    pub fn callback(&self, path: &str) -> Value {
        callback(&self.callee.url(path))
    }

    /// POSTs a callback that must be accepted, and says under which id it was.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn send(&self, callback: &Value) -> String {
        self.gateway.post(callback).await.accepted()
    }

    /// What the callee received under this id, as soon as it is `count` requests.
    ///
    /// # Panics
    /// When there are fewer after a while.
    pub async fn received(&self, id: &str, count: usize) -> Vec<Arc<Received>> {
        eventually(&format!("{count} attempts of {id}"), SOON, async || {
            let received = self.callee.book.for_id(id);
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
    pub async fn dead_letter(&self, id: &str) -> DeadLetter {
        eventually(&format!("the dead letter of {id}"), SOON, async || {
            let mut dead = self.dead.lock().await;
            while let Some(taken) = self.gateway.get_dead().await {
                let message = Message::decode(&taken.body).expect("a readable dead letter");
                dead.insert(
                    message.request_id.to_string(),
                    DeadLetter { taken, message },
                );
            }
            dead.remove(id)
        })
        .await
    }

    /// The poison with this body.
    ///
    /// # Panics
    /// When there is none after a while.
    pub async fn poison(&self, body: &[u8]) -> Taken {
        eventually("the poison", SOON, async || {
            let mut poison = self.poison.lock().await;
            while let Some(taken) = self.gateway.take("poison").await? {
                poison.insert(taken.body.clone(), taken);
            }
            poison.remove(body).ok_or_else(|| format!("{poison:?}"))
        })
        .await
    }

    /// The value of one time series of a role, 0 when it is not there (yet).
    pub async fn metric(&self, role: Role, series: &str) -> u64 {
        let page = self.gateway.metrics(role).await;
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// A test's stay in this world; if the test fails, the ends of the gateway's logs are printed.
    pub fn visit(&self) -> Visit<'_> {
        Visit(self)
    }
}

/// See [`World::visit`].
#[derive(Debug)]
pub struct Visit<'a>(&'a World);

impl Deref for Visit<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        self.0
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for door in self.0.gateway.doors() {
                door.process.show_log();
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
