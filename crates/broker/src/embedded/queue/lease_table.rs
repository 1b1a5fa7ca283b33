//! The leases of a consumer's delivered messages.

use super::index::MessageKey;
use crate::message::Queue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// The messages that a consumer has delivered and that are not settled, by number.
#[derive(Debug, Default)]
pub(super) struct LeaseTable(Mutex<HashMap<i64, MessageKey>>);

impl LeaseTable {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<i64, MessageKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that was dropped unsettled. It keeps its place in the prefetch window for
/// [`REDELIVERY_PAUSE`](crate::settlement::REDELIVERY_PAUSE).
#[derive(Debug)]
pub(in crate::embedded) struct DroppedLease {
    pub(in crate::embedded) queue: Queue,
    pub(super) number: i64,
    pub(super) leases: Arc<LeaseTable>,
    pub(super) permit: OwnedSemaphorePermit,
}

impl DroppedLease {
    /// Ends the lease. `None`: its consumer was dropped first, or the settlement was sent.
    pub(in crate::embedded) fn end(self) -> Option<(MessageKey, OwnedSemaphorePermit)> {
        let key = self.leases.lock().remove(&self.number)?;
        Some((key, self.permit))
    }
}
