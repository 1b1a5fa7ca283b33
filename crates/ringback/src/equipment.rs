//! What do the settings describe, once every part of the program has checked its own?

use std::sync::Arc;

use boot::SettingsError;
use boot::settings::{AppSettings, AuthMode, Settings};
use delivery::callers::{App, Callers, KeyHash, Mode, Secret};
use delivery::limits::Rate;
use delivery::{Entry, Guards, Parties, PartyError, PartyFlaw, Schedule};
use dispatcher::Policy;
use secrecy::ExposeSecret;

use crate::admin;
use crate::equipment::guards::GuardRules;
use crate::records::Place;

mod guards;
mod to_broker;

pub(crate) use guards::parsed;
pub(crate) use to_broker::{broker, host_name, open, own_store, refused_file, shared_broker, tls};

/// What both doors are built from, checked.
#[derive(Debug)]
pub(crate) struct Equipment {
    /// What the address guards let through.
    pub(crate) rules: GuardRules,
    /// The registry of parties.
    pub(crate) parties: Arc<Parties>,
}

impl Equipment {
    /// Checks what only its users can judge: schedule, guard and parties, and that the journal has one
    /// place.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub(crate) fn check(settings: &Settings) -> Result<Self, SettingsError> {
        Place::find(settings, None)?;
        schedule(settings)?;
        Policy::check(settings)?;
        admin::check(&settings.admin)?;
        Ok(Self {
            rules: GuardRules::read(settings)?,
            parties: Arc::new(parties(settings)?),
        })
    }

    /// The address guards, with `more` openings beside those of the settings.
    pub(crate) fn guards(&self, more: &[Entry]) -> Arc<Guards> {
        Arc::new(self.rules.guards(more))
    }
}

/// The retry schedule.
///
/// # Errors
/// When `retry.schedule` is none.
pub(crate) fn schedule(settings: &Settings) -> Result<Schedule, SettingsError> {
    Schedule::new(settings.retry.schedule.clone())
        .map_err(|error| SettingsError::refused("retry.schedule", error))
}

/// Who may send callbacks.
///
/// # Errors
/// When `auth.mode` is not chosen, or an app cannot be registered as it is.
pub(crate) fn callers(settings: &Settings, role: &str) -> Result<Callers, SettingsError> {
    let mode = match settings.auth.mode {
        Some(AuthMode::Open) => Mode::Open,
        Some(AuthMode::Bearer) => Mode::Bearer,
        Some(AuthMode::Hmac) => Mode::Hmac,
        // To try it out nobody should need a key.
        None if role == "dev" => Mode::Open,
        None => {
            let reason = format!(
                "it is not set, and {role} needs it (write hmac or bearer, or open to believe \
                 everybody who reaches the port)"
            );
            return Err(SettingsError::refused("auth.mode", reason));
        }
    };
    if mode == Mode::Open {
        guards::need_proof(settings)?;
    }
    let apps = settings.apps.iter().map(|(id, app)| self::app(id, app));
    let apps: Vec<App> = apps.collect::<Result<_, _>>()?;
    Callers::new(mode, settings.auth.window, apps)
        .map_err(|(id, error)| SettingsError::refused(&format!("apps.{id}.secrets"), error))
}

fn app(id: &str, app: &AppSettings) -> Result<App, SettingsError> {
    let refused = |key: &str, reason: String| {
        let key = format!("apps.{id}.{key}");
        Err(SettingsError::refused(&key, reason))
    };
    let mut keys = Vec::new();
    for text in &app.keys {
        match KeyHash::parse(text) {
            Some(hash) => keys.push(hash),
            None => {
                let form = "it is no hash of a key (write sha256: and 64 hexadecimal digits; \
                            `ringback key` makes one)";
                return refused("keys", form.to_owned());
            }
        }
    }
    let mut secrets = Vec::new();
    for text in &app.secrets {
        let parsed = text.read().and_then(|found| {
            Secret::parse(found.expose_secret()).map_err(|flaw| flaw.to_string())
        });
        match parsed {
            Ok(secret) => secrets.push(secret),
            Err(reason) => return refused("secrets", reason),
        }
    }
    let burst = if app.burst == 0 { app.rate } else { app.burst };
    Ok(App {
        id: id.to_owned(),
        keys,
        secrets,
        disabled: app.disabled,
        rate: Rate::new(f64::from(app.rate), burst),
        quota: (app.quota > 0).then_some(app.quota),
    })
}

/// Refuses to go without a journal that several processes share.
///
/// # Errors
/// When `journal.url` is not set.
pub(crate) fn shared_journal(settings: &Settings, role: &str) -> Result<(), SettingsError> {
    if settings.journal.url.is_some() {
        return Ok(());
    }
    let example = "postgres://user:password@host:5432/ringback";
    let reason = format!("it is not set, and {role} needs it (write {example})");
    Err(SettingsError::refused("journal.url", reason))
}

