//! Keeps the topology complete: finds missing objects while the process runs, and declares them
//! again.
//!
//! A passive declare needs no permission and no agreement of the nodes. Declaring and binding do:
//! on a cluster with a silent node a binding can hang until it is back. So only what is missing is
//! declared, each request has a deadline, and nothing that serves waits for it. Bindings cannot be
//! looked for: they are declared again with their exchange or queue, once after the start, and when
//! a message matched none.

use super::check::{Look, Plan, TopologyFindings, declare, look, show_unanswered};
use super::objects::Topology;
use super::target_queue::TargetQueue;
use crate::faults::{FaultEvent, FaultKind};
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::monitor::Monitor;
use lapin::Connection;
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// Between two checks; up to as long again is added by chance, so that processes take turns.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// Between two checks that were asked for.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Between two declarations of all bindings that were asked for.
const REBIND_INTERVAL: Duration = Duration::from_secs(30);

/// Looks after the topology through this connection, as long as the process runs.
pub(in crate::rabbitmq) async fn keep(
    connection: ManagedConnection,
    topology: Arc<Topology>,
    may_declare: bool,
) {
    let monitor = Arc::clone(connection.monitor());
    let mut keeper = Keeper {
        topology: &topology,
        monitor: &monitor,
        may_declare,
        rebind: may_declare,
        rebound_at: None,
    };
    while let Some(session) = connection.session().await {
        let down = session.down.clone();
        down.run_until_cancelled(keeper.run(&session)).await;
    }
}

struct Keeper<'a> {
    topology: &'a Topology,
    monitor: &'a Monitor,
    may_declare: bool,
    /// Whether all bindings are to be declared at the next check.
    rebind: bool,
    rebound_at: Option<tokio::time::Instant>,
}

impl Keeper<'_> {
    /// Checks now, and then from time to time, or when something is suspected.
    async fn run(&mut self, session: &Session) {
        loop {
            // Blocked, nothing would be written.
            if !session.is_blocked()
                && let Err(reason) = self.check(&session.connection).await
            {
                tracing::debug!(reason, "the topology could not be checked");
            }
            let by_chance = RandomState::new().hash_one(CHECK_INTERVAL) % 30_000;
            let mut interval = CHECK_INTERVAL + Duration::from_millis(by_chance);
            if self.may_declare && self.monitor.is_rebind_asked() {
                interval = REBIND_INTERVAL; // It was asked for too soon after the last one.
            }
            tokio::time::sleep(MIN_INTERVAL).await;
            let _ = tokio::time::timeout(interval, self.monitor.suspected()).await;
        }
    }

    async fn check(&mut self, connection: &Connection) -> Result<(), String> {
        let rested = self
            .rebound_at
            .is_none_or(|at| at.elapsed() >= REBIND_INTERVAL);
        if rested && self.may_declare && self.monitor.take_rebind() {
            self.rebind = true;
            self.rebound_at = Some(tokio::time::Instant::now());
        }
        let mut found = look(connection, self.topology, Look::Whole).await?;
        show_unanswered(self.topology, &found.unanswered, self.monitor);
        if self.may_declare && (self.rebind || !found.missing.is_empty()) {
            self.declare(connection, &mut found).await;
        }
        self.show_missing(&found.missing);
        Ok(())
    }

    /// Declares what is missing, and takes it from the findings.
    async fn declare(&mut self, connection: &Connection, found: &mut TopologyFindings) {
        let rebind = self.rebind;
        let missing = found.missing_names();
        let plan = Plan {
            object: Box::new(|name| missing.contains(name)),
            binding: Box::new(|spec| {
                let ends = [&*spec.source, &*spec.destination];
                rebind || ends.iter().any(|name| missing.contains(name))
            }),
        };
        match declare(connection, self.topology, plan).await {
            Ok((declared, complete)) => {
                for name in &declared {
                    let object = self.topology.short(name);
                    tracing::warn!(object, "a missing exchange or queue was declared again");
                    self.monitor.count(FaultEvent::Declared, "");
                }
                found
                    .missing
                    .retain(|(name, _)| !declared.contains(&&**name));
                // The bindings of what was declared now must not be forgotten.
                self.rebind = !complete;
                if !complete {
                    tracing::warn!("the broker does not answer a declaration; trying again");
                }
            }
            Err(reason) => {
                self.rebind = false;
                tracing::warn!(reason, "the topology cannot be completed");
            }
        }
    }

    fn show_missing(&self, missing: &[(String, String)]) {
        let meaning = match self.may_declare {
            true => "an exchange or queue is missing, and could not be declared again",
            false => {
                "an exchange or queue is missing: import the definitions again \
                 (broker.declare is false)"
            }
        };
        let names: BTreeSet<&str> = missing.iter().map(|(name, _)| &**name).collect();
        let (exchanges, queues) = (&self.topology.exchanges, &self.topology.queues);
        let all = exchanges.iter().map(|spec| &spec.name);
        let all: BTreeSet<&str> = all
            .chain(queues.iter().map(|spec| &spec.name))
            .map(|name| &**name)
            .collect();
        for name in all {
            let short = self.topology.short(name);
            match names.contains(name) {
                true => self.monitor.raise(FaultKind::Missing, short, meaning),
                false => self.monitor.clear(FaultKind::Missing, short),
            }
        }
        // A queue of the same name may be missing while its exchange is there: then messages go to
        // the queue of unrouted ones, which loses nothing.
        let is_missing = |destination: &TargetQueue| {
            let exchange = destination.exchange(self.topology);
            missing
                .iter()
                .any(|(name, reason)| *name == exchange && reason.contains("exchange"))
        };
        let bits = TargetQueue::all().filter(is_missing);
        self.monitor.set_missing(bits.map(TargetQueue::bit).sum());
    }
}
