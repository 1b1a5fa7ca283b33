//! Is all well? Checks over what a gateway knows of itself: facts in, findings out.
//!
//! Nothing here reads anything: `api/doctor.rs` collects the facts of the process that is asked, and
//! the command `ringback doctor` adds what only it can see.
//!
//! - `facts.rs`: what is known; `None` is not known, which is said
//! - `finding.rs`: the result of a check. `said.rs`: a sentence in both languages;
//!   `span.rs`: a span of time in both
//! - `breaker_words.rs`: why a breaker opened
//! - `checks/`: the checks

pub(crate) mod breaker_words;
mod checks;
mod facts;
mod finding;
pub(crate) mod said;
pub(crate) mod span;

pub use checks::nodes::{examine_nodes, nodes_unknown};
pub(crate) use checks::{clocks::operator_clock, examine};
pub use facts::NodeFacts;
pub(crate) use facts::{
    BreakerFacts, CertificateFacts, DeadLetterFacts, DiskFacts, DueFacts, Facts, InstanceFacts,
    JournalFacts, PauseFacts, QueueFacts, RefusedReload, Sample,
};
pub use finding::{Finding, Severity};
pub use said::Said;
