//! What this process answers to others, over the control plane.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use admin::cli::host_name;
use admin::{ControlPlane, Responder, SettingsSource};
use contract::control::{
    AppFigures, AppsSeen, Ask, AttemptsSeen, Command, ControlAnswerBody, InstanceReport,
    LastReload, MAX_LISTED, TargetsSeen,
};
use delivery::limits::LimitKey;
use dispatcher::{Dispatcher, HeldCallbacks, PauseRegistry, RecentAttempts, TargetStatsHandle};
use ingress::AppTraffic;
use runtime::clock::now_ms;
use runtime::telemetry::LogIdentity;
use runtime::{Config as _, ReloadHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::role::ProcessRole;
use super::settings::Settings;

/// This process, as far as others may ask.
pub(super) struct ProcessState {
    /// Without what changes.
    identity: InstanceReport,
    /// A hash of each section of the settings.
    settings: Mutex<BTreeMap<String, String>>,
    reload: ReloadHandle,
    /// Set where calls are made.
    dispatching: OnceLock<Dispatching>,
    /// The requests of each app; without ingress there are none.
    pub(super) traffic: AppTraffic,
}

/// What is known where calls are made.
struct Dispatching {
    targets: TargetStatsHandle,
    held: HeldCallbacks,
    recent: RecentAttempts,
}

impl ProcessState {
    /// Shows the settings in force.
    pub(super) fn settings_source(&self) -> SettingsSource {
        let reload = self.reload.clone();
        Arc::new(move || reload.shown())
    }

    pub(super) fn new(role: ProcessRole, settings: &Settings, reload: ReloadHandle) -> Arc<Self> {
        Arc::new(Self {
            identity: InstanceReport {
                instance: instance(),
                role: role.as_str().to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                host: host_name(),
                pid: std::process::id(),
                started_at: now_ms(),
                ..InstanceReport::default()
            },
            settings: Mutex::new(section_hashes(settings)),
            reload,
            dispatching: OnceLock::new(),
            traffic: AppTraffic::default(),
        })
    }

    /// The process among all, for what is told of it.
    pub(super) const fn own_identity(&self) -> &InstanceReport {
        &self.identity
    }

    /// Other settings are in force.
    pub(super) fn settings_changed(&self, hashes: BTreeMap<String, String>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = hashes;
    }

    /// This process makes calls.
    pub(super) fn dispatches(&self, dispatcher: &Dispatcher) {
        // Once: a process has one dispatcher.
        let _ = self.dispatching.set(Dispatching {
            targets: dispatcher.target_stats(),
            held: dispatcher.held(),
            recent: dispatcher.recent_attempts(),
        });
    }

    fn apps(&self) -> AppsSeen {
        let mut seen = self.traffic.apps();
        let in_flight = self.dispatching.get().map(|it| it.targets.apps());
        for app in in_flight.into_iter().flatten() {
            let known = seen.apps.iter_mut().find(|it| it.app_id == app.app_id);
            match known {
                Some(known) => known.add(&app),
                None => seen.apps.push(app),
            }
        }
        seen.apps.sort_by_key(|app| {
            let AppFigures { in_flight, .. } = *app;
            std::cmp::Reverse((app.requests(), in_flight))
        });
        for app in seen.apps.split_off(seen.apps.len().min(MAX_LISTED)) {
            seen.others.add(&app);
        }
        seen
    }
}

impl Responder for ProcessState {
    fn identity(&self) -> InstanceReport {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = settings.clone();
        let reload = self.reload.last().map(|last| LastReload {
            at: last.at,
            refused: last.refused,
            restart: last.restart,
        });
        InstanceReport {
            settings,
            reload,
            clock: now_ms(),
            ..self.identity.clone()
        }
    }

    fn answer(&self, ask: Ask) -> ControlAnswerBody {
        let dispatching = self.dispatching.get();
        match ask {
            Ask::Identity => ControlAnswerBody::Identity(Box::new(self.identity())),
            Ask::Targets => ControlAnswerBody::Targets(match dispatching {
                Some(it) => it.targets.targets(),
                None => TargetsSeen::default(),
            }),
            Ask::Apps => ControlAnswerBody::Apps(self.apps()),
            Ask::ProbeNow(name) => {
                let key = LimitKey::parse(&name).ok();
                let probed = dispatching
                    .zip(key)
                    .map(|(it, key)| it.targets.probe_now(&key));
                ControlAnswerBody::Probed(
                    probed
                        .and_then(|count| u64::try_from(count).ok())
                        .unwrap_or(0),
                )
            }
            Ask::Held(id) => ControlAnswerBody::Held(dispatching.and_then(|it| it.held.find(id))),
            Ask::Attempts(asked) => ControlAnswerBody::Attempts(match dispatching {
                Some(it) => it.recent.answer(&asked),
                None => AttemptsSeen::default(),
            }),
        }
    }
}

/// The id of this process among all, the same for its whole life.
fn instance() -> Uuid {
    static INSTANCE: OnceLock<Uuid> = OnceLock::new();
    *INSTANCE.get_or_init(Uuid::now_v7)
}

/// How this process names itself in its log.
pub(crate) fn log_identity() -> LogIdentity<'static> {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    LogIdentity {
        instance: INSTANCE.get_or_init(|| instance().to_string()),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// Follows the commands of other processes until `stop`.
pub(super) fn follow_commands(
    control: &ControlPlane,
    pauses: PauseRegistry,
    reload: ReloadHandle,
    stop: &CancellationToken,
) {
    let follow = |command: Command, act: Box<dyn Fn() + Send>| {
        let mut commands = control.commands(command);
        let following = async move {
            while commands.changed().await.is_ok() {
                act();
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(following));
    };
    follow(
        Command::PausesChanged,
        Box::new(move || pauses.refresh_soon()),
    );
    follow(Command::Reload, Box::new(move || reload.reload()));
}

/// A hash of each section of the settings, without secrets and without the addresses of listeners,
/// which differ between processes.
pub(super) fn section_hashes(settings: &Settings) -> BTreeMap<String, String> {
    let mut hashes: BTreeMap<String, DefaultHasher> = BTreeMap::new();
    let mut section = String::new();
    for line in settings.to_toml_redacted().lines() {
        if let Some(header) = line.strip_prefix('[') {
            let name = header.trim_end_matches(']');
            section = name.split('.').next().unwrap_or(name).to_owned();
        }
        if !line.starts_with("listen =") && !line.is_empty() {
            line.hash(hashes.entry(section.clone()).or_default());
        }
    }
    let hashes = hashes.into_iter();
    hashes
        .map(|(section, hasher)| (section, format!("{:016x}", hasher.finish())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let variables = variables
            .iter()
            .map(|(key, value)| (format!("RINGBACK__{key}"), (*value).to_owned()));
        section_hashes(&runtime::config::load(None, variables).unwrap())
    }

    #[test]
    fn sections_differ_where_settings_do_but_not_by_addresses_and_secrets() {
        let usual = hashes(&[("BROKER__URL", "amqp://a:secret@h")]);
        let same = hashes(&[
            ("BROKER__URL", "amqp://a:other@h"),
            ("ADMIN__LISTEN", "127.0.0.1:9"),
            ("METRICS__LISTEN", "127.0.0.1:8"),
            ("DISPATCHER__LISTEN", "127.0.0.1:7"),
            ("INGRESS__LISTEN", "127.0.0.1:6"),
        ]);
        assert_eq!(usual, same);
        let other = hashes(&[
            ("BROKER__URL", "amqp://a:secret@h"),
            ("RETRY__SCHEDULE", "1s,2s"),
            ("CALLEES__EO001__URL", "https://h.example/"),
        ]);
        let all = usual.keys().chain(other.keys());
        let mut differing: Vec<&str> = all
            .filter(|name| usual.get(*name) != other.get(*name))
            .map(|name| &**name)
            .collect();
        differing.sort_unstable();
        differing.dedup();
        assert_eq!(differing, ["callees", "retry"]);
    }
}
