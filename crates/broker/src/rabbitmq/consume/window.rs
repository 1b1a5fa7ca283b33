//! What one subscription has delivered and nobody has settled yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Shared by a subscription and the handles of its deliveries.
#[derive(Debug)]
pub(super) struct DeliveryWindow {
    /// Cancelled when the subscription has ended: the broker redelivers what is not settled.
    pub(super) down: CancellationToken,
    /// Cancelled when the consumer takes no more messages.
    pub(super) stopping: CancellationToken,
    taken: Arc<AtomicUsize>,
    /// The follow-ups of this consumer that are not confirmed for some time.
    stalled: watch::Sender<usize>,
}

impl DeliveryWindow {
    /// The window of a subscription that ends with `session_down` at the latest.
    pub(super) fn new(session_down: &CancellationToken, stopping: &CancellationToken) -> Self {
        Self {
            down: session_down.child_token(),
            stopping: stopping.clone(),
            taken: Arc::default(),
            stalled: watch::Sender::new(0),
        }
    }

    /// Takes a place until the guard is dropped: when the delivery is settled towards the broker.
    pub(super) fn take_place(&self) -> WindowPlace {
        self.taken.fetch_add(1, Ordering::Relaxed);
        WindowPlace(Arc::clone(&self.taken))
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Counts a follow-up as stalled until the guard is dropped.
    pub(super) fn stall(&self) -> Stalled<'_> {
        self.stalled.send_modify(|stalled| *stalled += 1);
        Stalled(&self.stalled)
    }

    /// The number of stalled follow-ups.
    pub(super) fn stalled(&self) -> watch::Receiver<usize> {
        self.stalled.subscribe()
    }
}

/// A taken place of a window.
#[derive(Debug)]
pub(super) struct WindowPlace(Arc<AtomicUsize>);

impl Drop for WindowPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stalled follow-up.
pub(super) struct Stalled<'a>(&'a watch::Sender<usize>);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|stalled| *stalled -= 1);
    }
}
