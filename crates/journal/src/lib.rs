//! What happened to every callback?
//!
//! The hot path hands a [`Record`] to a [`Recorder`] and goes on. Records reach a [`Journal`] in
//! batches, in any order and any number of times: storing one twice changes nothing. What is read
//! back is a [`Callback`] with its attempts.
//!
//! Where to start reading: [`Record`], then `precedence.rs` for which of two records wins.

mod callback;
mod claim;
#[cfg(feature = "conformance")]
pub mod conformance;
mod fate;
mod journal;
mod pause;
mod postgres;
mod precedence;
mod query;
mod record;
mod recorder;
mod replay;
mod sqlite;

pub use callback::{Callback, Status};
pub use claim::{Claim, Claimed};
pub use fate::{Cancelled, Fate};
pub use journal::{Journal, JournalError, Retained, Retention};
pub use pause::{Pause, PauseKind};
pub use query::{Cursor, Filter, Page};
pub use record::{Attempt, Origin, Record, State, Unreadable, decode_batch, encode_batch};
pub use recorder::{Recorder, Sink, Unrecorded};
pub use replay::{Audit, Mended, Replay};
