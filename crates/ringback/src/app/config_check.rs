//! Checks of the settings that need types of other crates, before anything starts.
//!
//! [`check_start`] is all of them, for `ringback config`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::GuardRules;
use delivery::auth::{AuthMode, CallerRegistry, KeyHash, RegisteredApp, Secret};
use delivery::limits::Rate;
use delivery::{
    AddressRule, AllowList, CalleeRegistry, Guards, RegistryError, RegistryErrorKind, Schedule,
};
use ingress::AppConfig;
use runtime::ConfigError;
use secrecy::ExposeSecret;

use super::broker::{rabbitmq_settings, refused_tls_file};
use super::guards::{guards, refuse_allow_without_auth};
use super::role::ProcessRole;
use super::settings::Settings;
use crate::error::CommandError;
use crate::recording::JournalLocation;

/// Settings that all parts of the program accept, and the callee registry made from them.
#[derive(Debug)]
pub(crate) struct ValidatedConfig<'a> {
    settings: &'a Settings,
    /// The callee registry.
    pub(crate) callees: Arc<CalleeRegistry>,
    /// How long after its due time a callback may be marked `unaccounted`; `None`: never.
    pub(crate) unaccounted_after: Option<Duration>,
}

impl<'a> ValidatedConfig<'a> {
    /// Checks the schedule, the guards and the callees, and that the journal has one location.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub(crate) fn check(settings: &'a Settings) -> Result<Self, ConfigError> {
        journal_location(settings, None)?;
        schedule(settings)?;
        refuse_allow_without_auth(settings, settings.auth.mode)?;
        Ok(Self {
            settings,
            callees: Arc::new(callee_registry(settings)?),
            unaccounted_after: settings
                .journal
                .unaccounted_after(settings.longest_delay())
                .map_err(|reason| ConfigError::refused("journal.unaccounted_after", reason))?,
        })
    }

    /// Which targets may be called. The guards allow `more` in addition to the settings.
    pub(crate) fn guard_rules(&self, more: &[AddressRule]) -> GuardRules {
        let callees = self.settings.callees.iter();
        let lists = callees.filter(|(_, callee)| !callee.allowed_addresses.is_empty());
        GuardRules {
            guards: self.guards(more),
            callees: Arc::clone(&self.callees),
            callee_lists: lists
                .map(|(no, callee)| {
                    let list = AllowList::new(callee.allowed_addresses.clone());
                    (no.clone(), list)
                })
                .collect(),
            apps: self.settings.apps.keys().cloned().collect(),
            dispatcher: self.settings.dispatcher.clone(),
        }
    }

    /// The address guards. They allow `more` in addition to the settings.
    pub(crate) fn guards(&self, more: &[AddressRule]) -> Arc<Guards> {
        Arc::new(guards(self.settings, more))
    }
}

/// Everything that the start of a role checks without a connection or a port, with all files that the
/// settings name. With the embedded store the role is `serve`; otherwise what one role alone needs
/// is checked where it is set.
///
/// Call it inside a Tokio runtime.
///
/// # Errors
/// What the start would say.
pub(crate) fn check_start(settings: &Settings) -> Result<(), CommandError> {
    let config = ValidatedConfig::check(settings)?;
    let is_serve = settings.broker.data_dir.is_some();
    if is_serve || settings.auth.mode.is_some() {
        let command = if is_serve {
            ProcessRole::Serve.as_str()
        } else {
            "config"
        };
        caller_registry(settings, command, None)?;
    }
    if settings.broker.url.is_some() {
        let options = rabbitmq_settings(&settings.broker, "config")?;
        let tls = options.tls.check();
        tls.map_err(|error| refused_tls_file(&error))?;
    }
    match journal_location(settings, None)? {
        // Connects with the first query.
        Some(location) if location.is_shared() => drop(location.open(None)?),
        Some(location) => location.check()?,
        None => {}
    }
    let guards = config.guards(&[]);
    dispatcher::check(&settings.policy(), config.callees, &guards)?;
    Ok(())
}

/// The retry schedule.
///
/// # Errors
/// When `retry.schedule` is not one.
pub(crate) fn schedule(settings: &Settings) -> Result<Schedule, ConfigError> {
    Schedule::new(settings.retry.schedule.clone())
        .map_err(|error| ConfigError::refused("retry.schedule", error))
}

