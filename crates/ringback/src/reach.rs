//! Is the journal in reach, and how many records wait for it?
//!
//! `/readyz` and the metrics tell; readiness does not depend on it, because the main job does not.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boot::{Health, Metrics};
use journal::{Journal, JournalError, Recorder};

/// How often a journal in reach is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// A journal that takes longer is out of reach.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What is known of the journal.
#[derive(Debug)]
enum Reach {
    /// It has never answered; the wait before the next try.
    Never(Duration),
    Up,
    /// It has answered before; the wait before the next try.
    Gone(Duration),
}

impl Reach {
    /// After an answer, or the reason why there is none.
    fn after(&self, answer: &Result<(), String>) -> Self {
        let longer = |wait: Duration| (wait * 2).min(LONGEST_WAIT);
        match (self, answer) {
            (_, Ok(())) => Self::Up,
            (Self::Never(wait), Err(_)) => Self::Never(longer(*wait)),
            (Self::Up, Err(_)) => Self::Gone(FIRST_WAIT),
            (Self::Gone(wait), Err(_)) => Self::Gone(longer(*wait)),
        }
    }

    fn wait(&self) -> Duration {
        match self {
            Self::Up => ASK_EVERY,
            Self::Never(wait) | Self::Gone(wait) => *wait,
        }
    }

    /// For people.
    fn told(&self, answer: &Result<(), String>) -> String {
        match (self, answer) {
            (Self::Up, _) | (_, Ok(())) => "connected".to_owned(),
            (Self::Never(_), Err(reason)) => format!("never connected: {reason}"),
            (Self::Gone(_), Err(reason)) => format!("out of reach: {reason}"),
        }
    }
}

/// Makes the journal's tables whenever it comes (back) into reach, and tells how it stands.
pub(crate) async fn follow(
    journal: Journal,
    kind: &'static str,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
) {
    health.set_journal("never connected");
    metrics.journal_up(kind, false);
    let mut reach = Reach::Never(FIRST_WAIT);
    loop {
        let was_up = matches!(reach, Reach::Up);
        let answer = match was_up {
            true => look(&journal).await,
            false => journal.migrate().await.map_err(reason),
        };
        reach = reach.after(&answer);
        let is_up = matches!(reach, Reach::Up);
        match &answer {
            Ok(()) if !was_up => tracing::info!(kind, "the journal is in reach"),
            Err(reason) if was_up || matches!(reach, Reach::Never(_)) => {
                tracing::warn!(kind, reason, "the journal is out of reach; trying again");
            }
            Ok(()) | Err(_) => {}
        }
        metrics.journal_up(kind, is_up);
        health.set_journal(reach.told(&answer));
        tokio::time::sleep(reach.wait()).await;
    }
}

/// Asks something small.
async fn look(journal: &Journal) -> Result<(), String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    match tokio::time::timeout(ANSWER_WITHIN, journal.cancelled_since(now)).await {
        Ok(answer) => answer.map(drop).map_err(reason),
        Err(_) => Err("it takes too long".to_owned()),
    }
}

fn reason(error: JournalError) -> String {
    match error {
        JournalError::Unavailable(reason) | JournalError::Refused(reason) => reason,
    }
}

/// Tells how many records wait in memory, and how many were dropped.
pub(crate) async fn follow_recorder(recorder: Recorder, metrics: Arc<Metrics>) {
    let mut every = tokio::time::interval(COUNT_EVERY);
    let mut known = 0;
    loop {
        every.tick().await;
        let gap = recorder.gap();
        metrics.journal_waiting(recorder.waiting());
        metrics.journal_gap(gap);
        if gap > known {
            let records = gap - known;
            tracing::error!(
                records,
                "records were dropped: too many wait for the journal"
            );
        }
        known = gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn waits_grow_while_it_is_away_and_begin_anew_when_it_goes_again() {
        let mut reach = Reach::Never(FIRST_WAIT);
        let mut waits = Vec::new();
        for _ in 0..6 {
            reach = reach.after(&away());
            waits.push(reach.wait().as_millis());
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        reach = reach.after(&Ok(()));
        assert_eq!(reach.wait(), ASK_EVERY);
        assert_eq!(reach.after(&away()).wait(), FIRST_WAIT);
    }

    #[test]
    fn people_hear_whether_it_ever_was_there() {
        let never = Reach::Never(FIRST_WAIT).after(&away());
        assert_eq!(never.told(&away()), "never connected: refused");
        assert_eq!(Reach::Up.told(&Ok(())), "connected");
        let gone = Reach::Up.after(&away());
        assert_eq!(gone.told(&away()), "out of reach: refused");
    }
}
