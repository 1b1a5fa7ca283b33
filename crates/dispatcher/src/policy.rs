//! What holds for the callbacks that are attempted from now on?
//!
//! A snapshot, made of the settings as a whole and replaced as a whole. Clients go on from one to
//! the next where what they were built from is the same: a reload does not close connections.

use crate::callee::{Callee, Tls};
use crate::lines::{Line, Lines};
use crate::resolve;
use boot::settings::{LimitsSettings, Settings};
use boot::{Live, SettingsError};
use delivery::limits::{BreakerRules, Limits, Rate};
use delivery::{Guard, Parties, Schedule};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a plan is made from.
pub struct Policy {
    pub(crate) guard: Arc<Guard>,
    pub(crate) parties: Arc<Parties>,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
    /// For callers' URLs: every address is vetted.
    pub(crate) guarded: Arc<Line>,
    /// For registered callees, the operator's word: by number as registered.
    pub(crate) callees: HashMap<String, Callee>,
    /// One line for each TLS profile among them.
    lines: Vec<(Tls, Arc<Line>)>,
}

/// The policy that holds now, and what new ones are made with. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    live: Live<Policy>,
    lines: Arc<Lines>,
}

impl Policies {
    pub(crate) fn new(
        settings: &Settings,
        parties: Arc<Parties>,
        guard: Arc<Guard>,
        lines: Lines,
    ) -> Result<Self, SettingsError> {
        let policy = Policy::new(settings, parties, guard, &lines, None)?;
        Ok(Self {
            live: Live::new(policy),
            lines: Arc::new(lines),
        })
    }

    pub(crate) fn get(&self) -> Arc<Policy> {
        self.live.get()
    }

    /// Makes a policy of new settings; reads the files that they name. Nothing changes yet.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn prepare(
        &self,
        settings: &Settings,
        parties: Arc<Parties>,
        guard: Arc<Guard>,
    ) -> Result<Policy, SettingsError> {
        let before = self.live.get();
        Policy::new(settings, parties, guard, &self.lines, Some(&before))
    }

    /// Lets this policy hold for all plans from now on.
    pub fn set(&self, policy: Policy) {
        self.live.set(policy);
    }
}

impl Policy {
    /// Checks what the settings say of callees and limits, but for the secrets and files that they
    /// name, which only a process that delivers needs.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn check(settings: &Settings) -> Result<(), SettingsError> {
        limits("limits", &settings.limits)?;
        settings
            .callees
            .iter()
            .try_for_each(|(no, callee)| Callee::check(no, callee))
    }

    fn new(
        settings: &Settings,
        parties: Arc<Parties>,
        guard: Arc<Guard>,
        makes: &Lines,
        before: Option<&Self>,
    ) -> Result<Self, SettingsError> {
        Self::check(settings)?;
        let unbuilt = |key: &str| {
            let refused = "no HTTP client can be built with it";
            let key = key.to_owned();
            move |_| SettingsError::refused(&key, refused)
        };
        let guarded = match before.filter(|before| before.guard == guard) {
            Some(before) => Arc::clone(&before.guarded),
            None => makes
                .line(resolve::Policy::Guarded(Arc::clone(&guard)), None)
                .map_err(unbuilt("guard.allow"))?,
        };
        let mut policy = Self {
            guard,
            schedule: Arc::new(schedule("retry.schedule", &settings.retry.schedule)?),
            timeout: settings.dispatcher.attempt_timeout,
            limits: limits("limits", &settings.limits)?,
            guarded,
            callees: HashMap::new(),
            lines: Vec::new(),
            parties,
        };
        let parties = Arc::clone(&policy.parties);
        for (no, callee) in &settings.callees {
            let Some(party) = parties.find(no) else {
                continue; // Every configured number is registered.
            };
            // Where both spellings are there, the exact one's word counts.
            if party.no != *no && settings.callees.contains_key(&party.no) {
                continue;
            }
            let tls = Tls::read(no, callee)?;
            let line = policy.line(tls, makes, before);
            let line = line.map_err(unbuilt(&format!("callees.{no}.cert_file")))?;
            let own = limits(&format!("callees.{no}"), &settings.limits.of(callee))?;
            let callee = Callee::new(party, callee, own, &policy, line)?;
            policy.callees.insert(party.no.clone(), callee);
        }
        Ok(policy)
    }

    /// The line of a TLS profile: one that is there already, or a new one.
    fn line(
        &mut self,
        tls: Tls,
        makes: &Lines,
        before: Option<&Self>,
    ) -> reqwest::Result<Arc<Line>> {
        let before = before.map(|before| &*before.lines).unwrap_or_default();
        let mut known = self.lines.iter().chain(before);
        if let Some((_, line)) = known.find(|(known, _)| *known == tls) {
            let line = Arc::clone(line);
            if self.lines.iter().all(|(known, _)| *known != tls) {
                self.lines.push((tls, Arc::clone(&line)));
            }
            return Ok(line);
        }
        let line = makes.line(resolve::Policy::Registered, Some(&tls))?;
        self.lines.push((tls, Arc::clone(&line)));
        Ok(line)
    }
}

pub(crate) fn schedule(key: &str, waits: &[Duration]) -> Result<Schedule, SettingsError> {
    Schedule::new(waits.to_vec()).map_err(|error| SettingsError::refused(key, error))
}

fn limits(section: &str, settings: &LimitsSettings) -> Result<Limits, SettingsError> {
    Ok(Limits {
        in_flight: settings.in_flight,
        rate: rate(section, settings.rate, settings.burst)?,
        breaker: BreakerRules {
            share: settings.breaker_share,
            calls: settings.breaker_calls,
            window: settings.breaker_window,
            open: settings.breaker_open,
            open_most: settings.breaker_open_most,
        },
        waiting: settings.waiting,
    })
}

fn rate(section: &str, per_second: Option<f64>, burst: u32) -> Result<Option<Rate>, SettingsError> {
    per_second.map_or(Ok(None), |per_second| {
        let refused = || {
            let key = format!("{section}.rate");
            SettingsError::refused(
                &key,
                "it is not between a call a day and a million a second",
            )
        };
        Rate::new(per_second, burst).ok_or_else(refused).map(Some)
    })
}
