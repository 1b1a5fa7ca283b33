//! The ledger: compares the answers that callers got with what became of their callbacks.
//!
//! Each request has a token inside `request_message`, chosen by the caller, so it is identified
//! even without an answer. The ledger shares no code with the gateway. Its own tests show on
//! made-up runs that it detects every broken promise.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a caller knows about its callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// `000` with this id: a promise.
    Accepted(String),
    /// An error without an id: it must never be delivered.
    Refused,
    /// No answer, or one that leaves it open, possibly with an id.
    Unknown(Option<String>),
}

/// A callback as it was found: at the target, among the dead letters, or still in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCallback {
    /// The token in the body, if one can be read.
    pub token: Option<u64>,
    /// `webhook-id`, or the message's request id.
    pub id: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// The body's [`fingerprint`].
    pub body: u64,
}

/// What was sent, and where it was found.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<u64, Sent>,
    delivered: Vec<FoundCallback>,
    failed: Vec<FoundCallback>,
    dead: Vec<FoundCallback>,
    queued: Vec<FoundCallback>,
}

#[derive(Debug)]
struct Sent {
    body: u64,
    acceptance: Acceptance,
}

/// Where one callback was found.
#[derive(Default)]
struct Trace<'a> {
    ids: BTreeSet<&'a str>,
    safe: bool,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Accepted, and neither delivered nor dead-lettered nor in a queue.
    Lost(u64),
    /// Found, although no caller sent it.
    Invented(String),
    /// Found, although it was definitely refused.
    RefusedAndFound(u64),
    /// Its body is not the one that was sent.
    ChangedBody(u64),
    /// Found under another id than the caller got, or under several.
    ChangedId(u64),
    /// Two callbacks under one id.
    SharedId(String),
}

/// The result of an audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Callbacks answered `000`.
    pub accepted: usize,
    /// Callbacks that were definitely refused.
    pub refused: usize,
    /// Callbacks with neither answer.
    pub unknown: usize,
    /// Those of the unknown ones that were accepted nevertheless.
    pub recovered: usize,
    /// Callbacks that a target answered 2xx, each counted once.
    pub delivered: usize,
    /// Dead-lettered callbacks.
    pub dead: usize,
    /// Callbacks still in a queue.
    pub queued: usize,
    /// Requests at the target beyond the first of the same callback and attempt number.
    pub repeats: usize,
    /// The most requests that the target received for one attempt of one callback.
    pub max_per_attempt: usize,
    /// Every broken promise.
    pub faults: Vec<Fault>,
}

impl Ledger {
    /// Enters what a caller sent, and its answer.
    pub fn sent(&mut self, token: u64, body: &[u8], acceptance: Acceptance) {
        let body = fingerprint(body);
        let earlier = self.sent.insert(token, Sent { body, acceptance });
        assert!(earlier.is_none(), "token {token} was sent twice");
    }

    /// Enters a request at the target, and whether it was answered 2xx.
    pub fn seen(&mut self, found: FoundCallback, delivered: bool) {
        if delivered {
            self.delivered.push(found);
        } else {
            self.failed.push(found);
        }
    }

    /// Enters a dead letter.
    pub fn dead(&mut self, found: FoundCallback) {
        self.dead.push(found);
    }

    /// Enters a message that is still in a queue.
    pub fn queued(&mut self, found: FoundCallback) {
        self.queued.push(found);
    }

    /// Checks every promise.
    pub fn audit(&self) -> Audit {
        let mut audit = Audit {
            delivered: tokens(&self.delivered).len(),
            dead: tokens(&self.dead).len(),
            queued: tokens(&self.queued).len(),
            ..Audit::default()
        };
        self.count_repeats(&mut audit);
        let mut faults = BTreeSet::new();
        let mut traces = BTreeMap::<u64, Trace<'_>>::new();
        let mut owners = BTreeMap::<&str, BTreeSet<u64>>::new();
        for (found, safe) in self.everywhere() {
            let sent = found.token.and_then(|it| Some((it, self.sent.get(&it)?)));
            let Some((token, sent)) = sent else {
                faults.insert(Fault::Invented(found.id.clone()));
                continue;
            };
            if sent.acceptance == Acceptance::Refused {
                faults.insert(Fault::RefusedAndFound(token));
            }
            if sent.body != found.body {
                faults.insert(Fault::ChangedBody(token));
            }
            let trace = traces.entry(token).or_default();
            trace.ids.insert(&found.id);
            trace.safe |= safe;
            owners.entry(&found.id).or_default().insert(token);
        }
        for (&token, sent) in &self.sent {
            let mut trace = traces.remove(&token).unwrap_or_default();
            match &sent.acceptance {
                Acceptance::Refused => audit.refused += 1,
                Acceptance::Unknown(id) => {
                    audit.unknown += 1;
                    audit.recovered += usize::from(!trace.ids.is_empty());
                    trace.ids.extend(id.as_deref());
                }
                Acceptance::Accepted(id) => {
                    audit.accepted += 1;
                    if !trace.safe {
                        faults.insert(Fault::Lost(token));
                    }
                    trace.ids.insert(id);
                    owners.entry(id).or_default().insert(token);
                }
            }
            if trace.ids.len() > 1 {
                faults.insert(Fault::ChangedId(token));
            }
        }
        let shared = owners.into_iter().filter(|(_, tokens)| tokens.len() > 1);
        faults.extend(shared.map(|(id, _)| Fault::SharedId(id.to_owned())));
        audit.faults = faults.into_iter().collect();
        audit
    }

    /// Everything that was found, and whether it is safe there. A request that the target did not
    /// answer 2xx is not.
    fn everywhere(&self) -> impl Iterator<Item = (&FoundCallback, bool)> {
        let safe = [&self.delivered, &self.dead, &self.queued];
        let safe = safe.into_iter().flatten().map(|found| (found, true));
        safe.chain(self.failed.iter().map(|found| (found, false)))
    }

    fn count_repeats(&self, audit: &mut Audit) {
        let mut visits = BTreeMap::<(&str, u32), usize>::new();
        for found in self.delivered.iter().chain(&self.failed) {
            *visits.entry((&found.id, found.attempt)).or_default() += 1;
        }
        audit.repeats = visits.values().map(|count| count - 1).sum();
        audit.max_per_attempt = visits.values().copied().max().unwrap_or_default();
    }
}

fn tokens(found: &[FoundCallback]) -> BTreeSet<Option<u64>> {
    found.iter().map(|found| found.token).collect()
}

/// A hash that tells bodies apart.
pub fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

impl Audit {
    /// Passes the audit on if no promise was broken.
    ///
    /// # Panics
    /// With the broken promises, when there are any.
    #[must_use]
    pub fn sound(self) -> Self {
        let shown = &self.faults[..self.faults.len().min(20)];
        assert!(shown.is_empty(), "{self}: {shown:?}");
        self
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted, {} refused, {} unknown ({} of them accepted after all); {} delivered, \
             {} dead-lettered, {} queued; {} repeats, at most {} requests for one attempt; {} faults",
            self.accepted,
            self.refused,
            self.unknown,
            self.recovered,
            self.delivered,
            self.dead,
            self.queued,
            self.repeats,
            self.max_per_attempt,
            self.faults.len()
        )
    }
}
