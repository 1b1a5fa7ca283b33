//! Decides whether a new callback is admitted, from what is unfinished: due work and what waits, of
//! all apps and of the callback's own.
//!
//! The bounds on all apps answer 503; the share of one app answers 429, so that one app cannot close
//! the intake of the others. What is unknown refuses nothing: before the first reading the broker's
//! own bounds hold.

use contract::Answer;

use crate::metrics::AppLimit;
use crate::rejection::Rejection;

/// `Retry-After` for an app over its share, in seconds: its callbacks take a while to end.
const SHARE_RETRY_SECONDS: u32 = 10;

/// Up to this many times `max_waiting`, messages may lie in the delay queues with those that are
/// only the remains of cancelled callbacks: RabbitMQ keeps them until they are due.
const MAX_DELAYED_FACTOR: u64 = 2;

/// From when on new callbacks are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionLimits {
    /// Due messages in the work queues.
    pub(crate) max_backlog: u64,
    /// Callbacks that wait: delayed, deferred, or to be retried.
    pub(crate) max_waiting: u64,
    /// An app's part of each of these, which binds once more than half of it is used. 1: it never
    /// does.
    pub(crate) app_share: f64,
    /// Batches of records in the journal's queue.
    pub(crate) max_journal_batches: u64,
}

/// What is unfinished of all apps. `None`: never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Due messages, without those that dispatchers hold.
    pub(crate) due: Option<u64>,
    /// Messages in the delay queues.
    pub(crate) delayed: Option<u64>,
    /// Of these, the remains of callbacks that have ended.
    pub(crate) stale: u64,
    /// Batches in the journal's queue.
    pub(crate) journal_batches: Option<u64>,
}

/// What is unfinished of one app, as far as the journal knows. Zero without a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppLoad {
    /// Before the end of a first attempt that was due at once.
    pub(crate) due: u64,
    /// With a time of the next attempt, even if it has come.
    pub(crate) waiting: u64,
}

/// Why a callback is refused, with the figure that is over its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceededBound {
    /// `ingress.max_backlog`.
    Backlog(u64),
    /// `ingress.max_waiting`.
    Waiting(u64),
    /// Twice `ingress.max_waiting`, with the remains of cancelled callbacks.
    Delayed(u64),
    /// `journal.max_backlog`.
    JournalBatches(u64),
    /// The app's share of `ingress.max_backlog`.
    AppBacklog(u64),
    /// The app's share of `ingress.max_waiting`.
    AppWaiting(u64),
}

impl Load {
    /// The callbacks that wait.
    pub(crate) fn waiting(&self) -> Option<u64> {
        Some(self.delayed?.saturating_sub(self.stale))
    }
}

/// Whether to refuse a callback of an app.
pub(crate) fn refuse(
    load: &Load,
    app: &AppLoad,
    limits: &AdmissionLimits,
) -> Option<ExceededBound> {
    let AdmissionLimits {
        max_backlog,
        max_waiting,
        max_journal_batches,
        app_share,
    } = *limits;
    let reached = |figure: Option<u64>, bound: u64| figure.filter(|figure| *figure >= bound);
    let max_delayed = max_waiting.saturating_mul(MAX_DELAYED_FACTOR);
    let of_all = reached(load.due, max_backlog)
        .map(ExceededBound::Backlog)
        .or_else(|| reached(load.waiting(), max_waiting).map(ExceededBound::Waiting))
        .or_else(|| reached(load.delayed, max_delayed).map(ExceededBound::Delayed))
        .or_else(|| {
            reached(load.journal_batches, max_journal_batches).map(ExceededBound::JournalBatches)
        });
    let over_share = |total: Option<u64>, own: u64, bound: u64| {
        let binds = app_share < 1.0 && total.is_some_and(|total| total > bound / 2);
        (binds && own > share_of(bound, app_share)).then_some(own)
    };
    of_all
        .or_else(|| over_share(load.due, app.due, max_backlog).map(ExceededBound::AppBacklog))
        .or_else(|| {
            over_share(load.waiting(), app.waiting, max_waiting).map(ExceededBound::AppWaiting)
        })
}

/// At least one: a share never closes the intake of an app that has nothing.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounds are at most 10^9 and a share is between 0 and 1"
)]
fn share_of(bound: u64, share: f64) -> u64 {
    ((bound as f64 * share) as u64).max(1)
}

impl ExceededBound {
    /// A word for log lines, and the number of the kind.
    pub(crate) const fn kind(&self) -> (usize, &'static str) {
        match self {
            Self::Backlog(_) => (0, "ingress.max_backlog"),
            Self::Waiting(_) => (1, "ingress.max_waiting"),
            Self::Delayed(_) => (2, "twice ingress.max_waiting"),
            Self::JournalBatches(_) => (3, "journal.max_backlog"),
            Self::AppBacklog(_) => (4, "an app's share of ingress.max_backlog"),
            Self::AppWaiting(_) => (5, "an app's share of ingress.max_waiting"),
        }
    }

    /// How many kinds there are.
    pub(crate) const KINDS: usize = 6;

    /// The figure that is over its bound.
    pub(crate) const fn figure(&self) -> u64 {
        match self {
            Self::Backlog(figure)
            | Self::Waiting(figure)
            | Self::Delayed(figure)
            | Self::JournalBatches(figure)
            | Self::AppBacklog(figure)
            | Self::AppWaiting(figure) => *figure,
        }
    }

    /// The limit of the app that it is over, if it is one of the app.
    pub(crate) const fn app_limit(&self) -> Option<AppLimit> {
        match self {
            Self::AppBacklog(_) | Self::AppWaiting(_) => Some(AppLimit::Share),
            Self::Backlog(_) | Self::Waiting(_) | Self::Delayed(_) | Self::JournalBatches(_) => {
                None
            }
        }
    }
}

