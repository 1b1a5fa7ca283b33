//! A gateway, a target and a browser for the tests of the console. `tests/browser` runs them.
//!
//! - `gateway.rs`: the real binary on the embedded store, and callbacks of callers
//! - `target.rs`: what the gateway calls
//! - `browser.rs`: Chromium by its driver: pages, looks, logs, requests
//! - `process.rs`: a child process that is ended when it is dropped

mod browser;
mod gateway;
mod process;
mod target;

use std::time::Duration;

pub use browser::{Browser, Look};
pub use gateway::{Gateway, TOKEN};
pub use target::Target;

/// Upper bound for what only the machine's load delays.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until this gives something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let end = tokio::time::Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "it never came to this: {what}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A new directory for one process.
pub(crate) fn directory(of: &str) -> std::path::PathBuf {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("ringback-{of}-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    path
}
