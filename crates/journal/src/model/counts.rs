//! How many callbacks are unfinished: neither delivered nor given up nor cancelled.

/// Unfinished callbacks, in all and of the apps that have the most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedCounts {
    /// Of all apps.
    pub total: u64,
    /// Of these, with a recorded time of the next attempt.
    pub waiting: u64,
    /// The apps with the most, most first.
    pub apps: Vec<AppCount>,
}

/// The unfinished callbacks of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppCount {
    /// The app.
    pub app_id: String,
    /// How many are unfinished.
    pub unfinished: u64,
    /// Of these, with a recorded time of the next attempt: delayed, deferred, or to be retried. One
    /// whose time has come counts until its attempt is recorded.
    pub waiting: u64,
}
