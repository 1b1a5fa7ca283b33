//! What was decided elsewhere about a callback that waited, and what if the journal cannot say?
//!
//! Questions are gathered into batches. Beside that, the ids that were withdrawn lately are kept in
//! memory, so that a withdrawal that was confirmed holds while the journal is out of reach.

use crate::attempt::unix_ms;
use crate::lately::Lately;
use contract::Message;
use journal::{Fate, Journal, JournalError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The most ids in one question to the journal.
const MOST_IDS: usize = 256;
/// How long an id waits for others to be asked about with it.
const GATHER: Duration = Duration::from_millis(2);
/// How long the journal may think before the attempt goes on without it.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often the withdrawn ones are looked up.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// The first look goes back as far as a callback may have to wait.
const FIRST_LOOK: Duration = Duration::from_secs(12 * 24 * 60 * 60);
/// Clocks differ, and a withdrawal is seen only once it is committed.
const OVERLAP: Duration = Duration::from_secs(60);

/// What a message must not be attempted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its caller has withdrawn it.
    Cancelled,
    /// A replay has taken the callback over: this is an old copy.
    Stale,
}

/// What could be learnt of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learnt {
    /// The journal's word. `None`: it does not know the callback yet.
    Fate(Option<Fate>),
    /// The journal is out of reach; this is what was known before.
    Memory {
        /// Whether its caller had withdrawn it.
        cancelled: bool,
    },
}

/// Asks about callbacks. Its tasks end with it.
pub(crate) struct Fates {
    ask: mpsc::Sender<Question>,
    known: Arc<Known>,
}

struct Question {
    request_id: Uuid,
    /// Dropped without an answer when the journal is out of reach.
    answer: oneshot::Sender<Option<Fate>>,
}

/// What is known without asking.
struct Known {
    /// Whether the journal answered when it was last asked.
    up: AtomicBool,
    cancelled: Mutex<Lately>,
}

