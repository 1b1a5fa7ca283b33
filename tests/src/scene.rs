//! How is a whole run judged? A gateway, its target, many callers, and the ledger at the end.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use contract::Message;
use ringback::callee::Book;
use serde_json::Value;

use crate::callers::{self, Answer, Callers};
use crate::ledger::{Audit, Found, Ledger, Told, fingerprint};
use crate::{Callee, Gateway, GatewayOptions, Ground, Role, dwindles, eventually};

/// How long the gateway may stand still with accepted callbacks before it is called stuck. How fast
/// it works off what piled up is the machine's affair, and no promise of these tests.
const STUCK: Duration = Duration::from_secs(60);

/// How long a graceful stop may take, the longest attempt of these tests included.
const STOPPED: Duration = Duration::from_secs(20);

/// A gateway and a practice callee that remembers every request of the run.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The gateway.
    pub gateway: Gateway<'a>,
    /// Its target.
    pub callee: Callee,
}

impl<'a> Deref for Scene<'a> {
    type Target = Gateway<'a>;

    fn deref(&self) -> &Gateway<'a> {
        &self.gateway
    }
}

impl DerefMut for Scene<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.gateway
    }
}

impl<'a> Scene<'a> {
    /// Starts both.
    ///
    /// # Panics
    /// When one of them does not start.
    pub async fn start(ground: impl Into<Ground<'a>>, options: GatewayOptions) -> Self {
        // More than any run sends, so that nothing is forgotten.
        let callee = Callee::start_with(Book::bounded(1_000_000, 1 << 30)).await;
        let gateway = Gateway::start(ground, options).await;
        Self { gateway, callee }
    }

    /// Starts callers, each on a connection of its own, whose callbacks go to these paths of the
    /// callee in turn.
    pub fn callers(&self, paths: &[&str], connections: usize, most: u64) -> Callers {
        let targets: Vec<String> = paths.iter().map(|path| self.callee.url(path)).collect();
        Callers::start(self.ingress.address, &targets, connections, most)
    }

    /// Waits until every callback accepted is at the target, stops whoever makes attempts, and
    /// checks the whole run against what the callers were told.
    ///
    /// # Panics
    /// When something is stuck, a process does not stop with code 0, or a promise is broken.
    pub async fn settle(&mut self, answers: &[Answer]) -> Audit {
        self.all_delivered(answers).await;
        dwindles("messages in the queues", STUCK, async || {
            let waiting = self.depths().await?;
            let left: u32 = waiting.values().sum();
            Ok((left as usize, format!("{waiting:?}")))
        })
        .await;
        for door in self.gateway.doors_out() {
            door.process.sigterm();
        }
        for door in self.gateway.doors_out() {
            let ended = door.process.wait_exit(STOPPED).await;
            assert_eq!(ended.code(), Some(0), "{ended}");
        }
        let audit = self.ledger(answers).await.audit().sound();
        // What was in hand has come back to its queue, if it was not settled.
        assert_eq!(audit.queued, 0, "{audit}");
        audit
    }

    /// Waits until every callback accepted is at the target.
    ///
    /// # Panics
    /// When they become no fewer for a while.
    pub async fn all_delivered(&self, answers: &[Answer]) {
        let accepted: BTreeSet<&str> = answers
            .iter()
            .filter_map(|answer| match &answer.told {
                Told::Accepted(id) => Some(&**id),
                Told::Refused | Told::Unknown(_) => None,
            })
            .collect();
        dwindles("callbacks not yet at the target", STUCK, async || {
            let received = self.callee.book.received();
            let taken = received.iter().filter(|one| one.status == Some(200));
            let taken: BTreeSet<&str> = taken.filter_map(|one| one.id.as_deref()).collect();
            let missing: Vec<_> = accepted.difference(&taken).collect();
            let seen = match missing.first() {
                Some(one) => format!(
                    "{} missing, {one} is one; {:?}",
                    missing.len(),
                    self.depths().await?
                ),
                None => String::new(),
            };
            Ok((missing.len(), seen))
        })
        .await;
    }

    /// The books: what callers were told, and everything that is found anywhere. It takes what is in
    /// the queues out of them.
    ///
    /// # Panics
    /// When the broker is not there.
    pub async fn ledger(&self, answers: &[Answer]) -> Ledger {
        let mut ledger = Ledger::default();
        for answer in answers {
            let body = callers::message(answer.token);
            ledger.sent(answer.token, body.as_bytes(), answer.told.clone());
        }
        for one in self.callee.book.received() {
            let body = one.body.as_bytes();
            let found = Found {
                token: callers::token(body),
                id: one.id.clone().unwrap_or_default(),
                attempt: one.attempt.unwrap_or_default(),
                body: fingerprint(body),
            };
            ledger.seen(found, one.status == Some(200));
        }
        for (queue, taken) in self.take_all().await {
            let message = Message::decode(&taken.body).expect("a readable message");
            let found = Found {
                token: callers::token(&message.request_message),
                id: message.request_id.to_string(),
                attempt: message.attempt,
                body: fingerprint(&message.request_message),
            };
            if queue == "dead" {
                ledger.dead(found);
            } else {
                ledger.queued(found);
            }
        }
        ledger
    }

    /// Waits until `/readyz` says so of the broker, and gives how it answered: always with 200.
    ///
    /// # Panics
    /// When it does not within the time, or answers with another status.
    pub async fn broker_is(&self, role: Role, state: &str, within: Duration) {
        let what = format!("{role:?} to see the broker {state}");
        eventually(&what, within, async || {
            let (status, body) = self.get(role, "/readyz").await;
            assert_eq!(status, 200, "{body}");
            let seen: Value = serde_json::from_str(&body).expect("JSON");
            let seen = seen["broker"].as_str().expect("a state").to_owned();
            if seen.starts_with(state) {
                Ok(())
            } else {
                Err(seen)
            }
        })
        .await;
    }
}
