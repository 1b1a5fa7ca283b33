//! Consumes the queues: takes messages, processes them, and stops gracefully.

use crate::attempt::process_message;
use crate::cancellation::ControlLookup;
use crate::concurrency::{max_in_flight, prefetch};
use crate::context::{AttemptContext, AttemptJournal};
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
use crate::rescuer::{RescueQueue, Rescuer};
use broker::Broker;
use delivery::{CalleeRegistry, Guards};
use journal::JournalHandle;
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
    /// Paused targets and callees.
    pub pauses: PauseRegistry,
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
        } = dependencies;
        let dispatcher = config.dispatcher;
        let resolver = Resolver::new(&dispatcher.dns_servers, dispatcher.connect_timeout)
            .map_err(|error| StartError::Resolver(error.to_string()))?;
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
        let journal = journal.map(|JournalHandle { journal, recorder }| AttemptJournal {
            control: ControlLookup::start(&journal),
            recorder,
        });
        Ok(Self {
            context: AttemptContext {
                broker,
                routes: RouteResolver::new(policy),
                limiter: TargetLimiter::new([first_concurrency, retry_concurrency], pauses),
                sender: HttpSender::new(resolver),
                metrics,
                journal,
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
        TargetStatsHandle::new(&self.context.limiter)
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
            stop.clone(),
        ));
        let pauses = context.limiter.pauses();
        tracker.spawn(pauses.clone().run(stop.clone()));
        let loaded = pauses.loaded(PAUSES_TIMEOUT);
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

async fn run_queue(
    queue: WorkQueue,
    prefetch: u16,
    context: Arc<AttemptContext>,
    shutdown_timeout: Duration,
) {
    let mut consumer = context.broker.consume(broker_queue(queue), prefetch);
    let (attempts, cut_off) = (TaskTracker::new(), CancellationToken::new());
    // The prefetch bounds how many are in memory, and the limiter how many make a call.
    while let Some(received) = context.stop.run_until_cancelled(consumer.next()).await {
        let (cut_off, context) = (cut_off.clone(), Arc::clone(&context));
        attempts.spawn(async move {
            // Pinned here: passed by value, it would take its memory twice in the task.
            let attempt = pin!(process_message(received, queue, &context));
            cut_off.run_until_cancelled(attempt).await;
        });
    }
    consumer.cancel().await;
    attempts.close();
    let finished = tokio::time::timeout(shutdown_timeout, attempts.wait()).await;
    if finished.is_err() {
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
