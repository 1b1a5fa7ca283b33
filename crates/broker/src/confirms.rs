//! Tells an observer how long publishes took until they were durable.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use crate::message::{Queue, Route};

/// The name of all delay queues together.
pub(crate) const DELAYED: &str = "delayed";

/// What [`Broker::observe_confirms`](crate::Broker::observe_confirms) calls the queues.
pub const CONFIRM_QUEUES: [&str; Queue::ALL.len() + 1] = [
    Queue::First.as_str(),
    Queue::Retry.as_str(),
    Queue::DeliveryLimit.as_str(),
    Queue::Unrouted.as_str(),
    Queue::Dead.as_str(),
    Queue::Unreadable.as_str(),
    Queue::Journal.as_str(),
    DELAYED,
];

type Observe = dyn Fn(&'static str, Duration) + Send + Sync;

/// Who is told. At most one; it must be quick, and must not panic.
#[derive(Default)]
pub(crate) struct ConfirmObserver(OnceLock<Box<Observe>>);

impl ConfirmObserver {
    /// The first one stays.
    pub(crate) fn set(&self, observe: impl Fn(&'static str, Duration) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(observe));
    }

    pub(crate) fn durable(&self, queue: &'static str, took: Duration) {
        if let Some(observe) = self.0.get() {
            observe(queue, took);
        }
    }
}

impl fmt::Debug for ConfirmObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfirmObserver").finish_non_exhaustive()
    }
}

/// The name of the queue that a route leads to.
pub(crate) const fn queue_of(route: &Route) -> &'static str {
    match route {
        Route::First => Queue::First.as_str(),
        Route::Later(_) => DELAYED,
        Route::Record => Queue::Journal.as_str(),
        Route::Terminal(queue) => queue.as_str(),
    }
}
