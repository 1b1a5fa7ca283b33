//! The application state, seen by `routes/` and `server.rs` only.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use contract::Rules;
use delivery::auth::CallerRegistry;
use delivery::{CalleeRegistry, Guards};
use journal::{JournalHandle, Pause};
use runtime::http::{BodyLimits, HttpLimits};
use runtime::traces::Tracer;
use runtime::{Health, Reloadable};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admission::AdmissionLimits;
use crate::auth::Authenticator;
use crate::canary::send_canaries;
use crate::config::{HttpStatusMode, IngressConfig};
use crate::enqueue::{AdmissionControl, Enqueuer};
use crate::holders::{HolderLookup, IsHeld};
use crate::intake::IntakeSwitch;
use crate::load::{LoadTracker, follow};
use crate::lookup::CallbackLookup;
use crate::metrics::IngressMetrics;
use crate::preferences::WaitPolicy;
use crate::throttle::IntakeThrottle;
use crate::traffic::AppTraffic;
use crate::wait::reply::ReplyListener;

/// What ingress needs from the process it runs in.
#[derive(Clone)]
pub struct IngressDependencies {
    /// Where accepted callbacks are published.
    pub broker: Broker,
    /// Who may send callbacks.
    pub callers: Reloadable<CallerRegistry>,
    /// The callee registry.
    pub callees: Reloadable<CalleeRegistry>,
    /// The address guards of callers' URLs.
    pub guards: Reloadable<Guards>,
    /// Where ingress counts.
    pub metrics: Arc<IngressMetrics>,
    /// Where it counts the requests of each app.
    pub traffic: AppTraffic,
    /// The bounds of the listener.
    pub http: HttpLimits,
    /// What `/readyz` shows.
    pub health: Arc<Health>,
    /// The journal. Without one there are no queries, cancellations or idempotency keys.
    pub journal: Option<JournalHandle>,
    /// How many batches may wait in the journal's queue before new callbacks are answered 503.
    pub max_journal_backlog: u64,
    /// How long a publish may take.
    pub publish_timeout: Duration,
    /// The pause of intake, while operators have stopped it.
    pub intake: watch::Receiver<Option<Pause>>,
    /// Asks all processes whether one holds a callback.
    pub is_held: IsHeld,
    /// Exports the spans of requests.
    pub tracer: Option<Arc<Tracer>>,
}

pub(crate) struct AppState {
    pub(crate) authenticator: Authenticator,
    pub(crate) callees: Reloadable<CalleeRegistry>,
    pub(crate) guards: Reloadable<Guards>,
    pub(crate) rules: Rules,
    pub(crate) body_limits: BodyLimits,
    pub(crate) wait_policy: WaitPolicy,
    pub(crate) http_status: HttpStatusMode,
    pub(crate) intake: IntakeSwitch,
    pub(crate) enqueuer: Arc<Enqueuer>,
    pub(crate) lookup: Option<CallbackLookup>,
    pub(crate) holders: HolderLookup,
    pub(crate) metrics: Arc<IngressMetrics>,
    pub(crate) traffic: AppTraffic,
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// Ends the waits of callers when the process stops.
    pub(crate) stop: CancellationToken,
    /// Keeps the figures of admission.
    _following: AbortOnDropHandle<()>,
    /// Sends canaries. With RabbitMQ only: the embedded store is this process itself.
    _canaries: Option<AbortOnDropHandle<()>>,
}

impl AppState {
    /// Starts the background tasks of ingress. Call it inside a Tokio runtime.
    pub(crate) fn new(
        config: &IngressConfig,
        dependencies: IngressDependencies,
        stop: CancellationToken,
    ) -> Self {
        let IngressDependencies {
            broker,
            callers,
            callees,
            guards,
            metrics,
            traffic,
            http: _,
            health: _,
            journal,
            max_journal_backlog,
            publish_timeout,
            intake,
            is_held,
            tracer,
        } = dependencies;
        let lookup = journal
            .clone()
            .map(|journal| CallbackLookup::start(journal, broker.depths(), publish_timeout));
        let load = Arc::new(LoadTracker::new(broker.depths()));
        let canaries = (config.canary && broker.faults().is_some())
            .then(|| tokio::spawn(send_canaries(broker.clone(), Arc::clone(&metrics))));
        let following = follow(Arc::clone(&load), journal.clone(), Arc::clone(&metrics));
        Self {
            authenticator: Authenticator::new(
                callers,
                Arc::clone(&metrics),
                config.allowed_origins.clone(),
            ),
            callees,
            guards,
            rules: Rules {
                accept_blank_message_type: config.accept_blank_message_type,
                strict_options: config.strict_options,
            },
            body_limits: BodyLimits {
                max_bytes: config.body_limit_bytes,
                timeout: config.body_timeout,
            },
            wait_policy: WaitPolicy {
                default: config.default_wait,
                max: config.max_wait,
            },
            http_status: config.http_status,
            intake: IntakeSwitch::new(intake),
            enqueuer: Arc::new(Enqueuer {
                replies: ReplyListener::start(&broker),
                throttle: IntakeThrottle::start(&broker, config.target_delay, Arc::clone(&metrics)),
                broker,
                admission: AdmissionControl::new(
                    load,
                    AdmissionLimits {
                        max_backlog: config.max_backlog,
                        max_waiting: config.max_waiting,
                        app_share: config.app_share,
                        max_journal_batches: max_journal_backlog,
                    },
                ),
                publish_timeout,
                journal,
                metrics: Arc::clone(&metrics),
                traffic: traffic.clone(),
            }),
            lookup,
            holders: HolderLookup::new(is_held),
            metrics,
            traffic,
            tracer,
            stop,
            _following: AbortOnDropHandle::new(tokio::spawn(following)),
            _canaries: canaries.map(AbortOnDropHandle::new),
        }
    }
}
