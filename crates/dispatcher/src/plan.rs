//! Whom does a message call, and what holds for that?
//!
//! Looked up anew at each attempt, so that what an operator has mended holds for what waits.

use crate::app::App;
use crate::callee::Manner;
use crate::lines::Line;
use crate::policy::{Policies, Policy};
use contract::Message;
use delivery::limits::{Key, Limits};
use delivery::signature::Signing;
use delivery::{Outcome, Schedule, TargetUrl};
use std::sync::Arc;
use std::time::Duration;

/// What holds for one attempt.
pub(crate) struct Plan {
    /// Under whose limits it falls. `None`: there is nobody to call.
    pub(crate) key: Option<Key>,
    /// Scheme, host and port, for logs and records. Empty: none.
    pub(crate) target: String,
    pub(crate) limits: Limits,
    pub(crate) paused: bool,
    pub(crate) schedule: Arc<Schedule>,
    /// The longest that the whole attempt may take.
    pub(crate) timeout: Duration,
    /// For a registered callee: how it is spoken to.
    pub(crate) manner: Option<Arc<Manner>>,
    /// What signs the call, if anything does.
    pub(crate) signing: Option<Arc<Signing>>,
    /// Where it goes, or how it ends without going anywhere.
    pub(crate) way: Result<Way, Outcome>,
}

/// Where a call goes.
pub(crate) struct Way {
    pub(crate) url: TargetUrl,
    pub(crate) line: Arc<Line>,
}

/// Makes plans of the policy that holds now.
pub(crate) struct Plans(Policies);

impl Plans {
    pub(crate) fn new(policies: Policies) -> Self {
        Self(policies)
    }

    pub(crate) fn policies(&self) -> &Policies {
        &self.0
    }

    pub(crate) fn plan(&self, message: &Message) -> Plan {
        let policy = self.0.get();
        let app = policy.app(&message.app_id);
        let mut plan = match &message.callback_url {
            Some(url) => callers(&policy, app, url),
            None => callees(&policy, message.callee_no.as_deref().unwrap_or_default()),
        };
        // A callee that has no secret of its own knows its callers by theirs.
        plan.signing = plan.signing.or_else(|| app.signing.clone());
        if let Some(seconds) = message.options.timeout_seconds {
            plan.timeout = Duration::from_secs(seconds.into());
        }
        plan
    }
}

/// The plan for a caller's URL.
fn callers(policy: &Policy, app: &App, url: &str) -> Plan {
    // Parsed at the door already: what fails here was never written by it.
    let Ok(url) = TargetUrl::parse(url) else {
        return nobody(policy, Outcome::Failed);
    };
    let target = url.target();
    let name = target.to_string();
    // The client never asks its resolver about a literal address, so that is judged here.
    if let Err(refusal) = app.guard.admit_url(&url) {
        return Plan {
            target: name,
            ..nobody(policy, Outcome::AddressRefused(refusal))
        };
    }
    Plan {
        key: Some(Key::Target(target)),
        target: name,
        way: Ok(Way {
            url,
            line: Arc::clone(&app.line),
        }),
        ..nobody(policy, Outcome::Failed)
    }
}

/// The plan for a callee's number.
fn callees(policy: &Policy, no: &str) -> Plan {
    let party = policy.parties.find(no);
    let Some(callee) = party.and_then(|party| policy.callees.get(&party.no)) else {
        return Plan {
            key: party.map(|party| Key::Callee(party.no.as_str().into())),
            ..nobody(policy, Outcome::CalleeWithoutUrl)
        };
    };
    let url = callee.url.as_ref();
    Plan {
        key: Some(callee.key.clone()),
        target: url.map(|url| url.target().to_string()).unwrap_or_default(),
        limits: callee.limits,
        paused: callee.paused,
        schedule: Arc::clone(&callee.schedule),
        timeout: callee.timeout,
        manner: Some(Arc::clone(&callee.manner)),
        signing: callee.signing.clone(),
        way: match url {
            None => Err(Outcome::CalleeWithoutUrl),
            Some(url) => Ok(Way {
                url: url.clone(),
                line: Arc::clone(&callee.line),
            }),
        },
    }
}

/// What holds for all, with nobody to call.
fn nobody(policy: &Policy, outcome: Outcome) -> Plan {
    Plan {
        key: None,
        target: String::new(),
        limits: policy.limits,
        paused: false,
        schedule: Arc::clone(&policy.schedule),
        timeout: policy.timeout,
        manner: None,
        signing: None,
        way: Err(outcome),
    }
}
