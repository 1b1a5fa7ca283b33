//! Shows on `/readyz` and in the metrics whether the journal is reachable and takes writes, and how
//! many records are buffered.
//!
//! A read that succeeds says nothing of writes: a table may be locked, the database read-only, the disk
//! full. The writer tells of its failures, and each process looks how much of its own records is stored.
//!
//! Readiness does not depend on the journal, because accepting and delivering do not.

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, JournalError, Recorder};
use runtime::Health;
use tokio::sync::watch;
use uuid::Uuid;

use super::metrics::RecordingMetrics;
use super::write_health::WriteHealth;

/// How often a reachable journal is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A journal that takes longer is unreachable.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
const MIN_RETRY_WAIT: Duration = Duration::from_millis(250);
const MAX_RETRY_WAIT: Duration = Duration::from_secs(5);
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the journal is reachable.
#[derive(Debug)]
enum Reachability {
    /// It has never answered; the wait before the next try.
    NeverConnected(Duration),
    Connected,
    /// It has answered before; the wait before the next try.
    Unreachable(Duration),
}

impl Reachability {
    /// The state after an answer, or after the reason why there is none.
    fn after(&self, answer: &Result<(), String>) -> Self {
        let longer = |wait: Duration| (wait * 2).min(MAX_RETRY_WAIT);
        match (self, answer) {
            (_, Ok(())) => Self::Connected,
            (Self::NeverConnected(wait), Err(_)) => Self::NeverConnected(longer(*wait)),
            (Self::Connected, Err(_)) => Self::Unreachable(MIN_RETRY_WAIT),
            (Self::Unreachable(wait), Err(_)) => Self::Unreachable(longer(*wait)),
        }
    }

    fn wait(&self) -> Duration {
        match self {
            Self::Connected => CHECK_INTERVAL,
            Self::NeverConnected(wait) | Self::Unreachable(wait) => *wait,
        }
    }

    /// For people.
    fn describe(&self, answer: &Result<(), String>) -> String {
        match (self, answer) {
            (Self::Connected, _) | (_, Ok(())) => "connected".to_owned(),
            (Self::NeverConnected(_), Err(reason)) => format!("never connected: {reason}"),
            (Self::Unreachable(_), Err(reason)) => format!("unreachable: {reason}"),
        }
    }
}

/// Migrates the journal whenever it becomes reachable, and reports its state.
pub(super) async fn watch_journal(
    journal: Journal,
    recorder: Uuid,
    writes: WriteHealth,
    kind: &'static str,
    migrated: watch::Sender<bool>,
    health: Arc<Health>,
    metrics: RecordingMetrics,
) {
    health.set_journal("never connected");
    metrics.set_up(kind, false);
    let mut reachability = Reachability::NeverConnected(MIN_RETRY_WAIT);
    let (mut incompatible, mut had_problem) = (false, false);
    loop {
        let was_up = matches!(reachability, Reachability::Connected);
        let answer = match was_up {
            true => check(&journal, recorder, &writes).await,
            false => match journal.migrate().await {
                Err(JournalError::Incompatible(reason)) => {
                    // Somebody may still migrate it, or start another version.
                    if !std::mem::replace(&mut incompatible, true) {
                        tracing::error!(kind, reason, "the journal's tables cannot be used");
                    }
                    health.set_journal(format!("incompatible: {reason}"));
                    tokio::time::sleep(MAX_RETRY_WAIT).await;
                    continue;
                }
                answer => answer.map_err(reason),
            },
        };
        if answer.is_ok() {
            incompatible = false;
            migrated.send_replace(true);
        }
        reachability = reachability.after(&answer);
        let is_up = matches!(reachability, Reachability::Connected);
        match &answer {
            Ok(()) if !was_up => tracing::info!(kind, "journal is reachable"),
            Err(reason) if was_up || matches!(reachability, Reachability::NeverConnected(_)) => {
                tracing::warn!(kind, reason, "journal is unreachable; trying again");
            }
            Ok(()) | Err(_) => {}
        }
        let problem = writes.problem().filter(|_| is_up);
        match &problem {
            Some(problem) if !had_problem => {
                tracing::warn!(kind, problem, "journal takes no writes; records wait");
            }
            None if had_problem && is_up => tracing::info!(kind, "journal takes writes"),
            Some(_) | None => {}
        }
        had_problem = problem.is_some();
        metrics.set_up(kind, is_up && !had_problem);
        health.set_journal(problem.unwrap_or_else(|| reachability.describe(&answer)));
        tokio::time::sleep(reachability.wait()).await;
    }
}

/// Asks how much of this process's own records is stored.
async fn check(journal: &Journal, recorder: Uuid, writes: &WriteHealth) -> Result<(), String> {
    match tokio::time::timeout(CHECK_TIMEOUT, journal.recorder(recorder)).await {
        Ok(state) => {
            let state = state.map_err(reason)?;
            writes.stored(state.map_or(0, |state| state.last_number()));
            Ok(())
        }
        Err(_) => Err("timed out".to_owned()),
    }
}

fn reason(error: JournalError) -> String {
    match error {
        JournalError::Unavailable(reason)
        | JournalError::TooSlow(reason)
        | JournalError::Refused(reason)
        | JournalError::Incompatible(reason) => reason,
    }
}

/// Reports how many records are buffered in memory, the age of the oldest that is not written, and how
/// many were dropped.
pub(super) async fn watch_recorder(
    recorder: Recorder,
    writes: WriteHealth,
    metrics: RecordingMetrics,
) {
    let mut interval = tokio::time::interval(COUNT_INTERVAL);
    let mut known = 0;
    loop {
        interval.tick().await;
        let dropped = recorder.dropped();
        metrics.set_buffered(recorder.buffered());
        writes.show(&recorder, &metrics);
        metrics.set_dropped(dropped);
        if dropped > known {
            let records = dropped - known;
            tracing::error!(
                records,
                "records were dropped: the journal's buffer is full, or a file of the spool is damaged"
            );
        }
        known = dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn waits_grow_while_it_is_unreachable_and_start_again_at_the_next_fault() {
        let mut reachability = Reachability::NeverConnected(MIN_RETRY_WAIT);
        let mut waits = Vec::new();
        for _ in 0..6 {
            reachability = reachability.after(&refused());
            waits.push(reachability.wait().as_millis());
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        reachability = reachability.after(&Ok(()));
        assert_eq!(reachability.wait(), CHECK_INTERVAL);
        assert_eq!(reachability.after(&refused()).wait(), MIN_RETRY_WAIT);
    }

    #[test]
    fn the_description_says_whether_it_ever_was_connected() {
        let never = Reachability::NeverConnected(MIN_RETRY_WAIT).after(&refused());
        assert_eq!(never.describe(&refused()), "never connected: refused");
        assert_eq!(Reachability::Connected.describe(&Ok(())), "connected");
        let unreachable = Reachability::Connected.after(&refused());
        assert_eq!(unreachable.describe(&refused()), "unreachable: refused");
    }
}