/// The apps that may send callbacks. `default_mode` applies if `auth.mode` is not set; without it,
/// `command` needs `auth.mode`.
///
/// # Errors
/// When `auth.mode` is not chosen, or an app cannot be registered as it is.
pub(crate) fn caller_registry(
    settings: &Settings,
    command: &str,
    default_mode: Option<AuthMode>,
) -> Result<CallerRegistry, ConfigError> {
    let mode = settings.auth.mode.or(default_mode).ok_or_else(|| {
        let reason = format!(
            "it is not set, and {command} needs it (write hmac or bearer, or open to trust \
             everyone who reaches the port)"
        );
        ConfigError::refused("auth.mode", reason)
    })?;
    refuse_allow_without_auth(settings, Some(mode))?;
    let apps = settings.apps.iter().map(|(id, app)| registered(id, app));
    let apps: Vec<RegisteredApp> = apps.collect::<Result<_, _>>()?;
    CallerRegistry::new(mode, settings.auth.timestamp_tolerance, apps)
        .map_err(|(id, error)| ConfigError::refused(&format!("apps.{id}.secrets"), error))
}

fn registered(id: &str, app: &AppConfig) -> Result<RegisteredApp, ConfigError> {
    let refused =
        |key: &str, reason: &str| ConfigError::refused(&format!("apps.{id}.{key}"), reason);
    let key = |text: &String| {
        KeyHash::parse(text).ok_or_else(|| {
            let form = "it is not a key hash (write sha256: and 64 hexadecimal digits; \
                        `ringback key` makes one)";
            refused("keys", form)
        })
    };
    let secret = |reference: &runtime::SecretRef| {
        let secret = reference.read().and_then(|secret| {
            Secret::parse(secret.expose_secret()).map_err(|error| error.to_string())
        });
        secret.map_err(|reason| refused("secrets", &reason))
    };
    let burst = if app.burst == 0 { app.rate } else { app.burst };
    Ok(RegisteredApp {
        id: id.to_owned(),
        keys: app.keys.iter().map(key).collect::<Result<_, _>>()?,
        secrets: app.secrets.iter().map(secret).collect::<Result<_, _>>()?,
        disabled: app.disabled,
        rate: Rate::new(f64::from(app.rate), burst),
        max_in_flight: (app.max_in_flight > 0).then_some(app.max_in_flight),
    })
}

/// The location of the journal, or else `default`.
///
/// # Errors
/// When the settings name two locations.
pub(crate) fn journal_location(
    settings: &Settings,
    default: Option<&Path>,
) -> Result<Option<JournalLocation>, ConfigError> {
    let data_dir = settings.broker.data_dir.as_deref();
    JournalLocation::find(settings.journal.url.as_ref(), data_dir, default)
}

/// Refuses to run without a journal that several processes share.
///
/// # Errors
/// When `journal.url` is not set.
pub(crate) fn require_shared_journal(
    settings: &Settings,
    command: &str,
) -> Result<(), ConfigError> {
    if settings.journal.url.is_some() {
        return Ok(());
    }
    let example = "postgres://user:password@host:5432/ringback";
    let reason = format!("it is not set, and {command} needs it (write {example})");
    Err(ConfigError::refused("journal.url", reason))
}

fn callee_registry(settings: &Settings) -> Result<CalleeRegistry, ConfigError> {
    let configured = settings
        .callees
        .iter()
        .map(|(no, callee)| (no.clone(), callee.name.clone(), callee.url.clone()));
    CalleeRegistry::new(configured).map_err(|RegistryError { no, kind }| {
        let key = match kind {
            RegistryErrorKind::Url(_) => format!("callees.{no}.url"),
            RegistryErrorKind::BlankName => format!("callees.{no}.name"),
            RegistryErrorKind::InvalidNumber | RegistryErrorKind::Duplicate => {
                format!("callees.{no}")
            }
        };
        ConfigError::refused(&key, kind)
    })
}

