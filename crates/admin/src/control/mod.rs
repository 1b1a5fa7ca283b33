//! The control plane: what the processes of one gateway ask and tell each other, over the broker.
//!
//! It is a courtesy. Nothing durable depends on it, no work waits for it, and a process that does not
//! answer is reported as silent.
//!
//! - `plane.rs`: [`ControlPlane`], which answers, asks and passes commands on. Start here.
//! - `membership.rs`: which processes answered recently.
//! - `clock.rs`: whose clock differs from the others'.

mod clock;
mod membership;
mod plane;

pub(crate) use clock::{offset_ms, skewed};
pub(crate) use membership::Silent;
#[cfg(test)]
pub(crate) use plane::Answered;
pub(crate) use plane::Answers;
pub use plane::{ControlPlane, Responder};
