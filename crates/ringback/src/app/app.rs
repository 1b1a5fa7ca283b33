//! A running role: broker, journal, metrics, health, reload and stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use admin::cli::host_name;
use admin::{
    AdminDependencies, AdminMetrics, AdminTokens, ControlPlane, DoctorSources, GuardRules,
};
use broker::Broker;
use delivery::auth::{AuthMode, CallerRegistry};
use delivery::{AddressRule, CalleeRegistry, Guards};
use dispatcher::{Dispatcher, DispatcherMetrics, PauseRegistry, PolicyHandle};
use ingress::{IngressDependencies, IngressMetrics, IsHeld};
use journal::{JournalHandle, JournalUrl, Pause, PauseKind, Retention};
use runtime::http::{HealthPages, HttpLimits};
use runtime::reload::Commit;
use runtime::traces::{KeyValue, TraceMetrics, Tracer};
use runtime::{
    ConfigError, Health, Loaded, MetricsRegistry, Reload, ReloadMetrics, Reloadable,
    ServiceManager, open_files, shutdown,
};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::broker::{credentials as broker_credentials, open as open_broker};
use super::broker_watch::{BrokerMetrics, NeededConnections, watch};
use super::config_check::{ValidatedConfig, caller_registry, journal_location};
use super::health_server::HealthServer;
use super::listeners::{of_role, refuse_taken};
use super::process::{ProcessState, follow_commands, section_hashes};
use super::role::ProcessRole;
use super::settings::Settings;
use super::without_journal::say_what_is_missing;
use crate::error::CommandError;
use crate::recording::{JournalLocation, Maintenance, Recording, RecordingMetrics, SpoolMetrics};

/// The sections and keys that a reload can change. All others need a restart.
const RELOADABLE: &[&str] = &[
    "admin.proxy_addresses",
    "admin.proxy_user_header",
    "admin.proxy_users",
    "admin.token",
    "admin.tokens",
    "apps",
    "auth",
    "broker.url.credentials",
    "callees",
    "dispatcher.attempt_timeout",
    "dispatcher.ca_file",
    "guard",
    "journal.url.credentials",
    "limits",
    "retry",
];

/// A running role.
pub(crate) struct App {
    role: ProcessRole,
    guards: Reloadable<Guards>,
    /// The same with the callees and apps, for those who ask what may be called.
    guard_rules: Reloadable<GuardRules>,
    callees: Reloadable<CalleeRegistry>,
    /// Empty in a role without ingress.
    callers: Reloadable<CallerRegistry>,
    /// Of operators; empty in a role without their API.
    tokens: Reloadable<AdminTokens>,
    /// Taken by [`App::follow_settings`].
    reload: Option<Reload<Settings>>,
    /// What the address guards allow in addition to the settings.
    allow: Vec<AddressRule>,
    pub(crate) broker: Broker,
    recording: Option<Recording>,
    unaccounted_after: Option<Duration>,
    pauses: PauseRegistry,
    /// What this process answers to others.
    process: Arc<ProcessState>,
    control: ControlPlane,
    metrics: MetricsRegistry,
    /// Exports spans, where a collector is configured.
    tracer: Option<Arc<Tracer>>,
    /// The bounds of all listeners.
    http: HttpLimits,
    health: Arc<Health>,
    /// Cancelled by the first SIGTERM or SIGINT.
    pub(crate) stop: CancellationToken,
}

/// What a command adds to the settings.
#[derive(Default)]
pub(crate) struct Additions<'a> {
    /// Holds the journal if the settings name none.
    pub(crate) journal_directory: Option<&'a Path>,
    /// What the address guards allow in addition to the settings.
    pub(crate) allow: Vec<AddressRule>,
}

