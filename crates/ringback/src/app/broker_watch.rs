//! Shows the broker's state on `/readyz` and in the metrics.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use broker::{Broker, ConnectionState, Depth, Depths, Queue};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::Health;
use runtime::metrics::{Labeled, Registry, add, add_seconds};
use tokio::sync::watch::Receiver;

/// Of a metric whose one series appears with the first reading.
type NoLabels = [(&'static str, &'static str); 0];

/// Metrics of the broker.
#[derive(Debug)]
pub(super) struct BrokerMetrics {
    up: Labeled<Gauge>,
    blocked: Gauge,
    queue_messages: Labeled<Gauge>,
    queue_stale: Labeled<Gauge>,
    delayed: Family<NoLabels, Gauge>,
    oldest_due: Family<NoLabels, Gauge<f64, AtomicU64>>,
    free_disk: Family<NoLabels, Gauge>,
}

/// The label of the delay queues among the queues.
const DELAYED: &str = "delayed";

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
            queue_stale: Labeled::register(
                registry,
                "queue_messages_stale",
                "Whether the number of messages in a queue could not be read again (1) or is current (0)",
                "queue",
                &[],
            ),
            delayed: add(
                registry,
                "delayed_messages",
                "Delayed messages that are not due, as last seen",
                Family::default(),
            ),
            oldest_due: add_seconds(
                registry,
                "oldest_due_age",
                "How long the oldest message of the backlog has been due (embedded store)",
                Family::default(),
            ),
            free_disk: add(
                registry,
                "free_disk_bytes",
                "Free bytes on the disk of the embedded store",
                Family::default(),
            ),
        }
    }

    fn set_up(&self, connection: &'static str, up: bool) {
        self.up.with(connection, |gauge| gauge.set(up.into()));
    }

    fn set_free_disk(&self, free: Option<u64>) {
        match free {
            Some(free) => {
                let free = i64::try_from(free).unwrap_or(i64::MAX);
                self.free_disk.get_or_create(&[]).set(free);
            }
            None => _ = self.free_disk.remove(&[]),
        }
    }

    fn set_depths(&self, depths: &Depths) {
        for queue in Queue::ALL {
            let depth = depths.of(queue);
            if let Some(messages) = depth.last_known() {
                self.queue_messages
                    .with(queue.as_str(), |gauge| gauge.set(messages.into()));
            }
            self.set_stale(queue.as_str(), depth);
        }
        if let Some(messages) = depths.delayed.last_known() {
            self.delayed.get_or_create(&[]).set(messages.into());
        }
        self.set_stale(DELAYED, depths.delayed);
        if let Some(age) = depths.oldest_due_age {
            self.oldest_due.get_or_create(&[]).set(age.as_secs_f64());
        } else if let Some(gauge) = self.oldest_due.get(&[]) {
            gauge.set(0.0);
        }
    }

    fn set_stale(&self, queue: &'static str, depth: Depth) {
        if depth.last_known().is_some() {
            let stale = depth.is_stale();
            self.queue_stale
                .with(queue, |gauge| gauge.set(stale.into()));
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
    if let Some(free) = broker.free_disk_bytes() {
        tokio::spawn(follow_free_disk(free, Arc::clone(&metrics)));
    }
    tokio::spawn(follow_states(publishing, consuming, health, metrics));
}

async fn follow_depths(mut depths: Receiver<Depths>, metrics: Arc<BrokerMetrics>) {
    while depths.changed().await.is_ok() {
        let seen = *depths.borrow_and_update();
        metrics.set_depths(&seen);
    }
}

async fn follow_free_disk(mut free: Receiver<Option<u64>>, metrics: Arc<BrokerMetrics>) {
    loop {
        let seen = *free.borrow_and_update();
        metrics.set_free_disk(seen);
        if free.changed().await.is_err() {
            return; // The store is closed.
        }
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
    use std::time::Duration;

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

    fn page_after(shown: &[Depths]) -> String {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(BrokerMetrics::register);
        for depths in shown {
            metrics.set_depths(depths);
        }
        registry.encode()
    }

    fn every_depth() -> Depths {
        Depths {
            first: Depth::fresh(1),
            retry: Depth::fresh(2),
            delivery_limit: Depth::fresh(3),
            unrouted: Depth::fresh(4),
            dead: Depth::fresh(5),
            unreadable: Depth::fresh(6),
            journal: Depth::fresh(7),
            delayed: Depth::fresh(8),
            oldest_due_age: Some(Duration::from_millis(1_500)),
        }
    }

    #[test]
    fn each_queue_has_its_depth_in_the_metrics() {
        let page = page_after(&[every_depth()]);
        for (queue, depth) in [
            ("first", 1),
            ("retry", 2),
            ("delivery_limit", 3),
            ("unrouted", 4),
            ("dead", 5),
            ("unreadable", 6),
            ("journal", 7),
        ] {
            let line = format!("ringback_queue_messages{{queue=\"{queue}\"}} {depth}\n");
            assert!(page.contains(&line), "{line}{page}");
            let line = format!("ringback_queue_messages_stale{{queue=\"{queue}\"}} 0\n");
            assert!(page.contains(&line), "{line}{page}");
        }
        for line in [
            "ringback_delayed_messages{} 8\n",
            "ringback_queue_messages_stale{queue=\"delayed\"} 0\n",
            "ringback_oldest_due_age_seconds{} 1.5\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
    }

    #[tokio::test]
    async fn the_free_space_of_the_disk_is_shown_where_it_is_known() {
        let (registry, free) = (MetricsRegistry::new(), watch::channel(Some(5)).1);
        let metrics = Arc::new(registry.add(BrokerMetrics::register));
        let shown = || registry.encode().contains("ringback_free_disk_bytes{} 5\n");
        assert!(!shown());
        follow_free_disk(free, Arc::clone(&metrics)).await;
        assert!(shown());
        metrics.set_free_disk(None);
        assert!(!registry.encode().contains("ringback_free_disk_bytes{"));
    }

    #[test]
    fn an_unknown_depth_has_no_series() {
        let page = page_after(&[Depths::default()]);
        for name in [
            "ringback_queue_messages{",
            "stale{",
            "ringback_delayed_messages{",
            "age_seconds{",
        ] {
            assert!(!page.contains(name), "{name}: {page}");
        }
    }

    #[test]
    fn a_depth_that_cannot_be_read_again_keeps_its_value_and_is_marked() {
        let unread = Depths {
            dead: Depth::stale(5),
            delayed: Depth::stale(8),
            oldest_due_age: None,
            ..every_depth()
        };
        let page = page_after(&[every_depth(), unread]);
        for line in [
            "ringback_queue_messages{queue=\"dead\"} 5\n",
            "ringback_queue_messages_stale{queue=\"dead\"} 1\n",
            "ringback_queue_messages_stale{queue=\"first\"} 0\n",
            "ringback_delayed_messages{} 8\n",
            "ringback_queue_messages_stale{queue=\"delayed\"} 1\n",
            "ringback_oldest_due_age_seconds{} 0.0\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
    }
}
