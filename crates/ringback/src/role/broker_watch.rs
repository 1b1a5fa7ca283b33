//! What does a process tell of its broker while it runs, on `/readyz` and in the metrics?

use std::sync::Arc;

use boot::{Health, Metrics};
use broker::{Broker, Depths, Lane, State};
use tokio::sync::watch::Receiver;

/// Which connections to the broker a process needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// It only publishes.
    Publishing,
    /// It consumes as well.
    Both,
}

/// Feeds health and metrics from the broker's states and depths, until the broker is closed.
pub(crate) fn watch(broker: &Broker, links: Links, health: Arc<Health>, metrics: Arc<Metrics>) {
    let publishing = broker.publishing();
    let consuming = (links == Links::Both).then(|| broker.consuming());
    tokio::spawn(follow_depths(broker.depths(), Arc::clone(&metrics)));
    tokio::spawn(follow_states(publishing, consuming, health, metrics));
}

async fn follow_depths(mut depths: Receiver<Depths>, metrics: Arc<Metrics>) {
    // Not before the first look: nought would be a guess.
    while depths.changed().await.is_ok() {
        let seen = *depths.borrow_and_update();
        for lane in Lane::ALL {
            metrics.queue_messages(lane.as_str(), depth(&seen, lane).into());
        }
    }
}

fn depth(seen: &Depths, lane: Lane) -> u32 {
    match lane {
        Lane::First => seen.first,
        Lane::Retry => seen.retry,
        Lane::DeliveryLimit => seen.delivery_limit,
        Lane::Unrouted => seen.unrouted,
        Lane::Dead => seen.dead,
        Lane::Poison => seen.poison,
        Lane::Journal => seen.journal,
    }
}

async fn follow_states(
    mut publishing: Receiver<State>,
    mut consuming: Option<Receiver<State>>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
) {
    loop {
        let publish = publishing.borrow_and_update().clone();
        let consume = consuming
            .as_mut()
            .map(|state| state.borrow_and_update().clone());
        metrics.broker_up("publish", publish.is_up());
        metrics.broker_blocked(matches!(publish, State::Blocked(_)));
        if let Some(consume) = &consume {
            metrics.broker_up("consume", consume.is_up());
        }
        if publish.is_up() && consume.as_ref().is_none_or(State::is_up) {
            health.broker_connected();
        }
        health.set_broker(told(&publish, consume.as_ref()));
        let changed = tokio::select! {
            changed = publishing.changed() => changed,
            changed = changed(&mut consuming) => changed,
        };
        if changed.is_err() {
            return; // Closed: the process is at its end.
        }
    }
}

async fn changed(
    state: &mut Option<Receiver<State>>,
) -> Result<(), tokio::sync::watch::error::RecvError> {
    match state {
        Some(state) => state.changed().await,
        None => std::future::pending().await,
    }
}

/// How the process stands with the broker, for people; both connections where they differ.
fn told(publish: &State, consume: Option<&State>) -> String {
    match consume {
        Some(consume) if consume != publish => {
            format!("publishing: {publish}; consuming: {consume}")
        }
        Some(_) | None => publish.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn down() -> State {
        State::Disconnected("gone".to_owned())
    }

    fn blocked() -> State {
        State::Blocked("memory".to_owned())
    }

    #[test]
    fn connections_that_differ_are_told_apart() {
        for (publish, consume, expected) in [
            (State::Connected, None, "connected"),
            (blocked(), None, "blocked: memory"),
            (State::Connected, Some(State::Connected), "connected"),
            (
                blocked(),
                Some(down()),
                "publishing: blocked: memory; consuming: disconnected: gone",
            ),
        ] {
            assert_eq!(told(&publish, consume.as_ref()), expected);
        }
    }

    /// Runs until the states have been taken in: the senders are gone, so the task ends.
    async fn after(publish: State, consume: Option<State>) -> (Arc<Health>, String) {
        let (health, metrics) = (Health::new(), Arc::new(Metrics::new()));
        let publishing = watch::channel(publish).1;
        let consuming = consume.map(|state| watch::channel(state).1);
        follow_states(
            publishing,
            consuming,
            Arc::clone(&health),
            Arc::clone(&metrics),
        )
        .await;
        (health, metrics.encode())
    }

    #[tokio::test]
    async fn a_process_is_ready_once_all_connections_that_it_needs_have_stood() {
        for (publish, consume, ready) in [
            (State::Connected, None, true),
            (blocked(), None, true),
            (down(), None, false),
            (State::Connected, Some(State::Connected), true),
            (State::Connected, Some(down()), false),
            (down(), Some(State::Connected), false),
        ] {
            let named = format!("{publish:?} {consume:?}");
            let (health, _) = after(publish, consume).await;
            assert_eq!(health.is_ready(), ready, "{named}");
        }
    }

    #[tokio::test]
    async fn the_metrics_tell_each_connection_and_the_block() {
        let (_, page) = after(blocked(), Some(down())).await;
        for line in [
            "ringback_broker_up{connection=\"publish\"} 1",
            "ringback_broker_up{connection=\"consume\"} 0",
            "ringback_broker_blocked 1",
        ] {
            assert!(page.contains(line), "{page}");
        }
        let (_, page) = after(State::Connected, None).await;
        assert!(page.contains("ringback_broker_blocked 0"), "{page}");
        assert!(!page.contains("consume"), "{page}");
    }

    #[tokio::test]
    async fn each_lane_has_its_depth_in_the_metrics() {
        let metrics = Arc::new(Metrics::new());
        let (sender, depths) = watch::channel(Depths::default());
        sender.send_replace(Depths {
            first: 1,
            retry: 2,
            delivery_limit: 3,
            unrouted: 4,
            dead: 5,
            poison: 6,
            journal: 7,
        });
        let following = tokio::spawn(follow_depths(depths, Arc::clone(&metrics)));
        let seen = || metrics.encode().contains("{queue=\"journal\"} 7");
        while !seen() {
            tokio::task::yield_now().await;
        }
        drop(sender);
        following.await.unwrap();
        let page = metrics.encode();
        for (lane, depth) in [
            ("first", 1),
            ("retry", 2),
            ("delivery_limit", 3),
            ("unrouted", 4),
            ("dead", 5),
            ("poison", 6),
        ] {
            let line = format!("ringback_queue_messages{{queue=\"{lane}\"}} {depth}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
    }
}
