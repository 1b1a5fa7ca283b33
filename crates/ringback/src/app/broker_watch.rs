//! Shows the broker's state on `/readyz` and in the metrics.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;

use broker::{
    Broker, BrokerFaults, CONFIRM_QUEUES, ConnectionState, Depth, Depths, FaultEvent, Queue,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::Health;
use runtime::metrics::{Labeled, Registry, TimeHistogram, add, add_seconds};
use tokio::sync::watch::Receiver;
use tokio::sync::watch::error::RecvError;

use super::role::ProcessRole;

/// Of a metric whose one series appears with the first reading.
type NoLabels = [(&'static str, &'static str); 0];

/// Of a metric whose series come and go.
type OneLabel = [(&'static str, &'static str); 1];

/// From a sync or a confirm at once to what is near the deadline of a publish.
static CONFIRM_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The queues that processes consume all the time.
const CONSUMED: [Queue; 3] = [Queue::First, Queue::Retry, Queue::Journal];

/// Metrics of the broker.
#[derive(Debug)]
pub(super) struct BrokerMetrics {
    up: Labeled<Gauge>,
    blocked: Gauge,
    queue_messages: Labeled<Gauge>,
    queue_stale: Labeled<Gauge>,
    delayed: Family<NoLabels, Gauge>,
    oldest_due: Family<NoLabels, Gauge<f64, AtomicU64>>,
    stored: Family<NoLabels, Gauge>,
    free_disk: Family<NoLabels, Gauge>,
    consumers: Family<OneLabel, Gauge>,
    reconnects: Labeled<Counter>,
    confirm_duration: Arc<Labeled<TimeHistogram>>,
    faults: Gauge,
    events: FaultCounters,
}

/// What the broker counts of single queues; bounded by the topology.
#[derive(Debug)]
struct FaultCounters {
    nacks: Labeled<Counter>,
    overdue: Labeled<Counter>,
    late_confirms: Labeled<Counter>,
    silent_consumers: Labeled<Counter>,
    declared: Counter,
}

impl FaultCounters {
    fn register(registry: &mut Registry) -> Self {
        let mut by_queue = |name, help| Labeled::register(registry, name, help, "queue", []);
        Self {
            nacks: by_queue(
                "publish_nacks",
                "Publishes that the broker nacked, by the queue they were for",
            ),
            overdue: by_queue(
                "publish_overdue",
                "Publishes without a confirm at their deadline, by the queue they were for",
            ),
            late_confirms: by_queue(
                "publish_late_confirms",
                "Publishes that were confirmed after their deadline, by the queue they were for",
            ),
            silent_consumers: by_queue(
                "consumer_silent",
                "Connections made anew because messages were ready in a queue and none arrived",
            ),
            declared: add(
                registry,
                "topology_declared",
                "Missing exchanges and queues that were declared again",
                Counter::default(),
            ),
        }
    }

    /// Counts what has happened since `before`.
    fn add(&self, before: &BrokerFaults, now: &BrokerFaults) {
        for (event, queue, count) in now.counts() {
            let counted = before
                .counts()
                .find(|(known, name, _)| (*known, *name) == (event, queue));
            // Zero as well: what has not happened yet has a series, too.
            let new = count - counted.map_or(0, |(.., count)| count);
            let add = |counter: &Counter| counter.inc_by(new);
            match event {
                FaultEvent::Nack => self.nacks.with(queue, add),
                FaultEvent::Overdue => self.overdue.with(queue, add),
                FaultEvent::LateConfirm => self.late_confirms.with(queue, add),
                FaultEvent::SilentConsumer => self.silent_consumers.with(queue, add),
                FaultEvent::Declared => _ = add(&self.declared),
            }
        }
    }
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
                [],
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
                [],
            ),
            queue_stale: Labeled::register(
                registry,
                "queue_messages_stale",
                "Whether the number of messages in a queue could not be read again (1) or is current (0)",
                "queue",
                [],
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
            stored: add(
                registry,
                "stored_bytes",
                "Bytes that the messages of all queues take in the file of the embedded store",
                Family::default(),
            ),
            free_disk: add(
                registry,
                "free_disk_bytes",
                "Free bytes on the disk of the embedded store",
                Family::default(),
            ),
            consumers: add(
                registry,
                "queue_consumers",
                "Consumers of a queue, of all processes, as last seen",
                Family::<OneLabel, Gauge>::default(),
            ),
            reconnects: Labeled::register(
                registry,
                "broker_reconnects",
                "How often a connection to the broker was up again after it had been lost",
                "connection",
                [],
            ),
            confirm_duration: Arc::new(Labeled::register_seconds(
                registry,
                "publish_confirm_duration",
                "From the writing of a message to its confirm, or to the sync of the embedded store, by queue",
                "queue",
                CONFIRM_QUEUES,
                || TimeHistogram::new(&CONFIRM_SECONDS),
            )),
            faults: add(
                registry,
                "broker_faults",
                "Whether /readyz names a fault of a single queue or exchange (1) or none (0)",
                Gauge::default(),
            ),
            events: FaultCounters::register(registry),
        }
    }

    fn set_up(&self, connection: &'static str, up: bool) {
        self.up.with(connection, |gauge| gauge.set(up.into()));
    }

    /// Also with zero: so the series begins.
    fn reconnected(&self, connection: &'static str, times: u64) {
        self.reconnects
            .with(connection, |counter| counter.inc_by(times));
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
        for (queue, consumers) in Queue::ALL.into_iter().zip(depths.consumers) {
            let labels = [("queue", queue.as_str())];
            match consumers.filter(|_| CONSUMED.contains(&queue)) {
                Some(consumers) => {
                    let gauge = self.consumers.get_or_create(&labels);
                    gauge.set(consumers.into());
                }
                None => _ = self.consumers.remove(&labels),
            }
        }
        if let Some(age) = depths.oldest_due_age {
            self.oldest_due.get_or_create(&[]).set(age.as_secs_f64());
        } else if let Some(gauge) = self.oldest_due.get(&[]) {
            gauge.set(0.0);
        }
        match depths.stored_bytes {
            Some(bytes) => {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.stored.get_or_create(&[]).set(bytes);
            }
            None => _ = self.stored.remove(&[]),
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

/// The connections of a process, beside the one that publishes callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeededConnections {
    consume: bool,
    publish_records: bool,
    consume_records: bool,
    /// The process does nothing but to store records.
    only_records: bool,
}

impl NeededConnections {
    /// `shared_journal`: records travel through the broker.
    pub(super) fn of(role: ProcessRole, shared_journal: bool) -> Self {
        Self {
            consume: role.dispatches(),
            publish_records: shared_journal,
            consume_records: shared_journal && role.stores_records(),
            only_records: role == ProcessRole::Recorder,
        }
    }
}

/// A connection whose state is shown.
struct WatchedConnection {
    /// In the metrics.
    label: &'static str,
    /// On `/readyz`.
    name: &'static str,
    /// Whether the process is not ready before it has been up. Records never hold up callbacks.
    is_required: bool,
    /// Whether it was up when last looked at; `None`: it has never been.
    was_up: Option<bool>,
    state: Receiver<ConnectionState>,
}

/// Feeds health and metrics from the broker's states and depths until the broker is closed.
pub(super) fn watch(
    broker: &Broker,
    needed: NeededConnections,
    health: Arc<Health>,
    metrics: Arc<BrokerMetrics>,
) {
    let connection = |label, name, is_required, state| WatchedConnection {
        label,
        name,
        is_required,
        was_up: None,
        state,
    };
    let mut watched = vec![connection(
        "publish",
        "publishing",
        true,
        broker.publishing(),
    )];
    if needed.consume {
        let state = broker.consuming();
        watched.push(connection("consume", "consuming", true, state));
    }
    let publish = needed.publish_records.then(|| broker.publishing_records());
    if let Some(state) = publish.flatten() {
        watched.push(connection(
            "publish_records",
            "publishing records",
            false,
            state,
        ));
    }
    let consume = needed.consume_records.then(|| broker.consuming_records());
    if let Some(state) = consume.flatten() {
        let is_required = needed.only_records;
        watched.push(connection(
            "consume_records",
            "consuming records",
            is_required,
            state,
        ));
    }
    let confirms = Arc::clone(&metrics.confirm_duration);
    broker.observe_confirms(move |queue, took| {
        confirms.with(queue, |histogram| histogram.observe(took));
    });
    tokio::spawn(follow_depths(broker.depths(), Arc::clone(&metrics)));
    if let Some(free) = broker.free_disk_bytes() {
        tokio::spawn(follow_free_disk(free, Arc::clone(&metrics)));
    }
    tokio::spawn(follow_states(watched, broker.faults(), health, metrics));
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
    mut watched: Vec<WatchedConnection>,
    mut faults: Option<Receiver<BrokerFaults>>,
    health: Arc<Health>,
    metrics: Arc<BrokerMetrics>,
) {
    let mut counted = BrokerFaults::default();
    loop {
        if let Some(faults) = &mut faults {
            let seen = faults.borrow_and_update().clone();
            metrics.events.add(&counted, &seen);
            metrics.faults.set((!seen.is_empty()).into());
            counted = seen;
        }
        let mut states = Vec::with_capacity(watched.len());
        let mut all_up = true;
        for connection in &mut watched {
            let state = connection.state.borrow_and_update().clone();
            let is_up = state.is_up();
            metrics.set_up(connection.label, is_up);
            let is_again = is_up && connection.was_up == Some(false);
            metrics.reconnected(connection.label, is_again.into());
            connection.was_up = connection.was_up.map(|_| is_up).or(is_up.then_some(true));
            all_up &= is_up || !connection.is_required;
            states.push((connection.name, state));
        }
        let is_blocked = |(_, state): &(_, _)| matches!(state, ConnectionState::Blocked(_));
        metrics
            .blocked
            .set(states.first().is_some_and(is_blocked).into());
        if all_up {
            health.broker_connected();
        }
        let is_unusable = |(_, state): &(_, ConnectionState)| state.is_unusable();
        health.set_broker_unusable(states.iter().any(is_unusable));
        health.set_broker(describe(&states, &counted));
        let changed = tokio::select! {
            changed = any_changed(&mut watched) => changed,
            changed = changed(&mut faults) => changed,
        };
        if changed.is_err() {
            return; // The broker is closed.
        }
    }
}

/// Waits until one of the states changes.
async fn any_changed(watched: &mut [WatchedConnection]) -> Result<(), RecvError> {
    let changes = watched.iter_mut().map(|one| one.state.changed());
    let mut changes: Vec<_> = changes.map(Box::pin).collect();
    poll_fn(|context| {
        let mut polled = changes.iter_mut().map(|it| it.as_mut().poll(context));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

async fn changed<T>(state: &mut Option<Receiver<T>>) -> Result<(), RecvError> {
    match state {
        Some(state) => state.changed().await,
        None => std::future::pending().await,
    }
}

/// The state of the broker for people: all connections where they differ, then what is wrong with
/// single queues.
fn describe(states: &[(&'static str, ConnectionState)], faults: &BrokerFaults) -> String {
    let connections = match states {
        [] => String::new(),
        [(_, first), others @ ..] if others.iter().all(|(_, state)| state == first) => {
            first.to_string()
        }
        _ => {
            let each = states
                .iter()
                .map(|(name, state)| format!("{name}: {state}"));
            each.collect::<Vec<_>>().join("; ")
        }
    };
    match faults.is_empty() {
        true => connections,
        false => format!("{connections}; {faults}"),
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

    fn unusable() -> ConnectionState {
        ConnectionState::Unusable("damaged".to_owned())
    }

    fn blocked() -> ConnectionState {
        ConnectionState::Blocked("memory".to_owned())
    }

    fn connection(label: &'static str, state: ConnectionState) -> WatchedConnection {
        WatchedConnection {
            label,
            name: label,
            is_required: !label.ends_with("records"),
            was_up: None,
            state: watch::channel(state).1,
        }
    }

    #[test]
    fn connections_in_different_states_are_all_named() {
        let connected = || ConnectionState::Connected;
        for (states, expected) in [
            (vec![("publishing", connected())], "connected"),
            (vec![("publishing", blocked())], "blocked: memory"),
            (
                vec![("publishing", connected()), ("consuming", connected())],
                "connected",
            ),
            (
                vec![
                    ("publishing", connected()),
                    ("consuming", connected()),
                    ("publishing records", down()),
                ],
                "publishing: connected; consuming: connected; \
                 publishing records: disconnected: gone",
            ),
            (
                vec![("publishing", blocked()), ("consuming", down())],
                "publishing: blocked: memory; consuming: disconnected: gone",
            ),
        ] {
            assert_eq!(describe(&states, &BrokerFaults::default()), expected);
        }
    }

    /// Runs until the states have been read: the senders are gone, so the task ends.
    async fn after(states: &[(&'static str, ConnectionState)]) -> (Arc<Health>, String) {
        let (health, registry) = (Health::new(), MetricsRegistry::new());
        let metrics = Arc::new(registry.add(BrokerMetrics::register));
        let states = states.iter().cloned();
        let watched = states.map(|(label, state)| connection(label, state));
        follow_states(watched.collect(), None, Arc::clone(&health), metrics).await;
        (health, registry.encode())
    }

    #[tokio::test]
    async fn a_process_is_ready_once_the_connections_for_its_callbacks_are_up() {
        let connected = || ConnectionState::Connected;
        for (states, ready) in [
            (vec![("publish", connected())], true),
            (vec![("publish", blocked())], true),
            (vec![("publish", down())], false),
            (
                vec![("publish", connected()), ("consume", connected())],
                true,
            ),
            (vec![("publish", connected()), ("consume", down())], false),
            (vec![("publish", down()), ("consume", connected())], false),
            (
                vec![("publish", connected()), ("publish_records", down())],
                true,
            ),
            (
                vec![("publish", down()), ("publish_records", connected())],
                false,
            ),
            // The embedded store, which only an operator can repair.
            (
                vec![("publish", unusable()), ("consume", connected())],
                false,
            ),
            (
                vec![("publish", unusable()), ("consume", unusable())],
                false,
            ),
        ] {
            let (health, _) = after(&states).await;
            assert_eq!(health.is_ready(), ready, "{states:?}");
        }
    }

    #[test]
    fn a_process_has_the_connections_of_its_role() {
        let of = |role, journal| {
            let needed = NeededConnections::of(role, journal);
            (
                needed.consume,
                needed.publish_records,
                needed.consume_records,
                needed.only_records,
            )
        };
        assert_eq!(
            of(ProcessRole::Ingress, false),
            (false, false, false, false)
        );
        assert_eq!(of(ProcessRole::Ingress, true), (false, true, false, false));
        assert_eq!(
            of(ProcessRole::Dispatcher, false),
            (true, false, false, false)
        );
        assert_eq!(of(ProcessRole::Dispatcher, true), (true, true, true, false));
        assert_eq!(of(ProcessRole::Recorder, true), (false, true, true, true));
    }

    #[tokio::test]
    async fn the_first_change_of_any_state_is_noticed() {
        let (sender, state) = watch::channel(down());
        let (_kept, other) = watch::channel(down());
        let mut watched = [other, state].map(|state| WatchedConnection {
            state,
            ..connection("publish", down())
        });
        sender.send_replace(ConnectionState::Connected);
        any_changed(&mut watched).await.unwrap();
        drop(sender);
        any_changed(&mut watched).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_process_is_not_ready_while_its_store_is_unusable() {
        let (health, registry) = (Health::new(), MetricsRegistry::new());
        let metrics = Arc::new(registry.add(BrokerMetrics::register));
        let (state, publishing) = watch::channel(ConnectionState::Connected);
        let watched = vec![WatchedConnection {
            state: publishing,
            ..connection("publish", ConnectionState::Connected)
        }];
        let follow = follow_states(watched, None, Arc::clone(&health), metrics);
        let change = async {
            for (next, ready) in [
                (ConnectionState::Connected, true),
                (unusable(), false),
                (blocked(), true),
                (ConnectionState::Connected, true),
            ] {
                state.send_replace(next.clone());
                while health.is_ready() != ready {
                    tokio::task::yield_now().await;
                }
            }
            drop(state);
        };
        tokio::join!(follow, change);
    }

    #[tokio::test]
    async fn a_connection_that_is_up_again_is_counted_and_the_first_time_is_not() {
        let (health, registry) = (Health::new(), MetricsRegistry::new());
        let metrics = Arc::new(registry.add(BrokerMetrics::register));
        let (state, publishing) = watch::channel(down());
        let watched = vec![WatchedConnection {
            state: publishing,
            ..connection("publish", down())
        }];
        let follow = follow_states(watched, None, Arc::clone(&health), metrics);
        let count = |count: u32| {
            format!("ringback_broker_reconnects_total{{connection=\"publish\"}} {count}\n")
        };
        let change = async {
            for (next, expected) in [
                (ConnectionState::Connected, 0),
                (blocked(), 0),
                (down(), 0),
                (ConnectionState::Connected, 1),
            ] {
                state.send_replace(next.clone());
                let up = format!("connection=\"publish\"}} {}\n", u8::from(next.is_up()));
                let seen = |page: &str| page.contains(&format!("broker_up{{{up}"));
                while !(seen(&registry.encode()) && registry.encode().contains(&count(expected))) {
                    tokio::task::yield_now().await;
                }
            }
            drop(state);
        };
        tokio::join!(follow, change);
        assert!(registry.encode().contains(&count(1)));
    }

    #[tokio::test]
    async fn the_metrics_show_each_connection_and_the_block() {
        let states = [("publish", blocked()), ("consume", down())];
        let (_, page) = after(&states).await;
        for line in [
            "ringback_broker_up{connection=\"publish\"} 1",
            "ringback_broker_up{connection=\"consume\"} 0",
            "ringback_broker_blocked 1",
        ] {
            assert!(page.contains(line), "{page}");
        }
        let states = [
            ("publish", ConnectionState::Connected),
            ("publish_records", blocked()),
        ];
        let (_, page) = after(&states).await;
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
            stored_bytes: Some(10),
            consumers: [Some(9), Some(10), None, None, Some(1), None, Some(0)],
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
            "ringback_stored_bytes{} 10\n",
            "ringback_queue_consumers{queue=\"first\"} 9\n",
            "ringback_queue_consumers{queue=\"journal\"} 0\n",
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
            "ringback_stored_bytes{",
            "ringback_queue_consumers{",
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
