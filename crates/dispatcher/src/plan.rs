//! Whom does a message call, and what holds for that?
//!
//! Looked up anew at each attempt, so that what an operator has mended holds for what waits.

use crate::lines::{Line, Lines};
use crate::resolve::Policy;
use contract::Message;
use delivery::limits::{Key, Limits};
use delivery::{Guard, Outcome, Parties, Schedule, TargetUrl};
use std::sync::Arc;
use std::time::Duration;

/// What holds for one attempt.
pub(crate) struct Plan {
    /// Under whose limits it falls. `None`: there is nobody to call.
    pub(crate) key: Option<Key>,
    /// Scheme, host and port, for logs and records. Empty: none.
    pub(crate) target: String,
    pub(crate) limits: Limits,
    pub(crate) schedule: Schedule,
    /// The longest that the whole attempt may take.
    pub(crate) timeout: Duration,
    /// Where it goes, or how it ends without going anywhere.
    pub(crate) way: Result<Way, Outcome>,
}

/// Where a call goes.
pub(crate) struct Way {
    pub(crate) url: TargetUrl,
    pub(crate) line: Arc<Line>,
}

/// Makes plans.
pub(crate) struct Plans {
    guard: Arc<Guard>,
    parties: Arc<Parties>,
    schedule: Schedule,
    timeout: Duration,
    /// For callers' URLs: every address is vetted.
    guarded: Arc<Line>,
    /// For registered callees: the operator's word.
    registered: Arc<Line>,
}

impl Plans {
    pub(crate) fn new(
        guard: Arc<Guard>,
        parties: Arc<Parties>,
        schedule: Schedule,
        timeout: Duration,
        lines: &Lines,
    ) -> reqwest::Result<Self> {
        Ok(Self {
            guarded: lines.line(Policy::Guarded(Arc::clone(&guard)))?,
            registered: lines.line(Policy::Registered)?,
            guard,
            parties,
            schedule,
            timeout,
        })
    }

    pub(crate) fn plan(&self, message: &Message) -> Plan {
        let whom = match &message.callback_url {
            Some(url) => self.callers(url),
            None => self.callees(message.callee_no.as_deref().unwrap_or_default()),
        };
        let own = message.options.timeout_seconds;
        Plan {
            key: whom.key,
            target: whom.target,
            limits: Limits::default(),
            schedule: self.schedule.clone(),
            timeout: own.map_or(self.timeout, |seconds| Duration::from_secs(seconds.into())),
            way: whom.way,
        }
    }

    /// Whom a caller's URL means.
    fn callers(&self, url: &str) -> Whom {
        // Parsed at the door already: what fails here was never written by it.
        let Ok(url) = TargetUrl::parse(url) else {
            return Whom::nobody(Outcome::Failed);
        };
        let target = url.target();
        let name = target.to_string();
        // The client never asks its resolver about a literal address, so that is judged here.
        if let Err(refusal) = self.guard.admit_literal(&url) {
            return Whom {
                target: name,
                ..Whom::nobody(Outcome::AddressRefused(refusal))
            };
        }
        Whom {
            key: Some(Key::Target(target)),
            target: name,
            way: Ok(Way {
                url,
                line: Arc::clone(&self.guarded),
            }),
        }
    }

    /// Whom a callee's number means.
    fn callees(&self, no: &str) -> Whom {
        let Some(party) = self.parties.find(no) else {
            return Whom::nobody(Outcome::CalleeWithoutUrl);
        };
        let key = Some(Key::Callee(party.no.as_str().into()));
        let Some(url) = &party.url else {
            return Whom {
                key,
                ..Whom::nobody(Outcome::CalleeWithoutUrl)
            };
        };
        Whom {
            key,
            target: url.target().to_string(),
            way: Ok(Way {
                url: url.clone(),
                line: Arc::clone(&self.registered),
            }),
        }
    }
}

struct Whom {
    key: Option<Key>,
    target: String,
    way: Result<Way, Outcome>,
}

impl Whom {
    fn nobody(outcome: Outcome) -> Self {
        Self {
            key: None,
            target: String::new(),
            way: Err(outcome),
        }
    }
}
