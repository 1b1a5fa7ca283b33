//! Was every promise to every caller kept? What callers were told against what became of it.
//!
//! Each request bears a token inside `request_message`, chosen by the caller: so it is known even
//! when no answer came. The ledger shares no code with the gateway; it must find fault where there
//! is one, which its own tests show on made-up books.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// `000` with this id: a promise.
    Accepted(String),
    /// An error without an id: it must never be delivered.
    Refused,
    /// No answer, or one that leaves it open, perhaps with an id.
    Unknown(Option<String>),
}

/// A callback as it was found: at the target, among the dead letters, or still in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The token in the body, if one can be read.
    pub token: Option<u64>,
    /// `webhook-id`, or the message's request id.
    pub id: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// The body's [`fingerprint`].
    pub body: u64,
}

/// The books: what was sent, and where it was found.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<u64, Sent>,
    delivered: Vec<Found>,
    failed: Vec<Found>,
    dead: Vec<Found>,
    queued: Vec<Found>,
}

#[derive(Debug)]
struct Sent {
    body: u64,
    told: Told,
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
    /// Accepted, and neither delivered nor dead nor in a queue.
    Lost(u64),
    /// Found, although no caller sent it.
    Invented(String),
    /// Found, although its caller was told for certain that it would not be.
    RefusedAndFound(u64),
    /// Its body is not the one that was sent.
    ChangedBody(u64),
    /// Found under an id other than the caller was told, or under several.
    ChangedId(u64),
    /// Two callbacks under one id.
    SharedId(String),
}

/// What the books say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Callers told `000`.
    pub accepted: usize,
    /// Callers told for certain that nothing will be delivered.
    pub refused: usize,
    /// Callers told neither.
    pub unknown: usize,
    /// Those of the unknown that were accepted all the same.
    pub recovered: usize,
    /// Callbacks that a target took, each counted once.
    pub delivered: usize,
    /// Callbacks among the dead letters.
    pub dead: usize,
    /// Callbacks still in a queue.
    pub queued: usize,
    /// Requests at the target beyond the first of the same callback and attempt number.
    pub repeats: usize,
    /// The most requests that the target got for one attempt of one callback.
    pub most_for_one_attempt: usize,
    /// Every broken promise.
    pub faults: Vec<Fault>,
}

impl Ledger {
    /// Notes what a caller sent and was told.
    pub fn sent(&mut self, token: u64, body: &[u8], told: Told) {
        let body = fingerprint(body);
        let earlier = self.sent.insert(token, Sent { body, told });
        assert!(earlier.is_none(), "token {token} was sent twice");
    }

    /// Notes a request at the target, and whether the target took it (2xx).
    pub fn seen(&mut self, found: Found, taken: bool) {
        if taken {
            self.delivered.push(found);
        } else {
            self.failed.push(found);
        }
    }

    /// Notes a dead letter.
    pub fn dead(&mut self, found: Found) {
        self.dead.push(found);
    }

    /// Notes a message that is still in a queue.
    pub fn queued(&mut self, found: Found) {
        self.queued.push(found);
    }

    /// Checks the books.
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
            if sent.told == Told::Refused {
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
            match &sent.told {
                Told::Refused => audit.refused += 1,
                Told::Unknown(id) => {
                    audit.unknown += 1;
                    audit.recovered += usize::from(!trace.ids.is_empty());
                    trace.ids.extend(id.as_deref());
                }
                Told::Accepted(id) => {
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

    /// Whatever was found, and whether it is safe there: a target that did not take it is no place
    /// to be.
    fn everywhere(&self) -> impl Iterator<Item = (&Found, bool)> {
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
        audit.most_for_one_attempt = visits.values().copied().max().unwrap_or_default();
    }
}

fn tokens(found: &[Found]) -> BTreeSet<Option<u64>> {
    found.iter().map(|found| found.token).collect()
}

/// Tells bodies apart.
pub fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

impl Audit {
    /// The same, if no promise was broken.
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
             {} dead, {} queued; {} repeats, at most {} requests for one attempt; {} faults",
            self.accepted,
            self.refused,
            self.unknown,
            self.recovered,
            self.delivered,
            self.dead,
            self.queued,
            self.repeats,
            self.most_for_one_attempt,
            self.faults.len()
        )
    }
}