impl App {
    /// Checks the settings, then starts: signals, the broker, the journal, and what watches them.
    ///
    /// # Errors
    /// Settings that cannot be used, or a data directory that another process uses.
    pub(crate) fn start(
        loaded: &Loaded<Settings>,
        role: ProcessRole,
        additions: Additions<'_>,
    ) -> Result<Self, CommandError> {
        let settings = &loaded.settings;
        let config = ValidatedConfig::check(settings)?;
        let callers = match role.has_ingress() {
            true => callers(settings, role)?,
            false => CallerRegistry::open(),
        };
        let location = journal_location(settings, additions.journal_directory)?;
        if let Some(location) = &location {
            location.check()?; // Before the queue is opened, and perhaps upgraded.
        }
        refuse_taken(&of_role(role, settings), settings.admin.listen)?;
        let stop = shutdown::on_signals(!role.reloads_on_sighup())?;
        let reload = Reload::new(loaded, RELOADABLE, role.reloads_on_sighup())?;
        let broker = open_broker(&settings.broker, role)?;
        if let Some(location) = &location {
            location.check_for_damage()?; // With the directory locked.
        }
        let (metrics, health) = (
            MetricsRegistry::of_process(env!("CARGO_PKG_VERSION")),
            Health::new(),
        );
        let http = HttpLimits::new(&settings.http, open_files::raise_limit(), &metrics);
        let broker_metrics = Arc::new(metrics.add(BrokerMetrics::register));
        let shared_journal = location.as_ref().is_some_and(JournalLocation::is_shared);
        let needed = NeededConnections::of(role, shared_journal);
        watch(&broker, needed, Arc::clone(&health), broker_metrics);
        let recording = location
            .map(|location| {
                let spool_metrics = metrics.add(SpoolMetrics::register);
                let metrics = metrics.add(RecordingMetrics::register);
                Recording::start(
                    &location,
                    &settings.journal,
                    &broker,
                    role.has_ingress(),
                    metrics,
                    spool_metrics,
                )
            })
            .transpose()?;
        match &recording {
            Some(recording) => recording.watch(Arc::clone(&health)),
            None => say_what_is_missing(role, &health),
        }
        let journal = recording
            .as_ref()
            .map(|recording| recording.handle.journal.clone());
        let pauses = PauseRegistry::new(journal, settings.auto_pause.clone());
        let process = ProcessState::new(role, settings, reload.handle());
        let tracer = start_tracer(settings, &process, &metrics)?;
        let is_shared = settings.broker.data_dir.is_none();
        let responder = Arc::clone(&process);
        let control = ControlPlane::start(&broker, is_shared, responder, &stop);
        follow_commands(&control, pauses.clone(), reload.handle(), &stop);
        tokio::spawn(pauses.clone().run(stop.clone()));
        let switches = [
            (PauseKind::Intake, pauses.intake()),
            (PauseKind::Deliveries, pauses.deliveries()),
        ];
        for (kind, stopped) in switches {
            tokio::spawn(show_switch(kind, stopped, Arc::clone(&health)));
        }
        let listen = settings.admin.listen;
        let mut app = Self {
            role,
            guards: Reloadable::new(config.guards(&additions.allow)),
            guard_rules: Reloadable::new(config.guard_rules(&additions.allow)),
            callees: Reloadable::new(config.callees),
            callers: Reloadable::new(callers),
            tokens: Reloadable::new(AdminTokens::default()),
            reload: Some(reload),
            allow: additions.allow,
            broker,
            recording,
            unaccounted_after: config.unaccounted_after,
            pauses,
            process,
            control,
            metrics,
            tracer,
            http,
            health,
            stop,
        };
        app.watch_registries();
        app.watch_credentials(listen);
        Ok(app)
    }

