//! What do the settings describe, once every part of the program has checked its own?

use std::sync::Arc;

use boot::SettingsError;
use boot::settings::{AppSettings, AuthMode, BrokerSettings, Settings};
use broker::{Broker, embedded, rabbitmq};
use delivery::callers::{App, Callers, KeyHash, Mode, Secret};
use delivery::limits::Rate;
use delivery::{Entry, Guards, Parties, PartyError, PartyFlaw, Schedule};
use dispatcher::Policy;
use secrecy::ExposeSecret;

use crate::admin;
use crate::equipment::guards::GuardRules;
use crate::records::Place;

mod guards;
mod tls;

pub(crate) use guards::parsed;
pub(crate) use tls::{refused_file, tls};

/// Where Linux tells the machine's name (in a container, the container's).
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

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

/// How a role reaches the broker; its connections are named after it, the machine and the process.
///
/// # Errors
/// When `broker.url` is missing or cannot be used.
pub(crate) fn broker(
    settings: &BrokerSettings,
    role: &str,
) -> Result<rabbitmq::Settings, SettingsError> {
    let refused = |reason: String| SettingsError::refused("broker.url", reason);
    let url = settings.url.as_ref().ok_or_else(|| {
        let example = "amqp://user:password@host:5672/%2f";
        refused(format!(
            "it is not set, and {role} needs it (write {example})"
        ))
    })?;
    let mut found = rabbitmq::Settings::new(url.expose_secret()).map_err(refused)?;
    found.prefix.clone_from(&settings.prefix);
    found.declare = settings.declare;
    found.publish_timeout = settings.publish_timeout;
    found.publish_channels = settings.publish_channels.into();
    found.connection_name = format!("ringback-{role}@{}:{}", host_name(), std::process::id());
    found.tls = tls(settings);
    Ok(found)
}

/// Opens the broker that the settings name: RabbitMQ at `broker.url`, or else the embedded store in
/// `broker.data_dir`.
///
/// # Errors
/// When neither is set, or what is set cannot be used.
pub(crate) fn open(settings: &BrokerSettings, role: &str) -> Result<Broker, SettingsError> {
    let Some(directory) = &settings.data_dir else {
        let refused = |reason| SettingsError::refused("broker.url", reason);
        let broker = broker(settings, role)?;
        broker.tls.check().map_err(|error| refused_file(&error))?;
        return Broker::start(broker).map_err(refused);
    };
    let (directory, publish_timeout) = (directory.clone(), settings.publish_timeout);
    Broker::open(&embedded::Settings {
        directory,
        publish_timeout,
    })
    .map_err(|reason| SettingsError::refused("broker.data_dir", reason))
}

/// Refuses the embedded store for a role that shares its queue with other processes.
///
/// # Errors
/// When `broker.data_dir` is set.
pub(crate) fn shared_broker(settings: &BrokerSettings, role: &str) -> Result<(), SettingsError> {
    if settings.data_dir.is_none() {
        return Ok(());
    }
    let reason = format!(
        "{role} shares its queue with other processes and needs broker.url \
         (one process with the embedded store is `ringback serve`)"
    );
    Err(SettingsError::refused("broker.data_dir", reason))
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

/// Refuses anything but the embedded store.
///
/// # Errors
/// When `broker.url` is set, or `broker.data_dir` is not.
pub(crate) fn own_store(settings: &BrokerSettings) -> Result<(), SettingsError> {
    if settings.url.is_some() {
        let reason = "serve runs on the embedded store in broker.data_dir \
                      (with RabbitMQ, run `ringback ingress` and `ringback dispatcher`)";
        return Err(SettingsError::refused("broker.url", reason));
    }
    if settings.data_dir.is_none() {
        let reason = "it is not set, and serve needs it (write /var/lib/ringback)";
        return Err(SettingsError::refused("broker.data_dir", reason));
    }
    Ok(())
}

pub(crate) fn host_name() -> String {
    let told = std::fs::read_to_string(HOST_NAME_FILE).or_else(|_| std::env::var("HOSTNAME"));
    told.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
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
    fn a_missing_broker_url_is_told_by_its_variable() {
        let refused = broker(&settings(&[]).broker, "ingress").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "broker.url (RINGBACK__BROKER__URL): it is not set, and ingress needs it \
             (write amqp://user:password@host:5672/%2f)"
        );
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

    #[test]
    fn the_broker_is_reached_as_the_settings_say() {
        let settings = settings(&[
            ("BROKER__URL", "amqp://a:b@broker.example:5673/v"),
            ("BROKER__PREFIX", "mine"),
            ("BROKER__DECLARE", "false"),
            ("BROKER__PUBLISH_TIMEOUT", "7s"),
            ("BROKER__PUBLISH_CHANNELS", "3"),
        ]);
        let found = broker(&settings.broker, "ingress").unwrap();
        assert_eq!(found.tls, rabbitmq::Tls::default());
        assert_eq!(found.prefix, "mine");
        assert!(!found.declare);
        assert_eq!(found.publish_timeout.as_secs(), 7);
        assert_eq!(found.publish_channels, 3);
        let name = found.connection_name;
        assert!(name.starts_with("ringback-ingress@"), "{name}");
        assert!(
            name.ends_with(&format!(":{}", std::process::id())),
            "{name}"
        );
    }
}