fn parties(settings: &Settings) -> Result<Parties, SettingsError> {
    let configured = settings
        .callees
        .iter()
        .map(|(no, callee)| (no.clone(), callee.name.clone(), callee.url.clone()));
    Parties::new(configured).map_err(|PartyError { no, flaw }| {
        let key = match flaw {
            PartyFlaw::Url(_) => format!("callees.{no}.url"),
            PartyFlaw::BlankName => format!("callees.{no}.name"),
            PartyFlaw::No | PartyFlaw::Twice => format!("callees.{no}"),
        };
        SettingsError::refused(&key, flaw)
    })
}

#[cfg(test)]
mod tests {
    use delivery::{Refusal, TargetUrl};

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables
            .iter()
            .map(|(key, value)| (format!("RINGBACK__{key}"), (*value).to_owned()));
        Settings::load(None, variables).unwrap()
    }

    #[test]
    fn a_value_that_its_user_refuses_is_named_with_its_key() {
        for (key, value, named) in [
            ("RETRY__SCHEDULE", "100ms", "retry.schedule"),
            ("GUARD__ALLOW", "10.0.0.1/8", "guard.allow"),
            ("GUARD__ALLOW", "local host", "guard.allow"),
            ("GUARD__CLOSED_PORTS", "0", "guard.closed_ports"),
            ("APPS__shop__ALLOW", "10.0.0.1/8", "apps.shop.allow"),
            ("APPS__shop__ONLY", "*", "apps.shop.only"),
            (
                "CALLEES__EO001__URL",
                "http://user:word@host/",
                "callees.EO001.url",
            ),
        ] {
            let refused = Equipment::check(&settings(&[(key, value)])).unwrap_err();
            let sentence = refused.to_string();
            let begin = format!("{named} (RINGBACK__{key}): ");
            assert!(sentence.starts_with(&begin), "{sentence}");
        }
    }

    #[test]
    fn the_guard_opens_what_the_settings_and_the_process_open() {
        let equipment = Equipment::check(&settings(&[
            ("GUARD__ALLOW", "10.0.0.0/8"),
            ("GUARD__CLOSED_PORTS", "25"),
            ("APPS__shop__ALLOW", "172.16.0.0/12"),
            ("APPS__shop__HTTPS_ONLY", "true"),
            ("APPS__bank__ONLY", "bank.example"),
        ]))
        .unwrap();
        let practice = Entry::Socket(([127, 0, 0, 1], 5107).into());
        let (closed, opened) = (equipment.guards(&[]), equipment.guards(&[practice]));
        let table = [
            ("other", "http://10.1.2.3/", None),
            ("other", "http://10.1.2.3:25/", Some(Refusal::Port)),
            ("other", "http://172.16.0.1/", Some(Refusal::Private)),
            ("shop", "https://172.16.0.1/", None),
            ("shop", "https://10.1.2.3/", None),
            ("shop", "http://10.1.2.3/", Some(Refusal::Scheme)),
            ("shop", "https://10.1.2.3:25/", Some(Refusal::Port)),
            ("bank", "http://other.example/", Some(Refusal::NotListed)),
            ("bank", "http://bank.example/", None),
        ];
        for (app, url, refusal) in table {
            let url = TargetUrl::parse(url).unwrap();
            for guards in [&closed, &opened] {
                let found = guards.of(app).admit_url(&url).err();
                assert_eq!(found, refusal, "{app} {url:?}");
            }
        }
        let url = |port| TargetUrl::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        assert!(closed.of("other").admit_url(&url(5107)).is_err());
        assert!(opened.of("other").admit_url(&url(5107)).is_ok());
        assert!(opened.of("other").admit_url(&url(5108)).is_err());
    }

    #[test]
    fn where_nobody_proves_anything_no_app_has_openings_of_its_own() {
        let app = ("APPS__shop__ALLOW", "10.0.0.0/8");
        let open = settings(&[app, ("AUTH__MODE", "open")]);
        let refused = Equipment::check(&open).unwrap_err().to_string();
        assert!(refused.starts_with("apps.shop.allow"), "{refused}");
        let unset = settings(&[app]);
        assert!(Equipment::check(&unset).is_ok());
        let refused = callers(&unset, "dev").unwrap_err().to_string();
        assert!(refused.starts_with("apps.shop.allow"), "{refused}");
        let bearer = settings(&[app, ("AUTH__MODE", "bearer")]);
        assert!(Equipment::check(&bearer).is_ok());
    }

    #[test]
    fn a_missing_journal_url_is_told_by_its_variable() {
        let refused = shared_journal(&settings(&[]), "migrate").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "journal.url (RINGBACK__JOURNAL__URL): it is not set, and migrate needs it \
             (write postgres://user:password@host:5432/ringback)"
        );
        let url = ("JOURNAL__URL", "postgres://a:b@journal.example/ringback");
        assert!(shared_journal(&settings(&[url]), "migrate").is_ok());
    }
}
