//! Whether the process is ready for work, and the state of its broker and journal.
//!
//! A process is ready from its first connection to the broker until it drains. A broker that is
//! down or blocked in between does not make it unready: without any ready pod, callers would get a
//! load balancer's 503 instead of the contract's. A store that only an operator can repair does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

/// The health of a process.
#[derive(Debug)]
pub struct Health {
    ever_connected: AtomicBool,
    broker_unusable: AtomicBool,
    draining: AtomicBool,
    broker: RwLock<Cow<'static, str>>,
    journal: RwLock<Cow<'static, str>>,
    /// What operators have stopped, by the name of the switch.
    stopped: RwLock<BTreeMap<&'static str, String>>,
    /// What operators should know of how the process is set up, by name.
    notes: RwLock<BTreeMap<&'static str, String>>,
}

/// The body of `/readyz`.
#[derive(Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    draining: bool,
    broker: Cow<'static, str>,
    journal: Cow<'static, str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stopped: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notes: BTreeMap<&'static str, String>,
}

impl Health {
    /// A process that has not reached the broker yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            ever_connected: AtomicBool::new(false),
            broker_unusable: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            broker: RwLock::new(Cow::Borrowed("never connected")),
            journal: RwLock::new(Cow::Borrowed("none")),
            stopped: RwLock::default(),
            notes: RwLock::default(),
        })
    }

    /// Records that the broker is connected. The process is ready from the first time on.
    pub fn broker_connected(&self) {
        self.set_broker("connected");
        self.ever_connected.store(true, Ordering::Release);
    }

    /// Sets the state of the broker, for people: `blocked: memory`, `disconnected: connection
    /// refused`. It does not change readiness, and must show no secret.
    pub fn set_broker(&self, state: impl Into<Cow<'static, str>>) {
        *self.broker.write().unwrap_or_else(PoisonError::into_inner) = state.into();
    }

    /// Sets whether the broker is of no use before an operator has repaired it: the process is not
    /// ready meanwhile.
    pub fn set_broker_unusable(&self, unusable: bool) {
        self.broker_unusable.store(unusable, Ordering::Release);
    }

    /// Sets the state of the journal, for people; `none` until it is set. It does not change
    /// readiness, and must show no secret.
    pub fn set_journal(&self, state: impl Into<Cow<'static, str>>) {
        *self.journal.write().unwrap_or_else(PoisonError::into_inner) = state.into();
    }

    /// Sets whether operators have stopped something, with a sentence for people. It does not change
    /// readiness: a load balancer must not cut off what goes on.
    pub fn set_stopped(&self, switch: &'static str, sentence: Option<String>) {
        let stopped = self.stopped.write();
        let mut stopped = stopped.unwrap_or_else(PoisonError::into_inner);
        match sentence {
            Some(sentence) => stopped.insert(switch, sentence),
            None => stopped.remove(switch),
        };
    }

    /// The names of what operators have stopped.
    pub(crate) fn stopped(&self) -> Vec<&'static str> {
        let stopped = self.stopped.read();
        let stopped = stopped.unwrap_or_else(PoisonError::into_inner);
        stopped.keys().copied().collect()
    }

    /// Adds a sentence about how the process is set up. It does not change readiness, and must show no
    /// secret.
    pub fn add_note(&self, name: &'static str, sentence: impl Into<String>) {
        let notes = self.notes.write();
        let mut notes = notes.unwrap_or_else(PoisonError::into_inner);
        notes.insert(name, sentence.into());
    }

    /// The names of the notes.
    pub(crate) fn notes(&self) -> Vec<&'static str> {
        let notes = self.notes.read();
        let notes = notes.unwrap_or_else(PoisonError::into_inner);
        notes.keys().copied().collect()
    }

    /// Begins draining: the process takes no new work from now on.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Health::begin_draining`] has been called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the process takes work.
    pub fn is_ready(&self) -> bool {
        self.ever_connected.load(Ordering::Acquire)
            && !self.broker_unusable.load(Ordering::Acquire)
            && !self.is_draining()
    }

    /// The state of the broker, for people; see [`Health::set_broker`].
    pub fn broker(&self) -> String {
        self.readiness().broker.into_owned()
    }

    /// The state of the journal, for people; see [`Health::set_journal`].
    pub fn journal(&self) -> String {
        self.readiness().journal.into_owned()
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let read = |text: &RwLock<Cow<'static, str>>| {
            text.read().unwrap_or_else(PoisonError::into_inner).clone()
        };
        Readiness {
            ready: self.is_ready(),
            draining: self.is_draining(),
            broker: read(&self.broker),
            journal: read(&self.journal),
            stopped: {
                let stopped = self.stopped.read();
                stopped.unwrap_or_else(PoisonError::into_inner).clone()
            },
            notes: {
                let notes = self.notes.read();
                notes.unwrap_or_else(PoisonError::into_inner).clone()
            },
        }
    }
}
