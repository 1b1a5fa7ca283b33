//! Canaries: probes that go through the work queues every few seconds, so that it is seen whether
//! anything comes out of them, and how soon.
//!
//! A canary needs no journal, target or permit, and no admission. The dispatcher that receives it
//! answers at once. A dispatcher that does not know probes drops it without a word (0.2.0).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerMessage, PublishError, Queue};
use contract::ProbeAnswer;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::metrics::IngressMetrics;
use crate::probe::probe;

/// Between two canaries through a queue.
const INTERVAL: Duration = Duration::from_secs(10);

/// When one is not answered, the next is sent so much later: it may be lost, and what waits in a queue
/// that nobody reads must not be many.
const RESEND_AFTER: Duration = Duration::from_secs(60);

/// How many are waited for: a day of them.
const MAX_OUT: usize = 24 * 60;

/// The queues that canaries go through.
const QUEUES: [Queue; 2] = [Queue::First, Queue::Retry];

/// The canaries on their way through one queue. Pure: all times are arguments, by one steady clock.
#[derive(Debug, Default)]
struct CanaryFlights {
    /// When each was sent, the oldest first.
    out: VecDeque<(Uuid, Duration)>,
    last_sent: Option<Duration>,
    /// Since when nothing was answered.
    unanswered_since: Option<Duration>,
}

impl CanaryFlights {
    /// Whether the next one is due.
    fn may_send(&self, now: Duration) -> bool {
        let waits = self.unanswered_since.is_some();
        let last = self.last_sent.filter(|_| waits);
        last.is_none_or(|sent| now.saturating_sub(sent) >= RESEND_AFTER)
    }

    /// Answers to those that are out are lost; that nothing was answered stays true.
    fn answers_lost(&mut self) {
        self.out.clear();
    }

    fn sent(&mut self, id: Uuid, now: Duration) {
        if self.out.len() == MAX_OUT {
            self.out.pop_front();
        }
        self.out.push_back((id, now));
        self.last_sent = Some(now);
        self.unanswered_since.get_or_insert(now);
    }

    /// Forgets one that was not published. A silence that had begun before it goes on.
    fn refused(&mut self, id: Uuid) {
        let at = self.out.iter().position(|(known, _)| *known == id);
        let refused = at.and_then(|at| self.out.remove(at));
        if refused.is_some_and(|(_, sent)| self.unanswered_since == Some(sent)) {
            self.unanswered_since = self.out.front().map(|(_, sent)| *sent);
        }
    }

    /// One was answered: how long that took. The queue is first in, first out, so those that were sent
    /// before it are lost.
    fn answered(&mut self, id: Uuid, now: Duration) -> Option<Duration> {
        let at = self.out.iter().position(|(known, _)| *known == id)?;
        let (_, sent) = self.out.drain(..=at).next_back()?;
        // Something comes out, however late.
        self.unanswered_since = (!self.out.is_empty()).then_some(now);
        Some(now.saturating_sub(sent))
    }

    /// How long nothing has been answered.
    fn unanswered(&self, now: Duration) -> Duration {
        let since = self.unanswered_since;
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

/// Sends canaries until it is dropped.
pub(crate) async fn send_canaries(broker: Broker, metrics: Arc<IngressMetrics>) {
    let started_at = Instant::now();
    let mut replies = broker.replies();
    let mut address = replies.address();
    if address.wait_for(Option::is_some).await.is_err() {
        return; // The broker is closed.
    }
    let mut used_address = None;
    let mut flights: [CanaryFlights; 2] = Default::default();
    let (refused, mut refusals) = mpsc::channel(MAX_OUT);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let reply_to = address.borrow().clone();
                if reply_to != used_address {
                    // Answers to the last address are lost with its connection.
                    flights.iter_mut().for_each(CanaryFlights::answers_lost);
                    used_address.clone_from(&reply_to);
                }
                for (queue, flights) in QUEUES.into_iter().zip(&mut flights) {
                    let now = started_at.elapsed();
                    if let Some(reply_to) = reply_to.clone().filter(|_| flights.may_send(now)) {
                        let (id, message) = probe(reply_to);
                        flights.sent(id, now);
                        let (broker, refused) = (broker.clone(), refused.clone());
                        // Not awaited here: the answer may come before the confirm.
                        tokio::spawn(async move {
                            if publish(&broker, queue, message).await.is_err() {
                                let _ = refused.send(id).await;
                            }
                        });
                    }
                    metrics.canaries_unanswered(queue.as_str(), flights.unanswered(now));
                }
            }
            Some(id) = refusals.recv() => {
                flights.iter_mut().for_each(|flights| flights.refused(id));
            }
            bytes = replies.next() => {
                let Some(answer) = ProbeAnswer::decode(&bytes) else {
                    continue;
                };
                let now = started_at.elapsed();
                for (queue, flights) in QUEUES.into_iter().zip(&mut flights) {
                    if let Some(took) = flights.answered(answer.probe_id, now) {
                        let unanswered = flights.unanswered(now);
                        metrics.canary_answered(queue.as_str(), took);
                        metrics.canaries_unanswered(queue.as_str(), unanswered);
                    }
                }
            }
        }
    }
}