impl From<ExceededBound> for Rejection {
    fn from(refusal: ExceededBound) -> Self {
        match refusal.app_limit() {
            None => Answer::Unavailable.into(),
            Some(_) => Answer::TooManyRequests {
                retry_after: SHARE_RETRY_SECONDS,
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits {
        max_backlog: 100,
        max_waiting: 1_000,
        app_share: 0.25,
        max_journal_batches: 10,
    };

    fn load(due: u64, delayed: u64, stale: u64, journal_batches: u64) -> Load {
        Load {
            due: Some(due),
            delayed: Some(delayed),
            stale,
            journal_batches: Some(journal_batches),
        }
    }

    #[test]
    fn due_work_what_waits_and_the_journals_queue_have_bounds_of_their_own() {
        for (load, refused) in [
            (load(99, 999, 0, 9), None),
            (load(100, 0, 0, 0), Some(ExceededBound::Backlog(100))),
            (load(0, 1_000, 0, 0), Some(ExceededBound::Waiting(1_000))),
            (load(0, 0, 0, 10), Some(ExceededBound::JournalBatches(10))),
            // What waits does not count as due, and the remains of cancelled callbacks as nothing.
            (load(99, 1_500, 501, 0), None),
            (load(0, 1_999, 1_999, 0), None),
            // But they fill the broker: up to as many again.
            (
                load(0, 2_000, 2_000, 0),
                Some(ExceededBound::Delayed(2_000)),
            ),
            // A figure of another time.
            (load(0, 5, 9, 0), None),
        ] {
            let decided = refuse(&load, &AppLoad::default(), &LIMITS);
            assert_eq!(decided, refused, "{load:?}");
        }
    }

    #[test]
    fn an_app_over_its_share_is_refused_once_the_total_is_over_half() {
        for (total, own, refused) in [
            // A site with one app uses half of a bound before its share binds.
            (load(50, 500, 0, 0), (50, 500), None),
            (load(51, 0, 0, 0), (25, 0), None),
            (
                load(51, 0, 0, 0),
                (26, 0),
                Some(ExceededBound::AppBacklog(26)),
            ),
            (load(51, 0, 0, 0), (0, 1_000), None),
            (load(0, 501, 0, 0), (0, 250), None),
            (
                load(0, 501, 0, 0),
                (0, 251),
                Some(ExceededBound::AppWaiting(251)),
            ),
            (load(0, 501, 0, 0), (1_000, 0), None),
            (load(0, 600, 100, 0), (0, 251), None),
            // All are refused at the bound.
            (
                load(100, 0, 0, 0),
                (90, 0),
                Some(ExceededBound::Backlog(100)),
            ),
        ] {
            let (due, waiting) = own;
            let decided = refuse(&total, &AppLoad { due, waiting }, &LIMITS);
            assert_eq!(decided, refused, "{total:?} {own:?}");
        }
    }

    #[test]
    fn a_share_of_one_never_binds() {
        let limits = AdmissionLimits {
            app_share: 1.0,
            ..LIMITS
        };
        // With those in flight, an app can have more than all that is due.
        let own = AppLoad {
            due: 101,
            waiting: 1_001,
        };
        assert_eq!(refuse(&load(99, 999, 0, 0), &own, &limits), None);
    }

    #[test]
    fn what_was_never_read_refuses_nothing() {
        let much = AppLoad {
            due: 1_000_000,
            waiting: 1_000_000,
        };
        assert_eq!(refuse(&Load::default(), &much, &LIMITS), None);
    }

    #[test]
    fn an_app_gets_429_and_all_get_503() {
        for (refusal, code) in [
            (ExceededBound::Backlog(1), "500"),
            (ExceededBound::Waiting(1), "500"),
            (ExceededBound::Delayed(1), "500"),
            (ExceededBound::JournalBatches(1), "500"),
            (ExceededBound::AppBacklog(1), "429"),
            (ExceededBound::AppWaiting(1), "429"),
        ] {
            assert!(refusal.kind().0 < ExceededBound::KINDS);
            let rejection = Rejection::from(refusal);
            assert_eq!(rejection.answer.code(), code, "{refusal:?}");
            // Nothing was queued.
            assert_eq!(rejection.request_id, None);
        }
    }

    proptest! {
        /// Whatever other apps do below the bounds, an app with little is admitted.
        #[test]
        fn an_app_within_its_share_is_admitted_below_the_bounds(
            due in 0..100_u64,
            waiting in 0..1_000_u64,
            stale in 0..1_000_u64,
            own_due in 0..=25_u64,
            own_waiting in 0..=250_u64,
        ) {
            let total = load(due, waiting + stale, stale, 0);
            let own = AppLoad { due: own_due, waiting: own_waiting };
            prop_assert_eq!(refuse(&total, &own, &LIMITS), None);
        }

        /// More of anything never opens the intake again.
        #[test]
        fn more_load_never_admits_what_less_refuses(
            figures in prop::array::uniform5(0..1_200_u64),
            more in prop::array::uniform5(0..1_200_u64),
        ) {
            let decide = |[due, delayed, batches, own_due, own_waiting]: [u64; 5]| {
                let own = AppLoad { due: own_due, waiting: own_waiting };
                refuse(&load(due, delayed, 0, batches), &own, &LIMITS).is_some()
            };
            let mut sum = figures;
            for (figure, more) in sum.iter_mut().zip(more) {
                *figure += more;
            }
            prop_assert!(!decide(figures) || decide(sum));
        }
    }
}
