//! Consumes the queues: takes messages, processes them, and stops gracefully.

use crate::attempt::process_message;
use crate::cancellation::ControlLookup;
use crate::concurrency::{max_in_flight, prefetch};
use crate::config::DispatcherConfig;
use crate::context::{AttemptContext, AttemptJournal};
use crate::held::HeldCallbacks;
use crate::http::client::HttpSender;
use crate::http::connections::TargetConnections;
use crate::http::dns::Resolver;
use crate::http::pool::ClientFactory;
use crate::limits::limiter::TargetLimiter;
use crate::limits::pauses::PauseRegistry;
use crate::limits::target_stats::{TargetStatsHandle, publish_metrics};
use crate::metrics::DispatcherMetrics;
use crate::policy::delivery_policy::{PolicyConfig, PolicyHandle};
use crate::policy::route::RouteResolver;
use crate::queue::{WorkQueue, broker_queue, queue_label};
use crate::recent_attempts::RecentAttempts;
use crate::rescuer::{RescueQueue, Rescuer};
use broker::Broker;
use contract::{duration_ms, rfc3339};
use delivery::{CalleeRegistry, Guards};
use journal::JournalHandle;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use runtime::clock::now_ms;
use runtime::traces::Tracer;
use runtime::{ConfigError, open_files};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the start waits for the first read of the pauses.
const PAUSES_TIMEOUT: Duration = Duration::from_secs(2);

/// What a dispatcher needs from its process.
#[derive(Clone)]
pub struct Dependencies {
    /// The source of messages, and the destination of follow-ups.
    pub broker: Broker,
    /// The callee registry at the start.
    pub registry: Arc<CalleeRegistry>,
    /// The address guards of callers' URLs at the start.
    pub guards: Arc<Guards>,
    /// The metrics of the dispatcher.
    pub metrics: Arc<DispatcherMetrics>,
    /// Asked for cancellations before each retry, and takes the records of attempts.
    pub journal: Option<JournalHandle>,
    /// The pauses in force. The process [keeps them up to date](PauseRegistry::run).
    pub pauses: PauseRegistry,
    /// Exports the spans of attempts.
    pub tracer: Option<Arc<Tracer>>,
}

/// The dispatcher cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting of callees, limits or the guard cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system's resolver configuration cannot be used.
    #[error(
        "cannot build the resolver (check /etc/resolv.conf, or set dispatcher.dns_servers): {0}"
    )]
    Resolver(String),
}

/// Consumes both work queues. First attempts and retries have slots of their own, so that many retries
/// cannot delay first attempts; and the queues that no attempt reads.
pub struct Dispatcher {
    context: AttemptContext,
    first_concurrency: u16,
    retry_concurrency: u16,
    shutdown_timeout: Duration,
}

/// Checks what the start of a dispatcher checks: settings, files, clients and the resolver. Call it
/// inside a Tokio runtime.
///
/// # Errors
/// As [`Dispatcher::new`].
pub fn check(
    config: &PolicyConfig<'_>,
    registry: Arc<CalleeRegistry>,
    guards: &Guards,
) -> Result<(), StartError> {
    let dispatcher = config.dispatcher;
    let resolver = resolver(dispatcher)?;
    let connections = TargetConnections::new(1, 1, Gauge::default(), Counter::default());
    let clients = ClientFactory::new(dispatcher, resolver, connections);
    PolicyHandle::new(config, registry, guards, clients)?;
    Ok(())
}

fn resolver(config: &DispatcherConfig) -> Result<Resolver, StartError> {
    Resolver::new(&config.dns_servers, config.connect_timeout)
        .map_err(|error| StartError::Resolver(error.to_string()))
}

impl Dispatcher {
    /// Builds the clients; takes no messages yet. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when a client or the resolver cannot be built.
    pub fn new(config: &PolicyConfig<'_>, dependencies: Dependencies) -> Result<Self, StartError> {
        let Dependencies {
            broker,
            registry,
            guards,
            metrics,
            journal,
            pauses,
            tracer,
        } = dependencies;
        let dispatcher = config.dispatcher;
        let resolver = resolver(dispatcher)?;
        let connections = TargetConnections::new(
            open_files::for_targets(),
            max_in_flight([dispatcher.first_concurrency, dispatcher.retry_concurrency]),
            metrics.target_connections(),
            metrics.target_connections_shed(),
        );
        let clients = ClientFactory::new(dispatcher, resolver.clone(), connections);
        let policy = PolicyHandle::new(config, registry, &guards, clients)?;
        let (first_concurrency, retry_concurrency) =
            (dispatcher.first_concurrency, dispatcher.retry_concurrency);
        let journal = journal.map(|handle| AttemptJournal {
            control: ControlLookup::start(&handle.journal),
            recorder: handle.recorder,
            keep: handle.keep,
        });
        Ok(Self {
            context: AttemptContext {
                broker,
                routes: RouteResolver::new(policy),
                limiter: TargetLimiter::new([first_concurrency, retry_concurrency], pauses),
                sender: HttpSender::new(resolver),
                metrics,
                held: HeldCallbacks::default(),
                recent: RecentAttempts::default(),
                journal,
                tracer,
                stop: CancellationToken::new(),
            },
            first_concurrency,
            retry_concurrency,
            shutdown_timeout: dispatcher.shutdown_timeout,
        })
    }

    /// The handle of its delivery policy, for reloads.
    pub fn policy(&self) -> PolicyHandle {
        self.context.routes.policy().clone()
    }