impl Known {
    fn cancelled(&self) -> MutexGuard<'_, Lately> {
        // Nothing panics under the lock; if it did, the set would still be whole.
        self.cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fates {
    /// Begins to look up what is withdrawn. Call it inside a Tokio runtime.
    pub(crate) fn start(journal: &Journal) -> Self {
        let (ask, questions) = mpsc::channel(MOST_IDS);
        let known = Arc::new(Known {
            up: AtomicBool::new(true),
            cancelled: Mutex::default(),
        });
        tokio::spawn(answer(journal.clone(), questions, Arc::clone(&known)));
        tokio::spawn(refresh(journal.clone(), Arc::downgrade(&known)));
        Self { ask, known }
    }

    /// Why the message must not be attempted, if it must not.
    pub(crate) async fn end(&self, message: &Message) -> Option<End> {
        end(message.generation, self.learn(message.request_id).await)
    }

    async fn learn(&self, request_id: Uuid) -> Learnt {
        if self.known.up.load(Ordering::Relaxed) {
            let (answer, answered) = oneshot::channel();
            let question = Question { request_id, answer };
            if self.ask.send(question).await.is_ok()
                && let Ok(fate) = answered.await
            {
                return Learnt::Fate(fate);
            }
        }
        Learnt::Memory {
            cancelled: self.known.cancelled().contains(request_id),
        }
    }
}

fn end(generation: u32, learnt: Learnt) -> Option<End> {
    let cancelled = match learnt {
        Learnt::Fate(Some(fate)) if fate.generation > generation => return Some(End::Stale),
        Learnt::Fate(fate) => fate.is_some_and(|fate| fate.cancelled),
        Learnt::Memory { cancelled } => cancelled,
    };
    cancelled.then_some(End::Cancelled)
}

/// Answers questions, many at a time, until nobody can ask any more.
async fn answer(journal: Journal, mut questions: mpsc::Receiver<Question>, known: Arc<Known>) {
    while let Some(first) = questions.recv().await {
        let mut asked = vec![first];
        let gathering = async {
            while asked.len() < MOST_IDS
                && let Some(next) = questions.recv().await
            {
                asked.push(next);
            }
        };
        // What was gathered stays, whichever ended it.
        let _ = tokio::time::timeout(GATHER, gathering).await;
        let ids: Vec<Uuid> = asked.iter().map(|question| question.request_id).collect();
        let Some(fates) = ask(&known, journal.fates(&ids)).await else {
            continue; // The senders are dropped: their askers go on without an answer.
        };
        reply(asked, &fates);
    }
}

fn reply(asked: Vec<Question>, fates: &HashMap<Uuid, Fate>) {
    for Question { request_id, answer } in asked {
        // An error means that the attempt was cut off.
        let _ = answer.send(fates.get(&request_id).copied());
    }
}

/// Looks up what was withdrawn, again and again, as long as somebody can ask.
async fn refresh(journal: Journal, known: Weak<Known>) {
    let mut since = unix_ms(SystemTime::now() - FIRST_LOOK);
    let mut every = tokio::time::interval(REFRESH_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(known) = known.upgrade() else {
            return;
        };
        let next = unix_ms(SystemTime::now() - OVERLAP);
        if let Some(ids) = ask(&known, journal.cancelled_since(since)).await {
            since = next;
            let mut cancelled = known.cancelled();
            ids.into_iter().for_each(|id| cancelled.insert(id));
        }
    }
}

/// Waits for the journal, but not for long, and remembers whether it answered.
async fn ask<T>(
    known: &Known,
    question: impl Future<Output = Result<T, JournalError>>,
) -> Option<T> {
    let answered = tokio::time::timeout(ANSWER_WITHIN, question).await;
    let answer = match answered {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "fates unknown");
            None
        }
        Err(_) => None,
    };
    // Told by the process's own watch of the journal; here it only saves the waiting.
    known.up.store(answer.is_some(), Ordering::Relaxed);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::Status;

    fn fate(generation: u32, cancelled: bool) -> Learnt {
        Learnt::Fate(Some(Fate {
            generation,
            status: Status::Retrying,
            cancelled,
            discarded: false,
        }))
    }

    #[test]
    fn only_a_withdrawn_callback_and_an_old_copy_are_ended() {
        for (learnt, expected) in [
            (Learnt::Fate(None), None),
            (fate(1, false), None),
            (fate(0, false), None),
            (fate(2, false), Some(End::Stale)),
            (fate(2, true), Some(End::Stale)),
            (fate(1, true), Some(End::Cancelled)),
            (fate(0, true), Some(End::Cancelled)),
            (Learnt::Memory { cancelled: false }, None),
            (Learnt::Memory { cancelled: true }, Some(End::Cancelled)),
        ] {
            assert_eq!(end(1, learnt), expected, "{learnt:?}");
        }
    }

    #[tokio::test]
    async fn a_journal_that_does_not_answer_is_not_waited_for_until_it_does() {
        let known = Known {
            up: AtomicBool::new(true),
            cancelled: Mutex::default(),
        };
        let begun = tokio::time::Instant::now();
        assert_eq!(
            ask(&known, std::future::pending::<Result<(), _>>()).await,
            None
        );
        assert!(begun.elapsed() >= ANSWER_WITHIN);
        assert!(!known.up.load(Ordering::Relaxed));
        assert_eq!(ask(&known, async { Ok(7) }).await, Some(7));
        assert!(known.up.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn while_the_journal_is_out_of_reach_what_was_known_before_holds() {
        let (ask, questions) = mpsc::channel(1);
        drop(questions);
        let fates = Fates {
            ask,
            known: Arc::new(Known {
                up: AtomicBool::new(true),
                cancelled: Mutex::default(),
            }),
        };
        let (withdrawn, other) = (Uuid::now_v7(), Uuid::now_v7());
        fates.known.cancelled().insert(withdrawn);
        for (id, cancelled) in [(withdrawn, true), (other, false)] {
            assert_eq!(fates.learn(id).await, Learnt::Memory { cancelled });
        }
    }
}
