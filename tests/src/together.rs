//! On which runtime do tests run that share a gateway?

use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// Runs a test on the one runtime that lives as long as the test process.
///
/// `#[tokio::test]` makes a runtime for each test and ends it with the test, and with it every
/// server and every pooled connection that the test was the first to use.
///
/// # Panics
/// When there is no runtime to be had.
pub fn together<T>(test: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Runtime::new().expect("a runtime"))
        .block_on(test)
}
