//! Publishes a validated request, once per idempotency key, and records it in the journal.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerMessage, PublishError};
use contract::Answer;
use failpoints::{crash_point, sabotage};
use journal::{JournalHandle, JournalResult, PendingAcceptance, Record};
use runtime::LogLimit;
use runtime::clock::now_ms;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::admission::{AdmissionLimits, ExceededBound, refuse};
use crate::auth::excerpt;
use crate::idempotency::{ClaimOutcome, IdempotencyKey};
use crate::load::LoadTracker;
use crate::message::{CallerTrace, OutgoingMessage, compose};
use crate::metrics::IngressMetrics;
use crate::rejection::Rejection;
use crate::throttle::IntakeThrottle;
use crate::traffic::AppTraffic;
use crate::validate_target::ValidatedRequest;
use crate::wait::reply::{ReplyListener, ReplyWaiter};

/// A slow journal must not hold up a callback that is durable.
const JOURNAL_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

static NOT_CONFIRMED: LogLimit = LogLimit::new();
static NOT_RECORDED: LogLimit = LogLimit::new();
static NOT_STORED: LogLimit = LogLimit::new();

/// Publishes callbacks.
pub(crate) struct Enqueuer {
    pub(crate) broker: Broker,
    pub(crate) admission: AdmissionControl,
    pub(crate) throttle: IntakeThrottle,
    pub(crate) publish_timeout: Duration,
    pub(crate) replies: ReplyListener,
    pub(crate) journal: Option<JournalHandle>,
    pub(crate) metrics: Arc<IngressMetrics>,
    pub(crate) traffic: AppTraffic,
}

/// Admits callbacks by what is unfinished, and counts those that were accepted.
pub(crate) struct AdmissionControl {
    load: Arc<LoadTracker>,
    limits: AdmissionLimits,
    log_limits: [LogLimit; ExceededBound::KINDS],
}

/// A request to enqueue.
pub(crate) struct EnqueueRequest {
    pub(crate) validated: ValidatedRequest,
    pub(crate) trace: CallerTrace,
    /// Until when the caller waits for the first attempt, if it does.
    pub(crate) wait_until: Option<Instant>,
}

/// A callback that is durably queued.
pub(crate) struct Enqueued {
    pub(crate) request_id: Uuid,
    /// Receives the outcome of the first attempt, if the caller waits for it. `None` for a repeat:
    /// its first attempt may have ended long ago.
    pub(crate) waiter: Option<ReplyWaiter>,
    /// Whether an earlier request with the same idempotency key has queued it.
    pub(crate) is_repeat: bool,
}

/// A confirmed message whose acceptance is not recorded yet.
struct ConfirmedMessage {
    request_id: Uuid,
    waiter: Option<ReplyWaiter>,
    delayed: bool,
    accepted: Record,
}