/// An error: it was certainly not published.
async fn publish(broker: &Broker, queue: Queue, message: BrokerMessage) -> Result<(), ()> {
    let published = match queue {
        Queue::First => broker.publish(message).await,
        _ => broker.publish_later(message, Duration::ZERO).await,
    };
    match published {
        Err(PublishError::Refused(_)) => Err(()),
        Ok(()) | Err(PublishError::Unknown(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_is_on_its_way_at_a_time_and_the_next_is_sent_when_it_may_be_lost() {
        let mut flights = CanaryFlights::default();
        assert!(flights.may_send(at(0)));
        flights.sent(id(1), at(0));
        assert!(!flights.may_send(at(59)));
        assert_eq!(flights.unanswered(at(59)), at(59));
        assert!(flights.may_send(at(60)));
        flights.sent(id(2), at(60));
        assert!(!flights.may_send(at(119)));
        assert_eq!(flights.answered(id(9), at(61)), None);
        assert_eq!(flights.unanswered(at(62)), at(62), "still none came out");
        assert_eq!(flights.answered(id(2), at(63)), Some(at(3)));
        assert_eq!(flights.unanswered(at(70)), at(0));
        assert_eq!(
            flights.answered(id(1), at(71)),
            None,
            "it was taken for lost"
        );
        assert!(flights.may_send(at(71)));
    }

    #[test]
    fn behind_a_steady_backlog_answers_come_late_and_are_answers() {
        let mut flights = CanaryFlights::default();
        let minutes = |number: u64| at(60 * number);
        for number in 0..120 {
            flights.sent(id(number.into()), minutes(number));
            // Each takes an hour.
            if let Some(old) = number.checked_sub(60) {
                let took = flights.answered(id(old.into()), minutes(number));
                assert_eq!(took, Some(minutes(60)));
                assert_eq!(flights.unanswered(minutes(number) + at(30)), at(30));
            }
        }
    }

    #[test]
    fn a_new_connection_neither_ends_the_silence_nor_sends_more() {
        let mut flights = CanaryFlights::default();
        for number in 0..10 {
            let now = at(30 * number);
            if flights.may_send(now) {
                flights.sent(id(number.into()), now);
            }
            flights.answers_lost();
        }
        assert_eq!(flights.last_sent, Some(at(240)), "one a minute");
        assert_eq!(flights.unanswered(at(300)), at(300));
    }

    #[test]
    fn what_was_not_published_is_not_waited_for() {
        let mut flights = CanaryFlights::default();
        flights.sent(id(1), at(0));
        flights.refused(id(1));
        assert_eq!(flights.unanswered(at(100)), at(0));
        assert!(flights.may_send(at(1)));
    }

    #[test]
    fn one_that_was_not_published_does_not_end_the_silence_before_it() {
        let mut flights = CanaryFlights::default();
        flights.sent(id(1), at(0));
        flights.answers_lost();
        flights.sent(id(2), at(60));
        flights.refused(id(2));
        assert_eq!(flights.unanswered(at(100)), at(100));
    }

    #[test]
    fn however_long_nothing_is_answered_few_are_remembered() {
        let mut flights = CanaryFlights::default();
        for number in 0..2_000 {
            flights.sent(id(number), at(60));
        }
        assert_eq!(flights.out.len(), MAX_OUT);
        assert_eq!(flights.unanswered(at(100)), at(40));
    }
}
