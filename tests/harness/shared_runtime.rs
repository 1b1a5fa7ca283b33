//! The tokio runtime of tests that share a gateway.

use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// Runs a test on the one runtime that lives as long as the test process.
///
/// `#[tokio::test]` makes a runtime for each test and drops it with the test, together with every
/// server and every pooled connection that the test was the first to use.
///
/// # Panics
/// When no runtime can be made.
pub fn on_shared_runtime<T>(test: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Runtime::new().expect("a runtime"))
        .block_on(test)
}
