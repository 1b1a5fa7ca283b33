//! Idempotency keys: one request of a key publishes, the others repeat its answer.
//!
//! A key is claimed before the publish, and the claim is confirmed after it. A request that finds
//! another request's claim waits until it is settled. If the publisher dies, the claim is taken over
//! with the same id.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use contract::{Answer, Invalid, Param, ParamError};
use failpoints::{crash_point, sabotage};
use journal::{Claim, Claimed, Journal, JournalHandle, JournalResult};
use runtime::LogLimit;
use runtime::clock::now_ms;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::rejection::Rejection;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MAX_KEY_BYTES: usize = 255;

/// A claim can be taken over this long after the deadline of its publish.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// A request waits for another request's claim this much longer than a publish may take.
const WAIT_MARGIN: Duration = Duration::from_secs(2);
/// The first wait before a claim is polled again. It doubles each time.
const FIRST_POLL_DELAY: Duration = Duration::from_millis(50);
const MAX_POLL_DELAY: Duration = Duration::from_millis(400);

static CLAIM_FAILED: LogLimit = LogLimit::new();
static SETTLE_FAILED: LogLimit = LogLimit::new();

/// The key in a request's header, and the journal to claim it in.
#[derive(Debug)]
pub(crate) struct KeyHeader {
    key: String,
    journal: Journal,
}

/// A key within its app, with the hash of the request body.
#[derive(Debug)]
pub(crate) struct IdempotencyKey {
    journal: Journal,
    app_id: String,
    key: String,
    body_hash: [u8; 32],
}

/// What a request with a key must do.
#[derive(Debug)]
pub(crate) enum ClaimOutcome {
    /// Publish, then settle the claim.
    Publish(ClaimGuard),
    /// Nothing: the callback of this id is queued.
    Repeat(Uuid),
}

/// A claim of this request. Until its lease ends, no other request publishes under its id.
#[derive(Debug)]
pub(crate) struct ClaimGuard {
    key: IdempotencyKey,
    pub(crate) request_id: Uuid,
    /// Whether no earlier request can have published under the id.
    fresh: bool,
}

impl KeyHeader {
    /// Reads `Idempotency-Key`. Without a journal a key is rejected: it could not be honoured.
    pub(crate) fn read(
        headers: &HeaderMap,
        journal: Option<&JournalHandle>,
    ) -> Result<Option<Self>, Rejection> {
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(None);
        }
        let JournalHandle { journal, .. } = journal.ok_or(Answer::NoJournal)?;
        let key = parse_key(headers)?;
        Ok(key.map(|key| Self {
            key,
            journal: journal.clone(),
        }))
    }

    /// The key of this app's request with this body.
    pub(crate) fn scoped(self, app_id: &str, body: &[u8]) -> IdempotencyKey {
        IdempotencyKey {
            journal: self.journal,
            app_id: app_id.to_owned(),
            key: self.key,
            body_hash: hash(body),
        }
    }
}

/// The key, if there is one: 1 to 255 characters of visible ASCII.
fn parse_key(headers: &HeaderMap) -> Result<Option<String>, Invalid> {
    let malformed = |error| Invalid::Malformed(Param::IdempotencyKey, error);
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let Some(key) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(malformed(ParamError::Duplicate));
    }
    let key = key.as_bytes();
    if key.is_empty() {
        return Err(Invalid::Missing(Param::IdempotencyKey));
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(malformed(ParamError::TooLong { max: MAX_KEY_BYTES }));
    }
    match str::from_utf8(key) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(text.to_owned())),
        _ => Err(malformed(ParamError::NotVisibleAscii)),
    }
}

fn hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

