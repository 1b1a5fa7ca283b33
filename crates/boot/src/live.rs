//! How is a value shared that a reload may replace?

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A value that many read and a reload replaces. Cheap to clone; reading takes no lock.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// Shares this value.
    pub fn new(value: impl Into<Arc<T>>) -> Self {
        Self(Arc::new(ArcSwap::new(value.into())))
    }

    /// The value as it is now. Whoever must see one state keeps the answer, and does not ask twice.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value for everybody who asks from now on.
    pub fn set(&self, value: impl Into<Arc<T>>) {
        self.0.store(value.into());
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
