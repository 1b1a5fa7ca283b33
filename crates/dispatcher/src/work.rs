//! How is work taken from the lanes, how much at a time, and how does it stop?

use crate::attempt::{Bench, attempt};
use crate::call::Calls;
use crate::fates::Fates;
use crate::graves;
use crate::resolve::Names;
use boot::Metrics;
use boot::settings::DispatcherSettings;
use broker::{Broker, Lane};
use delivery::{Guard, Parties, Schedule};
use journal::{Journal, Recorder};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the door out works with.
#[derive(Clone)]
pub struct Tools {
    /// Where work comes from and follow-ups go to.
    pub broker: Broker,
    /// The registry of parties: a callee's URL is looked up at each attempt.
    pub parties: Arc<Parties>,
    /// Decides on the addresses of callers' URLs.
    pub guard: Arc<Guard>,
    /// The waits between attempts.
    pub schedule: Schedule,
    /// Counts attempts and what followed from them.
    pub metrics: Arc<Metrics>,
    /// Asked before each retry what was decided elsewhere; if there is one.
    pub journal: Option<Journal>,
    /// Where attempts are told to; there exactly when the journal is.
    pub recorder: Option<Recorder>,
}

/// The dispatcher cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No HTTP client can be made, for instance without trusted roots.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// The system's resolver configuration cannot be used.
    #[error(
        "the resolver cannot be built (is /etc/resolv.conf readable? or set dispatcher.dns_servers): {0}"
    )]
    Resolver(String),
}

/// Consumes both lanes and the graves, with a budget of slots for each lane: a storm of retries
/// cannot take the slots of first attempts.
pub struct Dispatcher {
    bench: Arc<Bench>,
    first_slots: u16,
    retry_slots: u16,
    grace: Duration,
}

impl Dispatcher {
    /// Builds the clients; takes no work yet. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when a client or the resolver cannot be built.
    pub fn new(settings: &DispatcherSettings, tools: Tools) -> Result<Self, StartError> {
        let Tools {
            broker,
            parties,
            guard,
            schedule,
            metrics,
            journal,
            recorder,
        } = tools;
        let names = Names::new(&settings.dns_servers, settings.connect_timeout)
            .map_err(|error| StartError::Resolver(error.to_string()))?;
        let calls = Calls::new(settings, guard, parties, names)?;
        Ok(Self {
            bench: Arc::new(Bench {
                broker,
                calls,
                schedule,
                metrics,
                fates: journal.as_ref().map(Fates::start),
                recorder,
            }),
            first_slots: settings.first_slots,
            retry_slots: settings.retry_slots,
            grace: settings.grace,
        })
    }

    /// Works until `stop`, then lets attempts under way finish within the grace, and returns the
    /// rest to the queue. The broker's connections stay open.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            bench,
            first_slots,
            retry_slots,
            grace,
        } = self;
        let tracker = TaskTracker::new();
        for (lane, slots) in [(Lane::First, first_slots), (Lane::Retry, retry_slots)] {
            let (bench, stop) = (Arc::clone(&bench), stop.clone());
            tracker.spawn(work(lane, slots, bench, stop, grace));
        }
        for lane in [Lane::DeliveryLimit, Lane::Unrouted] {
            tracker.spawn(graves::read(lane, Arc::clone(&bench), stop.clone()));
        }
        tracker.close();
        tracker.wait().await;
    }
}

async fn work(lane: Lane, slots: u16, bench: Arc<Bench>, stop: CancellationToken, grace: Duration) {
    // A quarter more than the slots, so that a free slot never waits for the network.
    let prefetch = slots.saturating_add(slots / 4).saturating_add(1);
    let mut consumer = bench.broker.consume(lane, prefetch);
    let free = Arc::new(Semaphore::new(slots.into()));
    let (attempts, cut) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let taking = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&free).acquire_owned().await.ok()?;
            Some((slot, consumer.next().await))
        };
        let Some(Some((slot, received))) = stop.run_until_cancelled(taking).await else {
            break;
        };
        let (bench, cut) = (Arc::clone(&bench), cut.clone());
        attempts.spawn(async move {
            let _busy = Busy::new(lane, &bench.metrics);
            cut.run_until_cancelled(attempt(received, lane, &bench))
                .await;
            drop(slot);
        });
    }
    consumer.cancel().await;
    attempts.close();
    if tokio::time::timeout(grace, attempts.wait()).await.is_err() {
        tracing::warn!(
            lane = lane.as_str(),
            left = attempts.len(),
            "grace is over; cutting off"
        );
        cut.cancel();
        attempts.wait().await;
    }
    consumer.close().await;
}

/// Counts an attempt as in flight, a panicking one too.
struct Busy<'a> {
    lane: Lane,
    metrics: &'a Metrics,
}

impl<'a> Busy<'a> {
    fn new(lane: Lane, metrics: &'a Metrics) -> Self {
        metrics.in_flight(lane.as_str(), 1);
        Self { lane, metrics }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight(self.lane.as_str(), -1);
    }
}
