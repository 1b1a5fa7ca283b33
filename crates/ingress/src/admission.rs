//! Rejects new callbacks while the backlog is full, before it outgrows the broker.

use broker::Depths;
use contract::Answer;

use crate::rejection::Rejection;

/// The backlog at which new callbacks are answered 503.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BacklogLimits {
    /// Messages in the work queues.
    pub(crate) max_messages: u64,
    /// Batches of records in the journal's queue.
    pub(crate) max_journal_batches: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    Messages(u64),
    JournalBatches(u64),
}

pub(crate) fn check_backlog(depths: &Depths, limits: &BacklogLimits) -> Result<(), Rejection> {
    match full_backlog(depths, limits) {
        None => return Ok(()),
        Some(Backlog::Messages(backlog)) => {
            tracing::warn!(backlog, "callback rejected: the queues are full");
        }
        Some(Backlog::JournalBatches(backlog)) => {
            tracing::warn!(backlog, "callback rejected: the journal's queue is full");
        }
    }
    Err(Answer::Unavailable.into())
}

fn full_backlog(depths: &Depths, limits: &BacklogLimits) -> Option<Backlog> {
    let messages = u64::from(depths.backlog());
    let batches = u64::from(depths.journal);
    if messages >= limits.max_messages {
        Some(Backlog::Messages(messages))
    } else if batches >= limits.max_journal_batches {
        Some(Backlog::JournalBatches(batches))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backlog_has_its_own_limit() {
        let limits = BacklogLimits {
            max_messages: 10,
            max_journal_batches: 100,
        };
        for (first, retry, journal, full) in [
            (4, 5, 99, None),
            (5, 5, 0, Some(Backlog::Messages(10))),
            (0, 0, 100, Some(Backlog::JournalBatches(100))),
        ] {
            let depths = Depths {
                first,
                retry,
                journal,
                ..Depths::default()
            };
            assert_eq!(full_backlog(&depths, &limits), full);
            assert_eq!(check_backlog(&depths, &limits).is_err(), full.is_some());
        }
    }
}