impl Enqueuer {
    /// Enqueues a callback, once per idempotency key.
    pub(crate) async fn enqueue(
        self: Arc<Self>,
        request: EnqueueRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Enqueued, Rejection> {
        let Some(key) = key else {
            let acceptance = self.begin();
            let published = self.publish(request, new_request_id(&acceptance)).await;
            return self.record(published, acceptance).await;
        };
        // In a separate task: even if the caller disconnects, the claim must be settled.
        let task = tokio::spawn(async move { self.enqueue_claimed(request, key).await });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "failed to finish a request with an idempotency key");
            Err(Answer::Internal.into())
        })
    }

    /// Enqueues a callback unless another request with this key did.
    async fn enqueue_claimed(
        &self,
        request: EnqueueRequest,
        key: IdempotencyKey,
    ) -> Result<Enqueued, Rejection> {
        let acceptance = self.begin();
        let own = new_request_id(&acceptance);
        let claimed = key.claim(own, self.publish_timeout).await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(rejection) => {
                not_accepted(acceptance);
                return Err(rejection);
            }
        };
        match claimed {
            ClaimOutcome::Publish(claim) => {
                let published = self.publish(request, claim.request_id).await;
                let published = claim.settle(published).await;
                crash_point!("ingress.claim-settled");
                self.record(published, acceptance).await
            }
            ClaimOutcome::Repeat(request_id) => {
                not_accepted(acceptance);
                Ok(Enqueued {
                    request_id,
                    waiter: None,
                    is_repeat: true,
                })
            }
        }
    }

    /// Admits the request, publishes its message and waits for the broker's confirm.
    ///
    /// Admission comes after the claim of a key: a repeat is answered even while the backlog is full.
    async fn publish(
        &self,
        request: EnqueueRequest,
        request_id: Uuid,
    ) -> Result<ConfirmedMessage, Rejection> {
        self.admission
            .check(&request.validated.request.app_id, &self.metrics)?;
        if request.validated.delay_seconds().is_none() {
            self.throttle.admit().await?;
        }
        let (waiter, reply_to) = match request.wait_until {
            None => (None, None),
            Some(deadline) => {
                // Before the publish: the reply may arrive before the confirm.
                let (waiter, reply_to) = self.replies.register(request_id, deadline).await;
                (Some(waiter), reply_to)
            }
        };
        let OutgoingMessage {
            message,
            delay,
            mut accepted,
        } = compose(
            request.validated,
            request.trace,
            request_id,
            reply_to,
            now_ms(),
        );
        if delay.is_some() && self.keeps_waiting() {
            accepted.message = Some(message.body.clone());
        }
        let publishing = send(self.broker.clone(), message, delay);
        let confirmed = ConfirmedMessage {
            request_id,
            waiter,
            delayed: delay.is_some(),
            accepted,
        };
        sabotage!("answer-before-confirm", {
            tokio::spawn(publishing);
            return Ok(confirmed);
        });
        crash_point!("ingress.publish");
        let published = publishing.await;
        crash_point!("ingress.confirmed");
        sabotage!("refuse-published", return Err(Answer::Unavailable.into()));
        published.map_err(|error| self.unconfirmed(&error, request_id))?;
        Ok(confirmed)
    }

    /// Whether the journal keeps the messages of callbacks that wait.
    fn keeps_waiting(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.keep.waiting)
    }

    fn unconfirmed(&self, error: &PublishError, request_id: Uuid) -> Rejection {
        self.metrics.publish_failure(error);
        // Only a message that may have been queued gets an id, so that the caller can query it.
        let request_id = match error {
            PublishError::Unknown(_) => Some(request_id),
            PublishError::Refused(_) => None,
        };
        if let Some(suppressed) = NOT_CONFIRMED.permit() {
            tracing::warn!(
                request_id = request_id.map(tracing::field::display),
                %error,
                suppressed,
                "publish not confirmed"
            );
        }
        Rejection {
            answer: Answer::Unavailable,
            request_id,
            app_id: None,
            quota: None,
        }
    }

    /// Begins an acceptance: until it ends, no id of this time is denied.
    fn begin(&self) -> Option<PendingAcceptance> {
        let journal = self.journal.as_ref()?;
        Some(journal.recorder.begin())
    }

    /// Records that the callback was accepted, or that it may have been.
    async fn record(
        &self,
        published: Result<ConfirmedMessage, Rejection>,
        acceptance: Option<PendingAcceptance>,
    ) -> Result<Enqueued, Rejection> {
        let ConfirmedMessage {
            request_id,
            waiter,
            delayed,
            accepted,
        } = match published {
            Ok(confirmed) => confirmed,
            Err(rejection) => {
                // With an id, it may be queued.
                if rejection.request_id.is_none() {
                    not_accepted(acceptance);
                }
                return Err(rejection);
            }
        };
        if !delayed {
            self.throttle.published();
        }
        self.metrics.accepted(&accepted.origin.app_id);
        self.traffic.accepted(&accepted.origin.app_id);
        self.admission
            .load
            .accepted(&accepted.origin.app_id, delayed);
        sabotage!("forget-acceptance", {
            not_accepted(acceptance);
            return Ok(Enqueued {
                request_id,
                waiter,
                is_repeat: false,
            });
        });
        if let (Some(journal), Some(acceptance)) = (&self.journal, acceptance) {
            if delayed {
                // Boxed, so that the futures of other requests reserve no memory for it.
                let timeout = self.publish_timeout;
                Box::pin(record_delayed(journal, acceptance, accepted, timeout)).await?;
            } else {
                // Not awaited: no cancellation of a callback that is due at once depends on it.
                acceptance.record(accepted);
            }
        }
        crash_point!("ingress.recorded");
        tracing::debug!(%request_id, "callback accepted");
        Ok(Enqueued {
            request_id,
            waiter,
            is_repeat: false,
        })
    }
}

