//! A whole run: a gateway, its target, many callers, and the ledger at the end.
//!
//! - this file: [`Scenario`], a gateway on the broker under test
//! - `single_process.rs`: [`SingleProcess`], `ringback serve` on a directory of its own
//! - `record.rs`: what both enter in the ledger

mod record;
pub mod single_process;

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use contract::Message;
use serde_json::Value;

use crate::callers::{CallerAnswer, Callers, accepted_ids};
use crate::ledger::{Audit, Ledger};
use crate::{
    BrokerUnderTest, Callee, Gateway, GatewayOptions, GatewayRole, eventually, until_none_left,
};

pub use single_process::SingleProcess;

/// How long a gateway with accepted callbacks may make no progress. How fast it works off a backlog
/// depends on the machine, and these tests promise nothing about it. RabbitMQ sends what it moved between
/// two delay queues again only after 3 minutes, if the second one did not confirm it (its node was cut
/// off, say).
const STUCK_TIMEOUT: Duration = Duration::from_secs(240);

/// How long a graceful stop may take, the longest attempt of these tests included.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A gateway and a practice callee that remembers every request of the run.
#[derive(Debug)]
pub struct Scenario<'a> {
    /// The gateway.
    pub gateway: Gateway<'a>,
    /// Its target.
    pub callee: Callee,
}

impl<'a> Deref for Scenario<'a> {
    type Target = Gateway<'a>;

    fn deref(&self) -> &Gateway<'a> {
        &self.gateway
    }
}

impl DerefMut for Scenario<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.gateway
    }
}

impl<'a> Scenario<'a> {
    /// Starts both.
    ///
    /// # Panics
    /// When one of them does not start.
    pub async fn start(broker: impl Into<BrokerUnderTest<'a>>, options: GatewayOptions) -> Self {
        let callee = Callee::start_with_full_log().await;
        let gateway = Gateway::start(broker, options).await;
        Self { gateway, callee }
    }

    /// Starts callers, each on a connection of its own, whose callbacks go to these paths of the
    /// callee in turn.
    pub fn callers(&self, paths: &[&str], connections: usize, max_callbacks: u64) -> Callers {
        let targets: Vec<String> = paths.iter().map(|path| self.callee.url(path)).collect();
        Callers::start(self.ingress.address, &targets, connections, max_callbacks)
    }

    /// Waits until every accepted callback is delivered, stops the processes that make attempts,
    /// and checks the whole run against the callers' answers.
    ///
    /// # Panics
    /// When something is stuck, a process does not stop with code 0, or a promise is broken.
    pub async fn settle(&mut self, answers: &[CallerAnswer]) -> Audit {
        self.all_delivered(answers).await;
        until_none_left("messages in the queues", STUCK_TIMEOUT, async || {
            let depths = self.depths().await?;
            let left: u32 = depths.values().sum();
            Ok((left as usize, format!("{depths:?}")))
        })
        .await;
        for instance in self.gateway.dispatching_instances() {
            instance.process.sigterm();
        }
        for instance in self.gateway.dispatching_instances() {
            let ended = instance.process.wait_exit(STOP_TIMEOUT).await;
            assert_eq!(ended.code(), Some(0), "{ended}");
        }
        let audit = self.ledger(answers).await.audit().sound();
        // Messages in flight that were not settled have returned to their queue.
        assert_eq!(audit.queued, 0, "{audit}");
        audit
    }

    /// Waits until every accepted callback is delivered.
    ///
    /// # Panics
    /// When there is no progress for a while.
    pub async fn all_delivered(&self, answers: &[CallerAnswer]) {
        let accepted: BTreeSet<&str> = accepted_ids(answers).collect();
        until_none_left("callbacks not yet delivered", STUCK_TIMEOUT, async || {
            let received = self.callee.requests.received();
            let delivered = received.iter().filter(|one| one.status == Some(200));
            let delivered: BTreeSet<&str> = delivered.filter_map(|one| one.id.as_deref()).collect();
            let missing: Vec<_> = accepted.difference(&delivered).collect();
            let seen = match missing.first() {
                Some(one) => format!(
                    "{} missing, for instance {one}; {:?}",
                    missing.len(),
                    self.depths().await?
                ),
                None => String::new(),
            };
            Ok((missing.len(), seen))
        })
        .await;
    }

    /// The ledger of the run: the callers' answers, and everything that is found anywhere. It takes
    /// the messages out of the queues.
    ///
    /// # Panics
    /// When the broker is not reachable.
    pub async fn ledger(&self, answers: &[CallerAnswer]) -> Ledger {
        let taken = self.take_all().await.into_iter();
        // Recorders without records tell so every few seconds.
        let taken = taken.filter(|(queue, _)| queue != "journal");
        let taken = taken.map(|(queue, message)| {
            let decoded = Message::decode(&message.body).expect("a readable message");
            (queue, decoded)
        });
        record::ledger(answers, &self.callee, taken)
    }

    /// Waits until `/readyz` reports this state of the broker. Its status must be 200 throughout.
    ///
    /// # Panics
    /// When it does not within the time, or answers with another status.
    pub async fn broker_is(&self, role: GatewayRole, state: &str, within: Duration) {
        let what = format!("{role:?} to see the broker {state}");
        eventually(&what, within, async || {
            let (status, body) = self.get_details(role, "/readyz").await;
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