    /// Statistics of the targets that it calls. The handle outlives the run.
    pub fn target_stats(&self) -> TargetStatsHandle {
        let certificates = self.context.routes.policy().certificates();
        TargetStatsHandle::new(&self.context.limiter, certificates)
    }

    /// The callbacks that it holds in memory.
    pub fn held(&self) -> HeldCallbacks {
        self.context.held.clone()
    }

    /// The attempts that have ended a moment ago.
    pub fn recent_attempts(&self) -> RecentAttempts {
        self.context.recent.clone()
    }

    /// Makes no calls; each has the outcome that this function returns.
    #[cfg(test)]
    pub(crate) fn replace_calls(
        &mut self,
        outcome_of: fn(&contract::Message) -> delivery::Outcome,
    ) {
        self.context.sender.replace_calls(outcome_of);
    }

    /// Processes messages until `stop`, then waits for attempts in flight, at most for the shutdown
    /// timeout, and returns the rest to the queue. The broker's connections stay open.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            mut context,
            first_concurrency,
            retry_concurrency,
            shutdown_timeout,
        } = self;
        context.stop = stop.clone();
        let context = Arc::new(context);
        let tracker = TaskTracker::new();
        tracker.spawn(publish_metrics(
            Arc::clone(&context.limiter),
            Arc::clone(&context.metrics),
            context.routes.policy().certificates(),
            stop.clone(),
        ));
        tracker.spawn(announce_wait(
            context.held.clone(),
            stop.clone(),
            shutdown_timeout,
        ));
        let loaded = context.limiter.pauses().loaded(PAUSES_TIMEOUT);
        stop.run_until_cancelled(loaded).await;
        let prefetch = prefetch([first_concurrency, retry_concurrency]);
        for (queue, prefetch) in [WorkQueue::First, WorkQueue::Retry]
            .into_iter()
            .zip(prefetch)
        {
            let context = Arc::clone(&context);
            tracker.spawn(run_queue(queue, prefetch, context, shutdown_timeout));
        }
        for queue in [RescueQueue::DeliveryLimit, RescueQueue::Unrouted] {
            tracker.spawn(run_rescuer(queue, Arc::clone(&context)));
        }
        tracker.close();
        tracker.wait().await;
    }
}

/// Says at the stop what it waits for, and until when.
async fn announce_wait(held: HeldCallbacks, stop: CancellationToken, shutdown_timeout: Duration) {
    stop.cancelled().await;
    let attempts = held.in_flight();
    if attempts > 0 {
        let until = rfc3339(now_ms().saturating_add(duration_ms(shutdown_timeout)));
        tracing::info!(attempts, until, "{}", wait_sentence(attempts, &until));
    }
}

fn wait_sentence(attempts: usize, until: &str) -> String {
    let are = if attempts == 1 {
        "attempt is"
    } else {
        "attempts are"
    };
    format!("{attempts} {are} in flight: waiting for the end until {until} at most")
}

/// Consumes a queue until the stop. While deliveries are stopped there is no consumer: what waits stays
/// where it is, in its order.
async fn run_queue(
    queue: WorkQueue,
    prefetch: u16,
    context: Arc<AttemptContext>,
    shutdown_timeout: Duration,
) {
    let mut deliveries = context.limiter.pauses().deliveries();
    loop {
        let go_on = deliveries.wait_for(Option::is_none);
        if !matches!(context.stop.run_until_cancelled(go_on).await, Some(Ok(_))) {
            return;
        }
        let halt = context.stop.child_token();
        let consuming = consume(queue, prefetch, &context, shutdown_timeout, &halt);
        let halting = async {
            // An error is impossible: the registry is in the context.
            let _ = deliveries.wait_for(Option::is_some).await;
            halt.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = consuming => {}
            () = halting => {}
        }
    }
}

/// Consumes a queue until `halt`, then waits for the attempts in flight: from the stop on at most for the
/// shutdown timeout. What was not begun returns to the queue.
async fn consume(
    queue: WorkQueue,
    prefetch: u16,
    context: &Arc<AttemptContext>,
    shutdown_timeout: Duration,
    halt: &CancellationToken,
) {
    let mut consumer = context.broker.consume(broker_queue(queue), prefetch);
    let (attempts, cut_off) = (TaskTracker::new(), CancellationToken::new());
    // The prefetch bounds how many are in memory, and the limiter how many make a call.
    while let Some(received) = halt.run_until_cancelled(consumer.next()).await {
        let (cut_off, halt, context) = (cut_off.clone(), halt.clone(), Arc::clone(context));
        attempts.spawn(async move {
            // Pinned here: passed by value, it would take its memory twice in the task.
            let attempt = pin!(process_message(received, queue, &context, &halt));
            cut_off.run_until_cancelled(attempt).await;
        });
    }
    consumer.cancel().await;
    attempts.close();
    let timeout = async {
        context.stop.cancelled().await;
        tokio::time::sleep(shutdown_timeout).await;
    };
    let finished = tokio::select! {
        () = attempts.wait() => true,
        () = timeout => false,
    };
    if !finished {
        tracing::warn!(
            queue = queue_label(queue),
            attempts = attempts.len(),
            "shutdown timeout reached: attempts in flight are cut off"
        );
        cut_off.cancel();
        attempts.wait().await;
    }
    consumer.close().await;
}

async fn run_rescuer(queue: RescueQueue, context: Arc<AttemptContext>) {
    let rescuer = Rescuer {
        queue,
        routes: &context.routes,
        metrics: &context.metrics,
        recorder: context.recorder(),
    };
    rescuer.run(&context.broker, &context.stop).await;
}
