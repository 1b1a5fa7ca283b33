//! How an application is served.

use std::time::Duration;

/// Whom a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Callers: most of the connections that the process can have.
    Callers,
    /// Operators and monitoring.
    Operators,
    /// Somebody who tries things out: idle connections are kept for as long as they last.
    Practice,
}

/// How an application is served.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// The name of the listener, for its metrics and the server's log.
    pub name: &'static str,
    /// Whom it serves.
    pub audience: Audience,
    /// How long a request body may take. `None`: the application has a timeout of its own.
    pub body_timeout: Option<Duration>,
    /// How many worker threads serve it. 0: one per core.
    pub workers: usize,
    /// How long a graceful stop waits for requests in progress.
    pub shutdown_timeout: Duration,
}