    /// Subscribes the registries and the guards to reloads.
    fn watch_registries(&mut self) {
        if self.role.has_ingress() {
            let (callers, role) = (self.callers.clone(), self.role);
            self.subscribe(move |settings| {
                let (callers, new) = (callers.clone(), self::callers(settings, role)?);
                Ok(Box::new(move || callers.set(new)))
            });
        }
        let process = Arc::clone(&self.process);
        self.subscribe(move |settings| {
            let (process, hashes) = (Arc::clone(&process), section_hashes(settings));
            Ok(Box::new(move || process.settings_changed(hashes)))
        });
        let (callees, guards) = (self.callees.clone(), self.guards.clone());
        let guard_rules = self.guard_rules.clone();
        let allow = self.allow.clone();
        self.subscribe(move |settings| {
            let new = ValidatedConfig::check(settings)?;
            let new_rules = new.guard_rules(&allow);
            let (callees, guards) = (callees.clone(), guards.clone());
            let guard_rules = guard_rules.clone();
            Ok(Box::new(move || {
                callees.set(Arc::clone(&new_rules.callees));
                guards.set(Arc::clone(&new_rules.guards));
                guard_rules.set(new_rules);
            }))
        });
    }

    /// Subscribes what authenticates operators, and this process at the broker and the journal.
    fn watch_credentials(&mut self, admin_listen: SocketAddr) {
        let tokens = self.tokens.clone();
        self.subscribe(move |settings| {
            let new = AdminTokens::reloaded(&settings.admin, admin_listen)
                .map_err(|(key, reason)| ConfigError::refused(key, reason))?;
            let tokens = tokens.clone();
            Ok(Box::new(move || tokens.set(new)))
        });
        let broker = self.broker.clone();
        self.subscribe(move |settings| {
            let new = broker_credentials(&settings.broker)?;
            let broker = broker.clone();
            Ok(Box::new(move || {
                if let Some(new) = new {
                    broker.set_credentials(new);
                }
            }))
        });
        let journal = self.journal().map(|handle| handle.journal.clone());
        self.subscribe(move |settings| {
            let new = settings.journal.url.as_ref();
            let new = new
                .map(|url| JournalUrl::parse(url.expose_secret()))
                .transpose();
            let new = new.map_err(|reason| ConfigError::refused("journal.url", reason))?;
            let both = journal.clone().zip(new);
            Ok(Box::new(move || {
                if let Some((journal, new)) = both {
                    journal.use_credentials(&new);
                }
            }))
        });
    }

    /// Builds the dispatcher, and subscribes its delivery policy to reloads.
    ///
    /// # Errors
    /// When an HTTP client or the resolver cannot be built.
    pub(crate) fn dispatcher(&mut self, settings: &Settings) -> Result<Dispatcher, CommandError> {
        let dependencies = dispatcher::Dependencies {
            broker: self.broker.clone(),
            registry: self.callees.get(),
            guards: self.guards.get(),
            metrics: Arc::new(self.metrics.add(DispatcherMetrics::register)),
            journal: self.journal().cloned(),
            pauses: self.pauses.clone(),
            tracer: self.tracer.clone(),
        };
        let dispatcher = Dispatcher::new(&settings.policy(), dependencies)?;
        self.process.dispatches(&dispatcher);
        self.watch_policy(dispatcher.policy());
        Ok(dispatcher)
    }

    fn watch_policy(&mut self, handle: PolicyHandle) {
        let allow = self.allow.clone();
        self.subscribe(move |settings| {
            let new = ValidatedConfig::check(settings)?;
            let guards = new.guards(&allow);
            let policy = handle.prepare(&settings.policy(), new.callees, &guards)?;
            let handle = handle.clone();
            Ok(Box::new(move || handle.set(policy)))
        });
    }

    fn subscribe(
        &mut self,
        subscriber: impl Fn(&Settings) -> Result<Commit, ConfigError> + Send + 'static,
    ) {
        if let Some(reload) = &mut self.reload {
            reload.subscribe(subscriber);
        }
    }

    /// Reloads the settings until the stop, and tells the service manager how the process is. Call it
    /// after all subscriptions, with all listeners open.
    pub(crate) fn follow_settings(&mut self) {
        if let Some(reload) = self.reload.take() {
            let (service_manager, last) = (ServiceManager::from_environment(), reload.handle());
            tokio::spawn(service_manager.clone().follow(
                Arc::clone(&self.health),
                self.http.heartbeats().clone(),
                move || last.last().and_then(|last| last.refused),
                self.stop.clone(),
            ));
            let metrics = self.metrics.add(ReloadMetrics::register);
            tokio::spawn(reload.run(metrics, service_manager, self.stop.clone()));
        }
    }

