//! What must happen? The rules of delivery, without doing any of it.
//!
//! How an attempt ended goes in, what must happen next comes out: verdict, retry schedule, registry
//! of parties, address guard; and who may ask for it: `callers`. Nothing here reads a clock, throws dice or does I/O: time and chance
//! are arguments, and the manifest lists no crate that could.

pub mod callers;
mod guard;
pub mod limits;
mod outcome;
mod parties;
mod retry_after;
mod retrying;
mod schedule;
pub mod signature;
mod target;
mod verdict;

pub use guard::{
    Admission, AllowList, Entry, EntryError, Guard, Guards, Ports, PortsError, Refusal,
};
pub use outcome::Outcome;
pub use parties::{Parties, Party, PartyError, PartyFlaw};
pub use retry_after::retry_after;
pub use retrying::{End, EndError, Retrying};
pub use schedule::{Schedule, ScheduleError, jittered};
pub use target::{Target, TargetUrl, UrlFlaw};
pub use verdict::{Circumstances, Reason, Verdict, decide};