impl IdempotencyKey {
    /// Claims the key. If another request holds the claim, waits until it is settled, but not much
    /// longer than a publish may take.
    ///
    /// `own`: the id of a fresh claim.
    pub(crate) async fn claim(
        self,
        own: Uuid,
        publish_timeout: Duration,
    ) -> Result<ClaimOutcome, Rejection> {
        sabotage!("ignore-key", {
            let (key, request_id, fresh) = (self, own, true);
            return Ok(ClaimOutcome::Publish(ClaimGuard {
                key,
                request_id,
                fresh,
            }));
        });
        crash_point!("ingress.claim");
        let deadline = Instant::now() + publish_timeout + WAIT_MARGIN;
        let mut delay = FIRST_POLL_DELAY;
        let mut pending = None;
        loop {
            let claimed = self.journal.claim(&self.record(own, publish_timeout)).await;
            match next_step(claimed, pending, Instant::now() >= deadline) {
                ClaimStep::Publish(request_id) => {
                    crash_point!("ingress.claimed");
                    return Ok(ClaimOutcome::Publish(ClaimGuard {
                        key: self,
                        request_id,
                        fresh: request_id == own,
                    }));
                }
                ClaimStep::Repeat(request_id) => return Ok(ClaimOutcome::Repeat(request_id)),
                ClaimStep::Reject(rejection) => return Err(rejection),
                ClaimStep::Wait(request_id) => pending = Some(request_id),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(MAX_POLL_DELAY);
        }
    }

    fn record(&self, own: Uuid, publish_timeout: Duration) -> Claim {
        Claim {
            app_id: self.app_id.clone(),
            key: self.key.clone(),
            request_id: own,
            body_hash: self.body_hash,
            now: now_ms(),
            lease: publish_timeout + LEASE_MARGIN,
        }
    }
}

/// The next step after an answer of the journal.
#[derive(Debug)]
enum ClaimStep {
    Publish(Uuid),
    Repeat(Uuid),
    Wait(Uuid),
    Reject(Rejection),
}

/// `pending` is the id under which another request was last seen publishing: the callback may be
/// delivered under that id.
fn next_step(claimed: JournalResult<Claimed>, pending: Option<Uuid>, overdue: bool) -> ClaimStep {
    match claimed {
        Ok(Claimed::Acquired(request_id)) => ClaimStep::Publish(request_id),
        Ok(Claimed::Confirmed(request_id)) => ClaimStep::Repeat(request_id),
        Ok(Claimed::Pending(request_id)) if overdue => {
            ClaimStep::Reject(Rejection::unavailable(request_id))
        }
        Ok(Claimed::Pending(request_id)) => ClaimStep::Wait(request_id),
        Ok(Claimed::Conflict) => ClaimStep::Reject(Answer::Conflict.into()),
        Err(error) => {
            if let Some(suppressed) = CLAIM_FAILED.permit() {
                tracing::warn!(%error, suppressed, "failed to claim an idempotency key");
            }
            ClaimStep::Reject(Rejection {
                answer: Answer::Unavailable,
                request_id: pending,
                app_id: None,
                quota: None,
            })
        }
    }
}

impl ClaimGuard {
    /// Confirms the claim after a publish, or releases it after a failed one. Returns `published`.
    pub(crate) async fn settle<T>(self, published: Result<T, Rejection>) -> Result<T, Rejection> {
        let IdempotencyKey {
            journal,
            app_id,
            key,
            ..
        } = &self.key;
        let settled = match &published {
            Ok(_) => journal.confirm_claim(app_id, key).await,
            Err(_) => journal.release_claim(app_id, key).await,
        };
        if let Err(error) = settled {
            // Once the lease has expired, a repeat may publish again, with the same id.
            if let Some(suppressed) = SETTLE_FAILED.permit() {
                let request_id = self.request_id;
                tracing::warn!(%request_id, %error, suppressed, "failed to settle a claim");
            }
        }
        published.map_err(|rejection| self.with_known_id(rejection))
    }

    /// Adds the id of a claim that was taken over: an earlier request may have published under it,
    /// so the caller must be able to query it.
    fn with_known_id(&self, rejection: Rejection) -> Rejection {
        let taken_over = (!self.fresh).then_some(self.request_id);
        Rejection {
            request_id: rejection.request_id.or(taken_over),
            ..rejection
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use journal::JournalError;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(IDEMPOTENCY_KEY), value);
        }
        headers
    }

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        let longest = [b'k'; MAX_KEY_BYTES];
        for good in [&b"k"[..], b"!~", b"a,b;c=\"d\"", &longest] {
            let key = parse_key(&headers(&[good])).unwrap();
            assert_eq!(key.unwrap().as_bytes(), good);
        }
        assert_eq!(parse_key(&HeaderMap::new()), Ok(None));

        let malformed = |error| Err(Invalid::Malformed(Param::IdempotencyKey, error));
        let too_long = [b'k'; MAX_KEY_BYTES + 1];
        for (bad, expected) in [
            (
                &[&b""[..]][..],
                Err(Invalid::Missing(Param::IdempotencyKey)),
            ),
            (&[b"a b"], malformed(ParamError::NotVisibleAscii)),
            (&[b"a\tb"], malformed(ParamError::NotVisibleAscii)),
            (&["键".as_bytes()], malformed(ParamError::NotVisibleAscii)),
            (&[b"\xFF"], malformed(ParamError::NotVisibleAscii)),
            (&[b"a", b"a"], malformed(ParamError::Duplicate)),
            (
                &[&too_long],
                malformed(ParamError::TooLong { max: MAX_KEY_BYTES }),
            ),
        ] {
            assert_eq!(parse_key(&headers(bad)), expected);
        }
    }

    /// A [`ClaimStep`] as a word and its id.
    fn step(
        claimed: JournalResult<Claimed>,
        pending: Option<Uuid>,
        overdue: bool,
    ) -> (&'static str, Option<Uuid>) {
        match next_step(claimed, pending, overdue) {
            ClaimStep::Publish(id) => ("publish", Some(id)),
            ClaimStep::Repeat(id) => ("repeat", Some(id)),
            ClaimStep::Wait(id) => ("wait", Some(id)),
            ClaimStep::Reject(rejection) => (rejection.answer.code(), rejection.request_id),
        }
    }

    #[test]
    fn every_answer_of_the_journal_has_one_consequence() {
        let id = Uuid::now_v7();
        let unavailable = || Err(JournalError::Unavailable("gone".to_owned()));
        for overdue in [false, true] {
            let of = |claimed| step(Ok(claimed), None, overdue);
            assert_eq!(of(Claimed::Acquired(id)), ("publish", Some(id)));
            assert_eq!(of(Claimed::Confirmed(id)), ("repeat", Some(id)));
            assert_eq!(of(Claimed::Conflict), ("409", None));
            let pending = if overdue { "500" } else { "wait" };
            assert_eq!(of(Claimed::Pending(id)), (pending, Some(id)));
            assert_eq!(step(unavailable(), None, overdue), ("500", None));
            assert_eq!(step(unavailable(), Some(id), overdue), ("500", Some(id)));
        }
    }

    #[test]
    fn a_hash_covers_the_exact_bytes() {
        assert_eq!(hash(b"{}"), hash(b"{}"));
        assert_ne!(hash(b"{}"), hash(b"{ }"));
        // The example of FIPS 180-4.
        assert_eq!(hash(b"abc")[..4], [0xBA, 0x78, 0x16, 0xBF]);
    }
}
