//! Which request of an idempotency key is the one that publishes?
//!
//! A claim is made before the publish and confirmed after it. Whoever finds the claim of another
//! waits for that one's end; a claim whose publish died is taken up again under the same id.

use crate::moment::{millis, unix_ms};
use crate::reply::Turned;
use contract::Answer;
use journal::{Claim, Claimed, Journal, JournalError};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use uuid::Uuid;

/// A claim may be taken up by others when its publish has been over for so long.
const LEASE_BEYOND: Duration = Duration::from_secs(5);
/// How long beyond the publish of another its end is waited for.
const PATIENCE_BEYOND: Duration = Duration::from_secs(2);
/// Between two questions, at first; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A key, and what it was sent with.
#[derive(Debug)]
pub(crate) struct Key {
    app_id: String,
    key: String,
    body_hash: [u8; 32],
}

/// What a request that bears a key is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Publish, then tell how that ended.
    Publish(Held),
    /// Nothing: the callback of this id is queued.
    Repeat(Uuid),
}

/// A claim that is held; nobody else publishes under its id meanwhile.
#[derive(Debug)]
pub(crate) struct Held {
    journal: Journal,
    app_id: String,
    key: String,
    pub(crate) request_id: Uuid,
    /// Whether no other request has published under the id before.
    fresh: bool,
}

impl Key {
    pub(crate) fn new(app_id: &str, key: String, body: &[u8]) -> Self {
        Self {
            app_id: app_id.to_owned(),
            key,
            body_hash: Sha256::digest(body).into(),
        }
    }

    /// Claims the key. Waits for the end of another's publish, but not much longer than a publish
    /// may take.
    pub(crate) async fn claim(
        self,
        journal: Journal,
        publish_timeout: Duration,
    ) -> Result<Turn, Turned> {
        let own = Uuid::now_v7();
        let deadline = Instant::now() + publish_timeout + PATIENCE_BEYOND;
        let mut pause = FIRST_PAUSE;
        let mut pending = None;
        loop {
            let claimed = journal.claim(&self.wish(own, publish_timeout)).await;
            match decide(claimed, pending, Instant::now() >= deadline) {
                Next::Publish(request_id) => {
                    return Ok(Turn::Publish(Held {
                        journal,
                        app_id: self.app_id,
                        key: self.key,
                        request_id,
                        fresh: request_id == own,
                    }));
                }
                Next::Repeat(request_id) => return Ok(Turn::Repeat(request_id)),
                Next::TurnAway(turned) => return Err(turned),
                Next::AskAgain(request_id) => pending = Some(request_id),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn wish(&self, own: Uuid, publish_timeout: Duration) -> Claim {
        let now = unix_ms(SystemTime::now());
        Claim {
            app_id: self.app_id.clone(),
            key: self.key.clone(),
            request_id: own,
            body_hash: self.body_hash,
            now,
            lease_until: now.saturating_add(millis(publish_timeout + LEASE_BEYOND)),
        }
    }
}

/// What follows from the journal's answer.
#[derive(Debug)]
enum Next {
    Publish(Uuid),
    Repeat(Uuid),
    AskAgain(Uuid),
    TurnAway(Turned),
}

/// `pending` is the id that another was publishing under when last seen: the caller's callback may
/// be delivered under it.
fn decide(claimed: Result<Claimed, JournalError>, pending: Option<Uuid>, late: bool) -> Next {
    match claimed {
        Ok(Claimed::Yours(request_id)) => Next::Publish(request_id),
        Ok(Claimed::Confirmed(request_id)) => Next::Repeat(request_id),
        Ok(Claimed::Pending(request_id)) if late => Next::TurnAway(Turned {
            answer: Answer::Unavailable,
            request_id: Some(request_id),
        }),
        Ok(Claimed::Pending(request_id)) => Next::AskAgain(request_id),
        Ok(Claimed::Conflict) => Next::TurnAway(Answer::Conflict.into()),
        Err(error) => {
            tracing::warn!(%error, "an idempotency key cannot be claimed");
            Next::TurnAway(Turned {
                answer: Answer::Unavailable,
                request_id: pending,
            })
        }
    }
}

impl Held {
    /// Ends the claim by how the publish ended.
    pub(crate) async fn settle(self, published: Result<(), Turned>) -> Result<(), Turned> {
        let told = match &published {
            Ok(()) => self.journal.confirm_claim(&self.app_id, &self.key).await,
            Err(_) => self.journal.release_claim(&self.app_id, &self.key).await,
        };
        if let Err(error) = told {
            // The lease ends by itself. A repeat may then publish again, under the same id.
            tracing::warn!(request_id = %self.request_id, %error, "a claim cannot be settled");
        }
        published.map_err(|turned| self.known(turned))
    }

    /// An earlier request may have published under an id that was taken up, whatever came of this
    /// one: then it is told, so that the caller can ask.
    fn known(&self, turned: Turned) -> Turned {
        let request_id = turned
            .request_id
            .or_else(|| (!self.fresh).then_some(self.request_id));
        Turned {
            request_id,
            ..turned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a [`Next`] does, in a word, with the id told.
    fn next(
        claimed: Result<Claimed, JournalError>,
        pending: Option<Uuid>,
        late: bool,
    ) -> (&'static str, Option<Uuid>) {
        match decide(claimed, pending, late) {
            Next::Publish(id) => ("publish", Some(id)),
            Next::Repeat(id) => ("repeat", Some(id)),
            Next::AskAgain(id) => ("ask", Some(id)),
            Next::TurnAway(turned) => (turned.answer.code(), turned.request_id),
        }
    }

    #[test]
    fn every_answer_of_the_journal_has_one_consequence() {
        let id = Uuid::now_v7();
        let gone = || Err(JournalError::Unavailable("gone".to_owned()));
        for late in [false, true] {
            let of = |claimed| next(Ok(claimed), None, late);
            assert_eq!(of(Claimed::Yours(id)), ("publish", Some(id)));
            assert_eq!(of(Claimed::Confirmed(id)), ("repeat", Some(id)));
            assert_eq!(of(Claimed::Conflict), ("409", None));
            let waits = if late { "500" } else { "ask" };
            assert_eq!(of(Claimed::Pending(id)), (waits, Some(id)));
            assert_eq!(next(gone(), None, late), ("500", None));
            assert_eq!(next(gone(), Some(id), late), ("500", Some(id)));
        }
    }

    #[test]
    fn a_hash_belongs_to_the_very_bytes() {
        let hash = |body: &[u8]| Key::new("a", "k".to_owned(), body).body_hash;
        assert_eq!(hash(b"{}"), hash(b"{}"));
        assert_ne!(hash(b"{}"), hash(b"{ }"));
        // FIPS 180-4's own example.
        assert_eq!(hash(b"abc")[..4], [0xBA, 0x78, 0x16, 0xBF]);
    }
}