#[cfg(test)]
mod tests {
    use delivery::{Refusal, TargetUrl};
    use runtime::Config as _;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables
            .iter()
            .map(|(key, value)| (format!("RINGBACK__{key}"), (*value).to_owned()));
        runtime::config::load(None, variables).unwrap()
    }

    #[test]
    fn an_invalid_value_is_named_with_its_key() {
        for (key, value, named) in [
            ("RETRY__SCHEDULE", "100ms", "retry.schedule"),
            (
                "JOURNAL__UNACCOUNTED_AFTER",
                "11h",
                "journal.unaccounted_after",
            ),
            ("GUARD__ALLOW", "10.0.0.1/8", "guard.allow"),
            ("GUARD__ALLOW", "local host", "guard.allow"),
            ("GUARD__DENIED_PORTS", "0", "guard.denied_ports"),
            ("APPS__shop__ALLOW", "10.0.0.1/8", "apps.shop.allow"),
            ("APPS__shop__ALLOWED_HOSTS", "*", "apps.shop.allowed_hosts"),
            (
                "CALLEES__EO001__URL",
                "http://user:word@host/",
                "callees.EO001.url",
            ),
        ] {
            let variable = format!("RINGBACK__{key}");
            let variables = [(variable.clone(), value.to_owned())];
            let refused = match runtime::config::load(None, variables.into_iter()) {
                Ok(settings) => ValidatedConfig::check(&settings).unwrap_err(),
                Err(refused) => refused,
            };
            let sentence = refused.with_variable(Settings::NAMED_SECTIONS).to_string();
            let begins = [format!("{variable}: "), format!("{named} ({variable}): ")];
            let named = begins.iter().any(|begin| sentence.starts_with(begin));
            assert!(named, "{sentence}");
        }
    }

    #[tokio::test]
    async fn the_check_of_the_settings_refuses_what_a_start_refuses() {
        runtime::telemetry::install_crypto();
        let found = |variables: &[(&str, &str)]| check_start(&settings(variables)).err();
        assert!(found(&[]).is_none());
        assert!(found(&[("BROKER__URL", "amqp://a:b@h/v")]).is_none());
        let serve = ("BROKER__DATA_DIR", "/nowhere/ringback");
        assert!(found(&[serve, ("AUTH__MODE", "open")]).is_none());
        for (variables, named) in [
            // The embedded store is served with ingress.
            (
                &[serve][..],
                "auth.mode (RINGBACK__AUTH__MODE): it is not set, and serve needs it",
            ),
            (
                &[
                    ("BROKER__URL", "amqps://a:b@h/v"),
                    ("BROKER__CA_FILE", "/nowhere/ca.pem"),
                ],
                "broker.ca_file (RINGBACK__BROKER__CA_FILE): /nowhere/ca.pem cannot be read",
            ),
            (
                &[("DISPATCHER__CA_FILE", "/nowhere/ca.pem")],
                "dispatcher.ca_file (RINGBACK__DISPATCHER__CA_FILE): /nowhere/ca.pem cannot be read",
            ),
            (
                &[
                    ("CALLEES__EO001__URL", "https://crm.example/"),
                    ("CALLEES__EO001__CA_FILE", "/nowhere/ca.pem"),
                ],
                "callees.EO001.ca_file (RINGBACK__CALLEES__EO001__CA_FILE): /nowhere/ca.pem",
            ),
        ] {
            let sentence = found(variables).map(|error| error.sentence());
            let sentence = sentence.unwrap_or_default();
            assert!(sentence.starts_with(named), "{variables:?}: {sentence:?}");
        }
    }

    #[test]
    fn the_guard_allows_what_the_settings_and_the_process_allow() {
        let settings = settings(&[
            ("GUARD__ALLOW", "10.0.0.0/8"),
            ("GUARD__DENIED_PORTS", "25"),
            ("APPS__shop__ALLOW", "172.16.0.0/12"),
            ("APPS__shop__HTTPS_ONLY", "true"),
            ("APPS__bank__ALLOWED_HOSTS", "bank.example"),
        ]);
        let config = ValidatedConfig::check(&settings).unwrap();
        let practice = AddressRule::Socket(([127, 0, 0, 1], 5107).into());
        let (closed, opened) = (config.guards(&[]), config.guards(&[practice]));
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
                let found = guards.for_app(app).admit_url(&url).err();
                assert_eq!(found, refusal, "{app} {url:?}");
            }
        }
        let url = |port| TargetUrl::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        assert!(closed.for_app("other").admit_url(&url(5107)).is_err());
        assert!(opened.for_app("other").admit_url(&url(5107)).is_ok());
        assert!(opened.for_app("other").admit_url(&url(5108)).is_err());
    }

    #[test]
    fn without_authentication_no_app_may_have_its_own_allow_rules() {
        let app = ("APPS__shop__ALLOW", "10.0.0.0/8");
        let open = settings(&[app, ("AUTH__MODE", "open")]);
        let refused = ValidatedConfig::check(&open).unwrap_err().to_string();
        assert!(refused.starts_with("apps.shop.allow"), "{refused}");
        let unset = settings(&[app]);
        assert!(ValidatedConfig::check(&unset).is_ok());
        let refused = caller_registry(&unset, "dev", Some(AuthMode::Open))
            .unwrap_err()
            .to_string();
        assert!(refused.starts_with("apps.shop.allow"), "{refused}");
        let bearer = settings(&[app, ("AUTH__MODE", "bearer")]);
        assert!(ValidatedConfig::check(&bearer).is_ok());
    }

    #[test]
    fn a_missing_journal_url_is_named_with_its_variable() {
        let refused = require_shared_journal(&settings(&[]), "migrate").unwrap_err();
        let refused = refused.with_variable(Settings::NAMED_SECTIONS);
        assert_eq!(
            refused.to_string(),
            "journal.url (RINGBACK__JOURNAL__URL): it is not set, and migrate needs it \
             (write postgres://user:password@host:5432/ringback)"
        );
        let url = ("JOURNAL__URL", "postgres://a:b@journal.example/ringback");
        assert!(require_shared_journal(&settings(&[url]), "migrate").is_ok());
    }
}