    /// Opens ingress: its address, and the future that serves until the stop.
    ///
    /// # Errors
    /// When the port is in use.
    pub(crate) fn serve_ingress(&self, settings: &Settings) -> Result<Listener, CommandError> {
        let dependencies = IngressDependencies {
            broker: self.broker.clone(),
            callers: self.callers.clone(),
            callees: self.callees.clone(),
            guards: self.guards.clone(),
            metrics: Arc::new(self.metrics.add(IngressMetrics::register)),
            traffic: self.process.traffic.clone(),
            http: self.http.clone(),
            health: Arc::clone(&self.health),
            journal: self.journal().cloned(),
            max_journal_backlog: settings.journal.max_backlog,
            publish_timeout: settings.broker.publish_timeout,
            intake: self.pauses.intake(),
            is_held: self.is_held(),
            tracer: self.tracer.clone(),
        };
        let (address, serving) =
            ingress::serve(&settings.ingress, dependencies, self.stop.clone())?;
        Ok(Listener {
            address,
            serving: Box::pin(serving),
        })
    }

    /// Opens the operators' API.
    ///
    /// # Errors
    /// When the port is in use, or others could reach the API without a token.
    pub(crate) fn serve_admin(&self, settings: &Settings) -> Result<Listener, CommandError> {
        let dependencies = AdminDependencies {
            broker: self.broker.clone(),
            journal: self.journal().map(|handle| handle.journal.clone()),
            callee_registry: self.callees.clone(),
            retention: settings.journal.retention,
            dead_letter_retention: settings.dead_letter_retention(),
            pauses: self.pauses.clone(),
            control: self.control.clone(),
            has_ingress: self.role.has_ingress(),
            doctor: DoctorSources {
                process: format!("{}@{}:{}", self.role, host_name(), std::process::id()),
                health: Arc::clone(&self.health),
                dispatches: self.role.dispatches(),
                min_free_bytes: settings.broker.min_free_bytes,
            },
            guard_rules: self.guard_rules.clone(),
            http: self.http.clone(),
            metrics: self.metrics.add(AdminMetrics::register),
            tokens: self.tokens.clone(),
            settings: self.process.settings_source(),
        };
        let (address, serving) = admin::serve(&settings.admin, dependencies, self.stop.clone())?;
        Ok(Listener {
            address,
            serving: Box::pin(serving),
        })
    }

    /// Opens the bare health pages of a role without ingress.
    ///
    /// # Errors
    /// When the port is in use.
    pub(crate) fn serve_health(&self, listen: SocketAddr) -> Result<HealthServer, CommandError> {
        self.serve_pages("health", listen, HealthPages::Bare)
    }

    /// Opens the metrics, and the details of the health.
    ///
    /// # Errors
    /// When the port is in use.
    pub(crate) fn serve_metrics(&self, listen: SocketAddr) -> Result<HealthServer, CommandError> {
        let pages = HealthPages::Full(self.metrics.clone());
        self.serve_pages("metrics", listen, pages)
    }

    fn serve_pages(
        &self,
        name: &'static str,
        listen: SocketAddr,
        pages: HealthPages,
    ) -> Result<HealthServer, CommandError> {
        let (health, stop) = (Arc::clone(&self.health), self.stop.clone());
        HealthServer::open(name, listen, pages, health, &self.http, stop)
    }

