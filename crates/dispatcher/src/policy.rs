//! What holds for the callbacks that are attempted from now on?
//!
//! A snapshot, made of the settings as a whole and replaced as a whole. Clients go on from one to
//! the next where what they were built from is the same: a reload does not close connections.

use crate::app::{self, App};
use crate::callee::{self, Callee};
use crate::lines::{Line, Lines};
use crate::resolve;
use crate::tls::Tls;
use boot::settings::{LimitsSettings, Settings};
use boot::{Live, SettingsError};
use delivery::limits::{BreakerRules, Limits, Rate};
use delivery::{Guards, Parties, Schedule};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a plan is made from.
pub struct Policy {
    pub(crate) parties: Arc<Parties>,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
    /// What holds for apps with nothing of their own.
    every_app: App,
    /// By id: those with something of their own.
    apps: HashMap<String, App>,
    /// For registered callees, the operator's word: by number as registered.
    pub(crate) callees: HashMap<String, Callee>,
    /// One line for each guard policy and TLS profile among all of them.
    lines: Vec<Arc<Line>>,
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
        guards: &Guards,
        lines: Lines,
    ) -> Result<Self, SettingsError> {
        let policy = Policy::new(settings, parties, guards, &lines, None)?;
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
        guards: &Guards,
    ) -> Result<Policy, SettingsError> {
        let before = self.live.get();
        Policy::new(settings, parties, guards, &self.lines, Some(&before))
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

    /// What holds for the callbacks of an app.
    pub(crate) fn app(&self, id: &str) -> &App {
        self.apps.get(id).unwrap_or(&self.every_app)
    }

    fn new(
        settings: &Settings,
        parties: Arc<Parties>,
        guards: &Guards,
        makes: &Lines,
        before: Option<&Self>,
    ) -> Result<Self, SettingsError> {
        Self::check(settings)?;
        let mut lines = Known {
            makes,
            before: before.map(|before| &*before.lines).unwrap_or_default(),
            lines: Vec::new(),
        };
        let tls = Tls::of_all(settings)?;
        let mut app = |id: &str| {
            let guard = guards.of(id);
            let policy = resolve::Policy::Guarded(Arc::clone(guard));
            let line = lines.line(policy, tls.clone(), "dispatcher.ca_file")?;
            App::new(id, settings, guard, line)
        };
        let own = app::own(settings, guards).into_iter();
        let own = own.map(|id| Ok((id.to_owned(), app(id)?)));
        let apps = own.collect::<Result<_, SettingsError>>()?;
        // No app has an empty id.
        let every_app = app("")?;
        let mut policy = Self {
            schedule: Arc::new(schedule("retry.schedule", &settings.retry.schedule)?),
            timeout: settings.dispatcher.attempt_timeout,
            limits: limits("limits", &settings.limits)?,
            every_app,
            apps,
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
            let only = resolve::Policy::Registered(callee::only(no, callee)?);
            let tls = tls.of_callee(no, callee)?;
            let line = lines.line(only, tls, &format!("callees.{no}.cert_file"))?;
            let own = limits(&format!("callees.{no}"), &settings.limits.of(callee))?;
            let callee = Callee::new(party, callee, own, &policy, line)?;
            policy.callees.insert(party.no.clone(), callee);
        }
        policy.lines = lines.lines;
        Ok(policy)
    }
}

/// The lines that a policy needs, each made once.
struct Known<'a> {
    makes: &'a Lines,
    /// Of the policy that held until now.
    before: &'a [Arc<Line>],
    lines: Vec<Arc<Line>>,
}

impl Known<'_> {
    /// The line under this policy, with this TLS: one that is there already, or a new one.
    fn line(
        &mut self,
        policy: resolve::Policy,
        tls: Tls,
        key: &str,
    ) -> Result<Arc<Line>, SettingsError> {
        let fits = |line: &&Arc<Line>| line.policy == policy && line.tls == tls;
        if let Some(line) = self.lines.iter().find(fits) {
            return Ok(Arc::clone(line));
        }
        let line = match self.before.iter().find(fits) {
            Some(line) => Arc::clone(line),
            None => self
                .makes
                .line(policy, tls)
                .map_err(|_| SettingsError::refused(key, "no HTTP client can be built with it"))?,
        };
        self.lines.push(Arc::clone(&line));
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

#[cfg(test)]
mod tests;
