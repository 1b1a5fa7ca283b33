//! Enters in the ledger what callers were answered and what was found.

use contract::Message;

use crate::Callee;
use crate::callers::{self, CallerAnswer};
use crate::ledger::{FoundCallback, Ledger, fingerprint};

/// The ledger of a run: the callers' answers, the callee's requests, and the messages in the
/// queues.
pub(super) fn ledger(
    answers: &[CallerAnswer],
    callee: &Callee,
    queued: impl IntoIterator<Item = (String, Message)>,
) -> Ledger {
    let mut ledger = Ledger::default();
    for answer in answers {
        let body = callers::message(answer.token);
        ledger.sent(answer.token, body.as_bytes(), answer.acceptance.clone());
    }
    for one in callee.requests.received() {
        let body = one.body.as_bytes();
        let found = FoundCallback {
            token: callers::token(body),
            id: one.id.clone().unwrap_or_default(),
            attempt: one.attempt.unwrap_or_default(),
            body: fingerprint(body),
        };
        ledger.seen(found, one.status == Some(200));
    }
    for (queue, message) in queued {
        let found = FoundCallback {
            token: callers::token(&message.request_message),
            id: message.request_id.to_string(),
            attempt: message.attempt,
            body: fingerprint(&message.request_message),
        };
        if queue == "dead" {
            ledger.dead(found);
        } else {
            ledger.queued(found);
        }
    }
    ledger
}
