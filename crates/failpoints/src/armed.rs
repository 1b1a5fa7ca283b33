//! What the macros do when they are compiled in.

use fail::FailScenario;

/// Arms the points that `FAILPOINTS` names.
#[expect(clippy::print_stderr, reason = "the log may not have started")]
pub(super) fn setup() {
    // Kept for as long as the process runs: dropping it disarms the points.
    std::mem::forget(FailScenario::setup());
    for (name, action) in fail::list() {
        eprintln!("fail point {name}: {action}");
    }
}

/// Ends the process if this point is armed.
#[doc(hidden)]
pub fn crash(name: &str) {
    fail::eval(name, |_| -> () { std::process::abort() });
}

/// Whether this fault is switched on.
#[doc(hidden)]
pub fn is_on(name: &str) -> bool {
    fail::eval(name, |_| ()).is_some()
}