impl AdmissionControl {
    pub(crate) fn new(load: Arc<LoadTracker>, limits: AdmissionLimits) -> Self {
        Self {
            load,
            limits,
            log_limits: Default::default(),
        }
    }

    fn check(&self, app_id: &str, metrics: &IngressMetrics) -> Result<(), Rejection> {
        let (load, app) = self.load.of(app_id);
        let Some(refusal) = refuse(&load, &app, &self.limits) else {
            return Ok(());
        };
        if let Some(limit) = refusal.app_limit() {
            metrics.rate_limited(limit);
        }
        let (number, bound) = refusal.kind();
        let permitted = self.log_limits.get(number).and_then(LogLimit::permit);
        if let Some(suppressed) = permitted {
            let (app, figure) = (excerpt(app_id), refusal.figure());
            tracing::warn!(
                bound,
                figure,
                ?app,
                suppressed,
                "callback rejected: over a bound"
            );
        }
        Err(refusal.into())
    }
}

#[cfg(test)]
impl Enqueuer {
    /// How many callers wait for a first attempt.
    pub(crate) fn waiting_callers(&self) -> usize {
        self.replies.waiting()
    }
}

/// Publishes, at once or later, and waits for the confirm.
async fn send(
    broker: Broker,
    message: BrokerMessage,
    delay: Option<Duration>,
) -> Result<(), PublishError> {
    match delay {
        None => broker.publish(message).await,
        Some(delay) => broker.publish_later(message, delay).await,
    }
}

/// Nothing was queued.
fn not_accepted(acceptance: Option<PendingAcceptance>) {
    if let Some(acceptance) = acceptance {
        acceptance.not_accepted();
    }
}

fn new_request_id(acceptance: &Option<PendingAcceptance>) -> Uuid {
    let acceptance = acceptance.as_ref();
    acceptance.map_or_else(Uuid::now_v7, PendingAcceptance::new_request_id)
}

/// Makes the record of a delayed callback durable before the response, so that a cancellation finds
/// the callback.
async fn record_delayed(
    journal: &JournalHandle,
    acceptance: PendingAcceptance,
    accepted: Record,
    publish_timeout: Duration,
) -> Result<(), Rejection> {
    let request_id = accepted.origin.request_id;
    let durable = acceptance.record_durably(accepted.clone());
    if !matches!(timeout(publish_timeout, durable).await, Ok(Ok(()))) {
        if let Some(suppressed) = NOT_RECORDED.permit() {
            tracing::warn!(%request_id, suppressed, "delayed callback is queued but not recorded yet");
        }
        return Err(Rejection::unavailable(request_id));
    }
    store(journal, accepted).await;
    Ok(())
}

/// Stores the record in the journal directly: the durable copy may still be in the journal's queue.
/// Both write the same row.
async fn store(journal: &JournalHandle, accepted: Record) {
    let journal = &journal.journal;
    let request_id = accepted.origin.request_id;
    let stored = async {
        let known = journal.control_states(&[request_id]).await?;
        if !known.contains_key(&request_id) {
            journal.record(&[accepted]).await?;
        }
        JournalResult::Ok(())
    };
    // On failure queries get a 503 until the durable copy is stored.
    let stored = timeout(JOURNAL_WRITE_TIMEOUT, stored).await;
    if !matches!(stored, Ok(Ok(())))
        && let Some(suppressed) = NOT_STORED.permit()
    {
        tracing::warn!(%request_id, suppressed, "delayed callback is not in the journal yet");
    }
}
