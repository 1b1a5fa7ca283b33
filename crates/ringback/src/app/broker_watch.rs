//! Shows the broker's state on `/readyz` and in the metrics.

use std::sync::Arc;

use broker::{Broker, ConnectionState, Depths, Queue};
use prometheus_client::metrics::gauge::Gauge;
use runtime::Health;
use runtime::metrics::{Labeled, Registry, add};
use tokio::sync::watch::Receiver;

/// Metrics of the broker.
#[derive(Debug)]
pub(super) struct BrokerMetrics {
    up: Labeled<Gauge>,
    blocked: Gauge,
    queue_messages: Labeled<Gauge>,
}

impl BrokerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            up: Labeled::register(
                registry,
                "broker_up",
                "Whether a connection to the broker is up (1) or not (0)",
                "connection",
                &[],
            ),
            blocked: add(
                registry,
                "broker_blocked",
                "Whether the broker blocks publishing (1) or not (0)",
                Gauge::default(),
            ),
            // Series appear with the first reading: zero would be a guess.
            queue_messages: Labeled::register(
                registry,
                "queue_messages",
                "Messages in a queue, as last seen",
                "queue",
                &[],
            ),
        }
    }

    fn set_up(&self, connection: &'static str, up: bool) {
        self.up.with(connection, |gauge| gauge.set(up.into()));
    }

    fn set_depths(&self, depths: &Depths) {
        for queue in Queue::ALL {
            let messages = i64::from(depths.of(queue));
            self.queue_messages
                .with(queue.as_str(), |gauge| gauge.set(messages));
        }
    }
}

/// Feeds health and metrics from the broker's states and depths until the broker is closed. The
/// process needs the consuming connection if it `consumes`.
pub(super) fn watch(
    broker: &Broker,
    consumes: bool,
    health: Arc<Health>,
    metrics: Arc<BrokerMetrics>,
) {
    let publishing = broker.publishing();
    let consuming = consumes.then(|| broker.consuming());
    tokio::spawn(follow_depths(broker.depths(), Arc::clone(&metrics)));
    tokio::spawn(follow_states(publishing, consuming, health, metrics));
}

async fn follow_depths(mut depths: Receiver<Depths>, metrics: Arc<BrokerMetrics>) {
    while depths.changed().await.is_ok() {
        let seen = *depths.borrow_and_update();
        metrics.set_depths(&seen);
    }
}

async fn follow_states(
    mut publishing: Receiver<ConnectionState>,
    mut consuming: Option<Receiver<ConnectionState>>,
    health: Arc<Health>,
    metrics: Arc<BrokerMetrics>,
) {
    loop {
        let publish = publishing.borrow_and_update().clone();
        let consume = consuming
            .as_mut()
            .map(|state| state.borrow_and_update().clone());
        metrics.set_up("publish", publish.is_up());
        metrics
            .blocked
            .set(matches!(publish, ConnectionState::Blocked(_)).into());
        if let Some(consume) = &consume {
            metrics.set_up("consume", consume.is_up());
        }
        if publish.is_up() && consume.as_ref().is_none_or(ConnectionState::is_up) {
            health.broker_connected();
        }
        health.set_broker(describe(&publish, consume.as_ref()));
        let changed = tokio::select! {
            changed = publishing.changed() => changed,
            changed = changed(&mut consuming) => changed,
        };
        if changed.is_err() {
            return; // The broker is closed.
        }
    }
}

async fn changed(
    state: &mut Option<Receiver<ConnectionState>>,
) -> Result<(), tokio::sync::watch::error::RecvError> {
    match state {
        Some(state) => state.changed().await,
        None => std::future::pending().await,
    }
}

/// The state of the broker for people; both connections where they differ.
fn describe(publish: &ConnectionState, consume: Option<&ConnectionState>) -> String {
    match consume {
        Some(consume) if consume != publish => {
            format!("publishing: {publish}; consuming: {consume}")
        }
        Some(_) | None => publish.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use runtime::MetricsRegistry;
    use tokio::sync::watch;

    use super::*;

    fn down() -> ConnectionState {
        ConnectionState::Disconnected("gone".to_owned())
    }

    fn blocked() -> ConnectionState {
        ConnectionState::Blocked("memory".to_owned())
    }

    #[test]
    fn connections_in_different_states_are_both_named() {
        for (publish, consume, expected) in [
            (ConnectionState::Connected, None, "connected"),
            (blocked(), None, "blocked: memory"),
            (
                ConnectionState::Connected,
                Some(ConnectionState::Connected),
                "connected",
            ),
            (
                blocked(),
                Some(down()),
                "publishing: blocked: memory; consuming: disconnected: gone",
            ),
        ] {
            assert_eq!(describe(&publish, consume.as_ref()), expected);
        }
    }

    /// Runs until the states have been read: the senders are gone, so the task ends.
    async fn after(
        publish: ConnectionState,
        consume: Option<ConnectionState>,
    ) -> (Arc<Health>, String) {
        let (health, registry) = (Health::new(), MetricsRegistry::new());
        let metrics = Arc::new(registry.add(BrokerMetrics::register));
        let publishing = watch::channel(publish).1;
        let consuming = consume.map(|state| watch::channel(state).1);
        follow_states(publishing, consuming, Arc::clone(&health), metrics).await;
        (health, registry.encode())
    }

    #[tokio::test]
    async fn a_process_is_ready_once_all_connections_that_it_needs_are_up() {
        for (publish, consume, ready) in [
            (ConnectionState::Connected, None, true),
            (blocked(), None, true),
            (down(), None, false),
            (
                ConnectionState::Connected,
                Some(ConnectionState::Connected),
                true,
            ),
            (ConnectionState::Connected, Some(down()), false),
            (down(), Some(ConnectionState::Connected), false),
        ] {
            let named = format!("{publish:?} {consume:?}");
            let (health, _) = after(publish, consume).await;
            assert_eq!(health.is_ready(), ready, "{named}");
        }
    }

    #[tokio::test]
    async fn the_metrics_show_each_connection_and_the_block() {
        let (_, page) = after(blocked(), Some(down())).await;
        for line in [
            "ringback_broker_up{connection=\"publish\"} 1",
            "ringback_broker_up{connection=\"consume\"} 0",
            "ringback_broker_blocked 1",
        ] {
            assert!(page.contains(line), "{page}");
        }
        let (_, page) = after(ConnectionState::Connected, None).await;
        assert!(page.contains("ringback_broker_blocked 0"), "{page}");
        assert!(!page.contains("consume"), "{page}");
    }

    #[tokio::test]
    async fn each_queue_has_its_depth_in_the_metrics() {
        let registry = MetricsRegistry::new();
        let metrics = Arc::new(registry.add(BrokerMetrics::register));
        let (sender, depths) = watch::channel(Depths::default());
        sender.send_replace(Depths {
            first: 1,
            retry: 2,
            delivery_limit: 3,
            unrouted: 4,
            dead: 5,
            unreadable: 6,
            journal: 7,
        });
        let following = tokio::spawn(follow_depths(depths, metrics));
        let seen = || registry.encode().contains("{queue=\"journal\"} 7");
        while !seen() {
            tokio::task::yield_now().await;
        }
        drop(sender);
        following.await.unwrap();
        let page = registry.encode();
        for (queue, depth) in [
            ("first", 1),
            ("retry", 2),
            ("delivery_limit", 3),
            ("unrouted", 4),
            ("dead", 5),
            ("unreadable", 6),
        ] {
            let line = format!("ringback_queue_messages{{queue=\"{queue}\"}} {depth}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
    }
}
