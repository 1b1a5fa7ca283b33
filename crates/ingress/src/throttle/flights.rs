//! The probes on their way through `first`, and when the next one is due.

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use super::controller::ProbeSample;

/// Between two probes.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// While nothing comes out, the time between two probes grows to this: what waits in a queue that
/// nobody reads must not be many.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// In a silence, so many probes are sent while its length doubles, at most.
const PER_DOUBLING: u32 = 16;

/// A probe is sent for so many callbacks, while there is no limit: a light load is not measured.
const CALLBACKS_PER_PROBE: u64 = 10;

/// How many are waited for: those of a minute and a half.
const MAX_OUT: usize = 1_024;

/// The probes on their way. Pure: all times are arguments, by one steady clock.
#[derive(Debug, Default)]
pub(super) struct ProbeFlights {
    out: VecDeque<Flight>,
    /// When the last one was sent, and how many callbacks had been published before it.
    last_sent: Option<(Duration, u64)>,
    /// When the last one came out, or the first one was sent that may.
    last_sign: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    id: Uuid,
    sent: Duration,
    published: u64,
}

impl ProbeFlights {
    /// Whether one is due, after so many published callbacks.
    pub(super) fn may_send(&self, now: Duration, published: u64, limited: bool) -> bool {
        let silence = match self.out.is_empty() {
            true => Duration::ZERO,
            false => now.saturating_sub(self.last_sign),
        };
        if self.out.len() == MAX_OUT && silence < MAX_INTERVAL {
            return false;
        }
        let (sent, before) = self.last_sent.unwrap_or_default();
        let interval = (silence / PER_DOUBLING).clamp(INTERVAL, MAX_INTERVAL);
        let callbacks = if limited { 1 } else { CALLBACKS_PER_PROBE };
        let first = self.last_sent.is_none();
        (first || now.saturating_sub(sent) >= interval)
            && published.saturating_sub(before) >= callbacks
    }

    /// One is sent.
    pub(super) fn sent(&mut self, id: Uuid, now: Duration, published: u64) {
        if self.out.is_empty() {
            self.last_sign = now;
        }
        if self.out.len() == MAX_OUT {
            self.out.pop_front();
        }
        self.out.push_back(Flight {
            id,
            sent: now,
            published,
        });
        self.last_sent = Some((now, published));
    }

    /// Forgets one that was not published.
    pub(super) fn refused(&mut self, id: Uuid) {
        self.out.retain(|flight| flight.id != id);
    }

    /// Answers to those that are out are lost.
    pub(super) fn answers_lost(&mut self) {
        self.out.clear();
    }

    /// One came out. The queue is first in, first out, so those that were sent before it are lost.
    pub(super) fn answered(&mut self, id: Uuid, now: Duration) -> Option<ProbeSample> {
        let at = self.out.iter().position(|flight| flight.id == id)?;
        let flight = self.out.drain(..=at).next_back()?;
        self.last_sign = now;
        Some(ProbeSample {
            delay: now.saturating_sub(flight.sent),
            published: flight.published,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Sends whenever it may, each 100 ms for so long, after ten callbacks each time. Returns how
    /// many were sent.
    fn send_for(flights: &mut ProbeFlights, millis: u64) -> u64 {
        let mut sent = 0;
        for step in 0..millis / 100 {
            let published = (step + 1) * CALLBACKS_PER_PROBE;
            if flights.may_send(at(step * 100), published, false) {
                flights.sent(id(step), at(step * 100), published);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn a_probe_is_sent_for_some_callbacks_and_at_most_ten_a_second() {
        let mut flights = ProbeFlights::default();
        assert!(!flights.may_send(at(0), 9, false));
        assert!(
            flights.may_send(at(0), 1, true),
            "a limit is watched closely"
        );
        assert!(!flights.may_send(at(0), 0, true));
        assert!(flights.may_send(at(0), 10, false));
        flights.sent(id(1), at(0), 10);
        assert!(!flights.may_send(at(99), 1_000, false));
        assert!(!flights.may_send(at(100), 19, false));
        assert!(flights.may_send(at(100), 20, false));
    }

    #[test]
    fn an_answer_tells_the_delay_and_what_was_published_before() {
        let mut flights = ProbeFlights::default();
        flights.sent(id(1), at(0), 10);
        flights.sent(id(2), at(100), 20);
        flights.sent(id(3), at(200), 30);
        assert_eq!(flights.answered(id(9), at(250)), None);
        let sample = ProbeSample {
            delay: at(200),
            published: 20,
        };
        assert_eq!(flights.answered(id(2), at(300)), Some(sample));
        assert_eq!(flights.answered(id(1), at(300)), None, "taken for lost");
        flights.refused(id(3));
        assert_eq!(flights.answered(id(3), at(300)), None);
    }

    #[test]
    fn while_nothing_comes_out_fewer_and_fewer_are_sent() {
        let minute = send_for(&mut ProbeFlights::default(), 60_000);
        assert!(minute < 120, "{minute} in a minute");
        let mut flights = ProbeFlights::default();
        let day = send_for(&mut flights, 24 * 60 * 60_000);
        assert!(day < 1_440 + 250, "{day} in a day");
        assert!(flights.out.len() <= MAX_OUT);
    }

    #[test]
    fn behind_a_backlog_of_a_minute_each_is_still_recognised() {
        let mut flights = ProbeFlights::default();
        // Half of what is sent is received.
        for step in 0..1_200_u64 {
            let (now, published) = (at(step * 100), (step + 1) * 10);
            assert!(flights.may_send(now, published, false), "{step}");
            flights.sent(id(step), now, published);
            if step.is_multiple_of(2) {
                let sample = flights.answered(id(step / 2), now);
                assert_eq!(sample.map(|sample| sample.delay), Some(now / 2));
            }
        }
        assert_eq!(flights.out.len(), 600);
    }
}
