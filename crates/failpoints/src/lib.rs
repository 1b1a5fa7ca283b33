//! Points at which a test ends the process, and faults that a test switches on.
//!
//! They are for `tests/chaos`. Without the feature `enabled` the macros expand to nothing: no name, no
//! branch and no call is in the binary. With it, the environment variable `FAILPOINTS` arms them, in
//! the syntax of the crate `fail`: `store.written=100*off->return` ends the process when this point is
//! passed for the 101st time.
//!
//! - [`crash_point`]: ends the process at once, as `kill -9` does. A panic would end one task.
//! - [`sabotage`]: does something wrong on purpose. The suite proves with it that its checker finds
//!   what it is there for.
//!
//! `armed.rs` is what they do when they are compiled in.

#[cfg(feature = "enabled")]
mod armed;

#[cfg(feature = "enabled")]
#[doc(hidden)]
pub use armed::{crash, is_on};

/// Arms the points that `FAILPOINTS` names; says so in the log. Call it once.
pub fn setup() {
    #[cfg(feature = "enabled")]
    armed::setup();
}

/// Ends the process here, if the point of this name is armed.
#[cfg(feature = "enabled")]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash($name)
    };
}

/// Ends the process here, if the point of this name is armed.
#[cfg(not(feature = "enabled"))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {};
}

/// Runs the code of a deliberate fault, if the fault of this name is switched on.
#[cfg(feature = "enabled")]
#[macro_export]
macro_rules! sabotage {
    ($name:literal, $($fault:tt)+) => {
        if $crate::is_on($name) {
            $($fault)+
        }
    };
}

/// Runs the code of a deliberate fault, if the fault of this name is switched on.
#[cfg(not(feature = "enabled"))]
#[macro_export]
macro_rules! sabotage {
    ($name:literal, $($fault:tt)+) => {};
}
