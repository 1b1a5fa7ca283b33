//! All settings of the process, composed of the crates' sections, and the checks across sections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::config::{Config, NamedSection, SecretSetting};
use runtime::http::{HttpConfig, MetricsConfig};
use runtime::telemetry::LogConfig;
use runtime::traces::TelemetryConfig;
use serde::{Deserialize, Serialize};

use admin::{AdminConfig, DeadLettersConfig};
use broker::BrokerConfig;
use delivery::guard::GuardConfig;
use delivery::jittered;
use delivery::limits::LimitsConfig;
use delivery::retry::RetryConfig;
use dispatcher::{AutoPauseConfig, CalleeConfig, DispatcherConfig, PolicyConfig, validate_callees};
use ingress::config::{check_signing_secrets, validate_apps};
use ingress::{AppConfig, AuthConfig, IngressConfig};
use journal::JournalConfig;

/// All settings of a process, checked.
///
/// Printing them in any way (`Debug`, [`Config::to_toml_redacted`]) never shows a secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The broker: RabbitMQ, or the embedded store.
    pub(crate) broker: BrokerConfig,
    /// Ingress.
    pub(crate) ingress: IngressConfig,
    /// The dispatcher.
    pub(crate) dispatcher: DispatcherConfig,
    /// When failed attempts are repeated.
    pub(crate) retry: RetryConfig,
    /// The limits of targets.
    pub(crate) limits: LimitsConfig,
    /// How callers authenticate.
    pub(crate) auth: AuthConfig,
    /// Registered apps by `app_id`.
    pub(crate) apps: BTreeMap<String, AppConfig>,
    /// The journal.
    pub(crate) journal: JournalConfig,
    /// Dead letters.
    pub(crate) dead_letters: DeadLettersConfig,
    /// The operators' API.
    pub(crate) admin: AdminConfig,
    /// The bounds of all listeners.
    pub(crate) http: HttpConfig,
    /// Where the metrics are served.
    pub(crate) metrics: MetricsConfig,
    /// When a dispatcher pauses a target without an operator.
    pub(crate) auto_pause: AutoPauseConfig,
    /// Where callers' URLs may go.
    pub(crate) guard: GuardConfig,
    /// Registered callees by number.
    pub(crate) callees: BTreeMap<String, CalleeConfig>,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
    /// What is told besides.
    pub(crate) telemetry: TelemetryConfig,
}

impl Config for Settings {
    const NAMED_SECTIONS: &'static [NamedSection] = &[
        NamedSection {
            path: "callees",
            placeholder: "NUMBER",
        },
        NamedSection {
            path: "apps",
            placeholder: "APP",
        },
        NamedSection {
            path: "admin.tokens",
            placeholder: "NAME",
        },
    ];

    const INNER_SECTIONS: &'static [&'static str] = &["telemetry.otlp"];

    const SECRETS: &'static [SecretSetting] = &[
        SecretSetting::url("broker.url"),
        SecretSetting::url("journal.url"),
        SecretSetting::text("admin.token"),
        SecretSetting::text("admin.tokens.*.hash"),
        SecretSetting::unread("admin.tokens.*.role"),
        SecretSetting::list("apps.*.keys"),
        SecretSetting::unread("apps.*.secrets"),
        SecretSetting::unread("apps.*.signing_secrets"),
        SecretSetting::text("callees.*.url"),
        SecretSetting::unread("callees.*.headers"),
        SecretSetting::unread("callees.*.auth"),
        SecretSetting::unread("callees.*.user"),
        SecretSetting::unread("callees.*.secret"),
        SecretSetting::unread("callees.*.signing_secrets"),
    ];

    const ORDER: &'static [&'static str] = &[
        "broker",
        "ingress",
        "dispatcher",
        "retry",
        "limits",
        "auth",
        "apps",
        "journal",
        "dead_letters",
        "admin",
        "http",
        "metrics",
        "auto_pause",
        "guard",
        "callees",
        "log",
        "telemetry",
    ];

    fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        // Destructured, so that a new section cannot be forgotten.
        let Self {
            broker,
            ingress,
            dispatcher,
            retry,
            limits,
            auth,
            apps,
            journal,
            dead_letters,
            admin,
            http,
            metrics: _, // An address is checked as it is read.
            auto_pause,
            guard: _, // Its values are checked as they are read.
            callees,
            log,
            telemetry,
        } = self;
        broker.validate(&mut within("broker", report));
        ingress.validate(&mut within("ingress", report));
        dispatcher.validate(&mut within("dispatcher", report));
        journal.validate(&mut within("journal", report));
        dead_letters.validate(&mut within("dead_letters", report));
        admin.validate(&mut within("admin", report));
        http.validate(&mut within("http", report));
        auto_pause.validate(&mut within("auto_pause", report));
        retry.validate(&mut within("retry", report));
        limits.validate(&mut within("limits", report));
        validate_callees(callees, limits, &mut within("callees", report));
        auth.validate(&mut within("auth", report));
        validate_apps(apps, &mut within("apps", report));
        self.validate_signing_secrets(&mut within("callees", report));
        log.validate(&mut within("log", report));
        telemetry.validate(&mut within("telemetry", report));
    }

    fn files(&self) -> Vec<&Path> {
        let apps = self.apps.values().flat_map(AppConfig::files);
        let callees = self.callees.values().flat_map(CalleeConfig::files);
        let roots = self.dispatcher.ca_file.iter().map(PathBuf::as_path);
        apps.chain(callees).chain(roots).collect()
    }
}

impl Settings {
    /// What a dispatcher's delivery policy is made from.
    pub(crate) fn policy(&self) -> PolicyConfig<'_> {
        let apps = self.apps.iter();
        PolicyConfig {
            dispatcher: &self.dispatcher,
            retry: &self.retry,
            limits: &self.limits,
            callees: &self.callees,
            app_signing_secrets: apps
                .clone()
                .map(|(id, app)| (id.as_str(), app.signing_secrets.as_slice()))
                .collect(),
            app_in_flight: apps
                .filter_map(|(id, app)| Some((id.as_str(), app.in_flight?)))
                .collect(),
        }
    }

    /// The longest time that a failed attempt puts off the next one, by all schedules, with jitter.
    pub(crate) fn longest_delay(&self) -> Duration {
        let callees = self.callees.values().flat_map(|callee| &callee.schedule);
        let longest = self.retry.schedule.iter().chain(callees).max();
        longest.map_or(Duration::ZERO, |wait| jittered(*wait, 1.0))
    }

    /// How long dead letters are kept. The name that this setting had before still holds.
    pub(crate) fn dead_letter_retention(&self) -> Duration {
        let configured = self.dead_letters.retention;
        self.journal.body_retention.unwrap_or(configured)
    }

    /// A secret that signs a callee's callbacks must not authenticate an app: each side could
    /// impersonate the other.
    fn validate_signing_secrets(&self, report: &mut dyn FnMut(&str, String)) {
        for (number, callee) in &self.callees {
            if let Err(reason) = check_signing_secrets(&callee.signing_secrets, &self.apps) {
                report(&format!("{number}.signing_secrets"), reason);
            }
        }
    }
}

/// Adds the section to each reported key.
fn within(section: &'static str, report: &mut dyn FnMut(&str, String)) -> impl FnMut(&str, String) {
    move |key, reason| report(&format!("{section}.{key}"), reason)
}

#[cfg(test)]
mod tests;