    /// Maintains the journal until the stop: stores queued records, removes expired ones, and marks
    /// callbacks whose end was not recorded.
    pub(crate) async fn run_maintenance(&self, settings: &Settings) {
        let stop = self.stop.clone();
        match &self.recording {
            None => stop.cancelled().await,
            Some(recording) => {
                if settings.journal.body_retention.is_some() {
                    tracing::warn!(
                        "journal.body_retention is now dead_letters.retention; while it is set, it \
                         is used in its place"
                    );
                }
                let retention = Retention {
                    callbacks: settings.journal.retention,
                    dead_letters: settings.dead_letter_retention(),
                    delivered: settings.journal.keep_delivered,
                    audits: settings.journal.audit_retention,
                    rollups: settings.journal.rollup_retention,
                };
                let maintenance = Maintenance {
                    retention,
                    unaccounted_after: self.unaccounted_after,
                    callee_registry: self.callees.clone(),
                };
                let broker = &self.broker;
                recording.run_maintenance(maintenance, broker, stop).await;
            }
        }
    }

    /// Asks all processes whether one holds a callback.
    fn is_held(&self) -> IsHeld {
        let control = self.control.clone();
        Arc::new(move |id| {
            let control = control.clone();
            Box::pin(async move { control.is_held(id).await })
        })
    }

    fn journal(&self) -> Option<&JournalHandle> {
        self.recording.as_ref().map(|recording| &recording.handle)
    }

    /// Closes journal and broker, and sends the last spans. Call it when nothing uses them any more.
    pub(crate) async fn close(&self) {
        if let Some(recording) = &self.recording {
            recording.close().await;
        }
        self.broker.close().await;
        if let Some(tracer) = self.tracer.clone() {
            // An error is a panic of the exporter, and nothing waits for it.
            let _ = tokio::task::spawn_blocking(move || tracer.shutdown()).await;
        }
    }
}

/// Shows a switch in the health until the process ends.
async fn show_switch(
    kind: PauseKind,
    mut stopped: watch::Receiver<Option<Pause>>,
    health: Arc<Health>,
) {
    loop {
        let sentence = stopped.borrow_and_update().as_ref().map(|pause| {
            let since = contract::rfc3339(pause.paused_at);
            format!("by {} since {since}: {}", pause.paused_by, pause.reason)
        });
        health.set_stopped(kind.as_str(), sentence);
        if stopped.changed().await.is_err() {
            return;
        }
    }
}

/// Starts to export spans, if the settings name a collector.
fn start_tracer(
    settings: &Settings,
    process: &ProcessState,
    metrics: &MetricsRegistry,
) -> Result<Option<Arc<Tracer>>, CommandError> {
    let identity = process.own_identity();
    let resource = [
        KeyValue::new("service.instance.id", identity.instance.to_string()),
        KeyValue::new("host.name", identity.host.clone()),
        KeyValue::new("ringback.role", identity.role.clone()),
    ];
    let metrics = metrics.add(TraceMetrics::register);
    let version = env!("CARGO_PKG_VERSION");
    let tracer = Tracer::start(&settings.telemetry, version, resource, metrics)
        .map_err(|reason| CommandError::Failed(format!("telemetry.otlp.endpoint: {reason}")))?;
    Ok(tracer.map(Arc::new))
}

/// The caller registry. In `dev` the mode is `open` by default.
fn callers(settings: &Settings, role: ProcessRole) -> Result<CallerRegistry, ConfigError> {
    let default_mode = (role == ProcessRole::Dev).then_some(AuthMode::Open);
    caller_registry(settings, role.as_str(), default_mode)
}

/// An open listener.
pub(crate) struct Listener {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    serving: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
}

impl Listener {
    /// Serves until `stop` is cancelled. A listener that ends earlier cancels it, so that the process
    /// stops as a whole.
    ///
    /// # Errors
    /// When it ended earlier; the sentence holds `name`.
    pub(crate) async fn serve(
        self,
        name: &str,
        stop: &CancellationToken,
    ) -> Result<(), CommandError> {
        let ended = self.serving.await;
        let was_stopped = stop.is_cancelled();
        stop.cancel();
        ended?;
        match was_stopped {
            true => Ok(()),
            false => Err(CommandError::Failed(format!("{name} ended unexpectedly"))),
        }
    }
}
