//! The attempts that have ended a moment ago, for operators who watch. Nothing is kept while nobody does.

use contract::control::{AttemptSeen, AttemptsAsked, AttemptsSeen, MAX_ATTEMPTS_SEEN};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many attempts are remembered.
const MAX_KEPT: usize = 2_000;
/// For how long they are remembered after the last question, and how far back one may ask.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RecentAttempts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether somebody watches: read before each attempt is described.
    is_watched: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    attempts: VecDeque<(Instant, AttemptSeen)>,
    /// The number of the last one.
    sequence: u64,
    asked_at: Option<Instant>,
    /// When the last one was forgotten to make room, and when it had ended.
    forgotten: Option<Instant>,
}

impl RecentAttempts {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics under the lock.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an attempt that has ended, if somebody watches.
    pub(crate) fn ended(&self, describe: impl FnOnce() -> AttemptSeen) {
        if self.0.is_watched.load(Ordering::Relaxed) {
            self.ended_at(Instant::now(), describe());
        }
    }

    fn ended_at(&self, now: Instant, mut attempt: AttemptSeen) {
        let mut kept = self.kept();
        let is_watched = |at: &Instant| now.saturating_duration_since(*at) < KEPT_FOR;
        if !kept.asked_at.as_ref().is_some_and(is_watched) {
            kept.attempts = VecDeque::new();
            self.0.is_watched.store(false, Ordering::Relaxed);
            return;
        }
        kept.sequence += 1;
        attempt.sequence = kept.sequence;
        if kept.attempts.len() >= MAX_KEPT {
            kept.forgotten = kept.attempts.pop_front().map(|(ended, _)| ended);
        }
        kept.attempts.push_back((now, attempt));
    }

    /// The attempts that are asked for. From then on they are remembered.
    pub fn answer(&self, asked: &AttemptsAsked) -> AttemptsSeen {
        self.answer_at(Instant::now(), asked)
    }

    fn answer_at(&self, now: Instant, asked: &AttemptsAsked) -> AttemptsSeen {
        let within = Duration::from_millis(asked.within_ms).min(KEPT_FOR);
        let is_recent = |ended: &Instant| now.saturating_duration_since(*ended) <= within;
        let mut kept = self.kept();
        kept.asked_at = Some(now);
        self.0.is_watched.store(true, Ordering::Relaxed);
        let selected = kept.attempts.iter().rev();
        let selected = selected.take_while(|(ended, _)| is_recent(ended));
        let mut selected = selected.filter(|(_, attempt)| asked.selects(attempt));
        let newest = selected.by_ref().take(MAX_ATTEMPTS_SEEN);
        let mut attempts: Vec<AttemptSeen> = newest.map(|(_, attempt)| attempt.clone()).collect();
        let left_out = selected.next().is_some() || kept.forgotten.as_ref().is_some_and(is_recent);
        attempts.reverse();
        AttemptsSeen { attempts, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(app_id: &str) -> AttemptSeen {
        AttemptSeen {
            app_id: app_id.to_owned(),
            ..AttemptSeen::default()
        }
    }

    fn within(seconds: u64) -> AttemptsAsked {
        AttemptsAsked {
            within_ms: seconds * 1_000,
            ..AttemptsAsked::default()
        }
    }

    fn sequences(seen: &AttemptsSeen) -> Vec<u64> {
        seen.attempts
            .iter()
            .map(|attempt| attempt.sequence)
            .collect()
    }

    #[test]
    fn attempts_are_remembered_while_somebody_asks() {
        let recent = RecentAttempts::default();
        recent.ended(|| unreachable!("nobody watches, so nothing is described"));
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(recent.answer_at(start, &within(5)), AttemptsSeen::default());
        recent.ended_at(start, attempt("crm"));
        recent.ended_at(start + 4 * second, attempt("erp"));
        let seen = recent.answer_at(start + 4 * second, &within(5));
        assert_eq!((sequences(&seen), seen.left_out), (vec![1, 2], false));
        let seen = recent.answer_at(start + 6 * second, &within(5));
        assert_eq!(sequences(&seen), [2], "the first one is too old");
        let crm = AttemptsAsked {
            app_id: Some("crm".to_owned()),
            ..within(30)
        };
        assert_eq!(sequences(&recent.answer_at(start + 6 * second, &crm)), [1]);
        // Nobody has asked for long.
        recent.ended_at(start + 60 * second, attempt("crm"));
        assert!(recent.kept().attempts.is_empty());
        recent.ended(|| unreachable!("nobody watches any more"));
    }

    #[test]
    fn what_does_not_fit_is_said_to_be_left_out() {
        let recent = RecentAttempts::default();
        let now = Instant::now();
        recent.answer_at(now, &within(5));
        for _ in 0..MAX_ATTEMPTS_SEEN + 1 {
            recent.ended_at(now, attempt("crm"));
        }
        let seen = recent.answer_at(now, &within(5));
        assert_eq!(
            (seen.attempts.len(), seen.left_out),
            (MAX_ATTEMPTS_SEEN, true)
        );
        assert_eq!(seen.attempts[0].sequence, 2, "the newest are kept");
        let rare = AttemptsAsked {
            app_id: Some("erp".to_owned()),
            ..within(5)
        };
        assert!(!recent.answer_at(now, &rare).left_out);
        for _ in 0..MAX_KEPT {
            recent.ended_at(now, attempt("crm"));
        }
        assert!(
            recent.answer_at(now, &rare).left_out,
            "one may have been forgotten"
        );
        assert_eq!(recent.kept().attempts.len(), MAX_KEPT);
        let later = now + Duration::from_secs(6);
        assert!(!recent.answer_at(later, &rare).left_out);
    }
}
