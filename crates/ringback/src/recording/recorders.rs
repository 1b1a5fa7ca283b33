//! Makes this process's recorder known to the journal, and ends recorders that are silent.

use std::collections::HashMap;
use std::time::Duration;

use journal::{Journal, JournalError, Recorder, RecorderState};
use runtime::clock::now_ms;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::RecordingMetrics;

const MIN_RETRY_WAIT: Duration = Duration::from_millis(250);
const MAX_RETRY_WAIT: Duration = Duration::from_secs(5);
/// Longer than any recorder is silent while all works.
const INTERVAL: Duration = Duration::from_secs(60);
/// A recorder of which nothing was stored for this long, while this process's own records were, has
/// ended. `decisions/0031` says what follows.
const SILENT_AFTER: Duration = Duration::from_secs(10 * 60);
/// Added to the end of such a recorder: its clock may be ahead.
const CLOCK_MARGIN_MS: u64 = 60_000;
/// A recorder of which nothing is missing is forgotten after this long.
const SETTLED_KEPT_MS: u64 = 60 * 60 * 1_000;

/// Registers the recorder as soon as the tables are there. `alone`: no other process uses the journal.
pub(super) async fn register(
    journal: Journal,
    recorder: Recorder,
    alone: bool,
    mut migrated: watch::Receiver<bool>,
) {
    if migrated.wait_for(|migrated| *migrated).await.is_err() {
        return;
    }
    let mut wait = MIN_RETRY_WAIT;
    // The state of the journal is logged elsewhere.
    while let Err(error) = journal.register(&recorder.info(), alone, now_ms()).await {
        tracing::debug!(%error, "failed to register in the journal; trying again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(MAX_RETRY_WAIT);
    }
    recorder.set_registered();
}

/// Ends silent recorders and forgets old ones, until `stop`. Any number of processes may do so.
/// `kept`: for how long callbacks are kept.
pub(super) async fn watch(
    journal: Journal,
    own: Uuid,
    kept: Duration,
    metrics: RecordingMetrics,
    stop: CancellationToken,
) {
    let watching = async {
        let mut silence = Silence::default();
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = watch_once(&journal, own, kept, &metrics, &mut silence).await {
                silence = Silence::default();
                tracing::warn!(%error, "failed to look for recorders that have ended");
            }
        }
    };
    stop.run_until_cancelled(watching).await;
}

async fn watch_once(
    journal: &Journal,
    own: Uuid,
    kept: Duration,
    metrics: &RecordingMetrics,
    silence: &mut Silence,
) -> Result<(), JournalError> {
    let recorders = journal.recorders().await?;
    let ended = recorders.iter().filter(|state| state.ended_at.is_some());
    metrics.set_unsettled_recorders(ended.count());
    let now = now_ms();
    for silent in silence.observe(&recorders, own, Instant::now()) {
        let ended_at = now.saturating_add(CLOCK_MARGIN_MS);
        let id = silent.recorder.id;
        if journal.end_recorder(id, silent.seen_at, ended_at).await? {
            metrics.recorder_lost();
            let stored_until = silent.stored_until().unwrap_or(silent.recorder.started_at);
            tracing::error!(
                recorder = %id,
                stored_until_ms = stored_until,
                "a process ended without closing its recorder: what it accepted since then may be \
                 missing from the journal. Queries for ids of that time are answered 503"
            );
        }
    }
    let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    let kept = now.saturating_sub(kept);
    let forgotten = journal
        .forget_recorders(now.saturating_sub(SETTLED_KEPT_MS), kept)
        .await?;
    tracing::debug!(forgotten, "old recorders forgotten");
    Ok(())
}

/// Since when nothing new of each recorder has been stored.
#[derive(Debug, Default)]
struct Silence {
    /// By recorder: what was last seen, and since when.
    seen: HashMap<Uuid, (u64, Instant)>,
}

impl Silence {
    /// The recorders that have been silent for too long. `own`: a recorder that is not, unless records
    /// do not reach the journal at all; then nothing is known of the others.
    fn observe<'a>(
        &mut self,
        recorders: &'a [RecorderState],
        own: Uuid,
        now: Instant,
    ) -> Vec<&'a RecorderState> {
        let find = |state: &&RecorderState| state.recorder.id == own;
        let before = self.seen.get(&own).map(|(seen_at, _)| *seen_at);
        let Some(current) = recorders.iter().find(find) else {
            self.seen.clear();
            return Vec::new();
        };
        if before == Some(current.seen_at) {
            self.seen.clear();
        }
        let open = recorders.iter().filter(|state| state.ended_at.is_none());
        let mut seen = HashMap::new();
        let mut silent = Vec::new();
        for state in open {
            let known = self.seen.get(&state.recorder.id);
            let since = match known {
                Some((seen_at, since)) if *seen_at == state.seen_at => *since,
                Some(_) | None => now,
            };
            seen.insert(state.recorder.id, (state.seen_at, since));
            if now.duration_since(since) >= SILENT_AFTER && state.recorder.id != own {
                silent.push(state);
            }
        }
        self.seen = seen;
        silent
    }
}

#[cfg(test)]
mod tests {
    use journal::RecorderInfo;

    use super::*;

    fn state(id: u128, seen_at: u64) -> RecorderState {
        let recorder = RecorderInfo {
            id: Uuid::from_u128(id),
            accepts: true,
            started_at: 1,
        };
        let mut state = RecorderState::new(recorder);
        state.seen_at = seen_at;
        state
    }

    /// Minutes at which recorder 2 is found silent, given what is stored of the own recorder 1 and of 2
    /// by each minute.
    fn silent_at(stored: &[(u64, u64)]) -> Vec<usize> {
        let (own, begun) = (Uuid::from_u128(1), Instant::now());
        let mut silence = Silence::default();
        let minutes = stored.iter().enumerate().filter(|(minute, (one, two))| {
            let states = [state(1, *one), state(2, *two)];
            let now = begun + INTERVAL * u32::try_from(*minute).unwrap();
            let found = silence.observe(&states, own, now);
            assert!(found.iter().all(|state| state.recorder.id != own));
            !found.is_empty()
        });
        minutes.map(|(minute, _)| minute).collect()
    }

    #[test]
    fn a_recorder_is_silent_after_ten_minutes_in_which_others_were_stored() {
        let alone: Vec<_> = (0..12).map(|minute| (minute, 7)).collect();
        assert_eq!(silent_at(&alone), [10, 11]);
        let speaks: Vec<_> = (0..30).map(|minute| (minute, minute / 9)).collect();
        assert_eq!(silent_at(&speaks), [0; 0]);
    }

    #[test]
    fn nothing_is_known_of_others_while_the_own_records_are_not_stored() {
        // The journal is away for half an hour, and then recorder 2 needs a little longer.
        let mut stored: Vec<_> = (0..5).map(|minute| (minute, minute)).collect();
        stored.extend([(5, 5); 30]);
        stored.extend((6..12).map(|minute| (minute, 5)));
        stored.extend((12..20).map(|minute| (minute, minute)));
        assert_eq!(silent_at(&stored), [0; 0]);
        let mut silence = Silence::default();
        let states = [state(2, 7)];
        let unknown = silence.observe(&states, Uuid::from_u128(1), Instant::now());
        assert!(unknown.is_empty() && silence.seen.is_empty());
    }
}
