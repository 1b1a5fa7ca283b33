//! How is work taken from the lanes, how much at a time, and how does it stop?

use crate::attempt::{Bench, attempt};
use crate::call::Calls;
use crate::fates::Fates;
use crate::gates::Gates;
use crate::lines::Lines;
use crate::pauses::Pauses;
use crate::plan::Plans;
use crate::policy::Policies;
use crate::resolve::Names;
use crate::slots::Slots;
use crate::targets::Targets;
use crate::{graves, targets};
use boot::settings::Settings;
use boot::{Metrics, SettingsError};
use broker::{Broker, Lane};
use delivery::{Guards, Parties};
use journal::{Journal, Recorder};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the door out works with.
#[derive(Clone)]
pub struct Tools {
    /// Where work comes from and follow-ups go to.
    pub broker: Broker,
    /// The registry of parties, as at the start.
    pub parties: Arc<Parties>,
    /// Decide on callers' URLs and their addresses, as at the start.
    pub guards: Arc<Guards>,
    /// Counts attempts and what followed from them.
    pub metrics: Arc<Metrics>,
    /// Asked before each retry what was decided elsewhere; if there is one.
    pub journal: Option<Journal>,
    /// Where attempts are told to; there exactly when the journal is.
    pub recorder: Option<Recorder>,
    /// Who is not to be called for now.
    pub pauses: Pauses,
}

/// So long a start waits for the pauses to be known.
const PAUSES_WITHIN: Duration = Duration::from_secs(2);

/// The dispatcher cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What the settings say of callees, limits or the guard cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The system's resolver configuration cannot be used.
    #[error(
        "the resolver cannot be built (is /etc/resolv.conf readable? or set dispatcher.dns_servers): {0}"
    )]
    Resolver(String),
}

/// Consumes both lanes and the graves, with a budget of slots for each lane: a storm of retries
/// cannot take the slots of first attempts.
pub struct Dispatcher {
    bench: Bench,
    first_slots: u16,
    retry_slots: u16,
    grace: Duration,
}

impl Dispatcher {
    /// Builds the clients; takes no work yet. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when a client or the resolver cannot be built.
    pub fn new(all: &Settings, tools: Tools) -> Result<Self, StartError> {
        let settings = &all.dispatcher;
        let Tools {
            broker,
            parties,
            guards,
            metrics,
            journal,
            recorder,
            pauses,
        } = tools;
        let names = Names::new(&settings.dns_servers, settings.connect_timeout)
            .map_err(|error| StartError::Resolver(error.to_string()))?;
        let lines = Lines::new(settings, names.clone());
        let plans = Plans::new(Policies::new(all, parties, &guards, lines)?);
        let gates = Gates::new([settings.first_slots, settings.retry_slots], pauses);
        Ok(Self {
            bench: Bench {
                broker,
                plans,
                gates,
                calls: Calls { names },
                metrics,
                fates: journal.as_ref().map(Fates::start),
                recorder,
                stop: CancellationToken::new(),
            },
            first_slots: settings.first_slots,
            retry_slots: settings.retry_slots,
            grace: settings.grace,
        })
    }

    /// What holds for its attempts, to be replaced by a reload.
    pub fn policies(&self) -> Policies {
        self.bench.plans.policies().clone()
    }

    /// What can be seen of the targets that it calls; it outlives the run.
    pub fn targets(&self) -> Targets {
        Targets::of(&self.bench.gates)
    }

    /// Works until `stop`, then lets attempts under way finish within the grace, and returns the
    /// rest to the queue. The broker's connections stay open.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            mut bench,
            first_slots,
            retry_slots,
            grace,
        } = self;
        bench.stop = stop.clone();
        let bench = Arc::new(bench);
        let tracker = TaskTracker::new();
        tracker.spawn(targets::show(
            Arc::clone(&bench.gates),
            Arc::clone(&bench.metrics),
            stop.clone(),
        ));
        let pauses = bench.gates.pauses();
        tracker.spawn(pauses.clone().follow(stop.clone()));
        let known = pauses.known_within(PAUSES_WITHIN);
        stop.run_until_cancelled(known).await;
        for (lane, slots) in [(Lane::First, first_slots), (Lane::Retry, retry_slots)] {
            tracker.spawn(work(lane, slots, Arc::clone(&bench), grace));
        }
        for lane in [Lane::DeliveryLimit, Lane::Unrouted] {
            tracker.spawn(graves::read(lane, Arc::clone(&bench), stop.clone()));
        }
        tracker.close();
        tracker.wait().await;
    }
}

async fn work(lane: Lane, slots: u16, bench: Arc<Bench>, grace: Duration) {
    let mut consumer = bench.broker.consume(lane, window(slots));
    let slots = Slots::new(lane, slots, Arc::clone(&bench.metrics));
    let (attempts, cut) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let taking = async {
            let free = slots.free().await?;
            Some((free, consumer.next().await))
        };
        let Some(Some((free, received))) = bench.stop.run_until_cancelled(taking).await else {
            break;
        };
        let (slot, cut) = (slots.take(free), cut.clone());
        let bench = Arc::clone(&bench);
        attempts.spawn(async move {
            // Pinned here: handed over, it would lie in the task twice.
            let attempt = pin!(attempt(received, slot, &bench));
            cut.run_until_cancelled(attempt).await;
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

/// How many messages a lane has in hand: the calls, a quarter that may wait for its turn at a target
/// (as the gates have it), and a quarter read ahead, so that a free slot never waits for the network.
fn window(slots: u16) -> u16 {
    let quarter = (slots / 4).max(1);
    slots.saturating_add(quarter).saturating_add(quarter)
}
