//! Decides how many callbacks a second are admitted, from how late probes come out of `first`.
//!
//! As CoDel does, it acts on how long what is received has waited, and only when even the least of
//! that has been too long for a while: a burst is not a reason. Pure: all times are arguments, by one
//! steady clock.

use std::collections::VecDeque;
use std::time::Duration;

/// The part of `ingress.target_delay` that may wait in `first`: the rest is for what comes before
/// and after, and for what a correction takes.
const AIM: u32 = 5;

/// However little is received, so many a second are admitted.
pub(super) const MIN_RATE: f64 = 10.0;

/// While nothing has been received for so long, it is not known how late callbacks are.
const SILENCE: Duration = Duration::from_secs(3);

/// After a longer pause between two answers, what is received a second is measured anew: a rate over
/// a standstill says nothing about the time after it. Unless the answer before it was as late: then so
/// much more is sent than is received that probes come out that seldom.
const MAX_GAP: Duration = Duration::from_secs(1);

/// What is received a second is measured over this time at least, and over so many callbacks.
const MEASURED_TIME: Duration = Duration::from_millis(500);
const MEASURED_COUNT: u64 = 64;

/// When nothing was held back for so long, there is no limit any more.
const EASY_TIME: Duration = Duration::from_secs(1);

/// The most and the least that is admitted, in parts of what is received.
const GAIN: std::ops::RangeInclusive<f64> = 0.5..=1.25;

/// A shorter time to correct what waits would be shorter than the time between two probes allows.
const MIN_CORRECTION: Duration = Duration::from_millis(500);

/// A probe that came out of `first`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ProbeSample {
    /// How long it took.
    pub(super) delay: Duration,
    /// How many callbacks this process had published to `first` before it.
    pub(super) published: u64,
}

/// How many callbacks are admitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Decision {
    /// All.
    Open,
    /// So many a second.
    Limited(f64),
}

/// The controller of one process.
#[derive(Debug)]
pub(super) struct Controller {
    /// How late first attempts may be received.
    aim: Duration,
    /// What came out last, the oldest first, with the time of each.
    received: VecDeque<(Duration, u64)>,
    /// When something came out last, and how late.
    last: Option<(Duration, Duration)>,
    /// Whether the last answer came after a gap of over [`MAX_GAP`].
    after_gap: bool,
    /// Since when everything that came out was late.
    late_since: Option<Duration>,
    /// Since when the limit has held nothing back, and nothing was late.
    easy_since: Option<Duration>,
    limit: Option<f64>,
}

impl Controller {
    /// A controller that keeps first attempts within this delay. It begins open.
    pub(super) fn new(target_delay: Duration) -> Self {
        Self {
            aim: target_delay / AIM,
            received: VecDeque::new(),
            last: None,
            after_gap: false,
            late_since: None,
            easy_since: None,
            limit: None,
        }
    }

    /// Decides at this time, with what has come out, if something has. `binding`: callbacks have been
    /// held back since the last decision.
    pub(super) fn decide(
        &mut self,
        now: Duration,
        sample: Option<ProbeSample>,
        binding: bool,
    ) -> Decision {
        if let Some(sample) = sample {
            self.receive(now, sample);
        }
        let silent = self
            .last
            .is_none_or(|(at, _)| now.saturating_sub(at) > SILENCE);
        if silent {
            // Unknown is not late: whoever accepts nothing because nothing is received loses
            // callbacks that could wait.
            self.last = None;
            self.after_gap = false;
            self.received.clear();
            self.open();
        } else if self.limit.is_some() {
            match binding || self.late_since.is_some() {
                true => self.easy_since = None,
                false => {
                    let since = *self.easy_since.get_or_insert(now);
                    if now.saturating_sub(since) >= EASY_TIME {
                        self.open();
                    }
                }
            }
        }
        self.limit.map_or(Decision::Open, Decision::Limited)
    }

    /// How late what came out last was, if anything has in the last seconds.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.last.map(|(_, delay)| delay)
    }

    fn open(&mut self) {
        self.limit = None;
        self.late_since = None;
        self.easy_since = None;
    }

    fn receive(&mut self, now: Duration, sample: ProbeSample) {
        let gap = self
            .last
            .is_some_and(|(at, _)| now.saturating_sub(at) > MAX_GAP);
        if gap && !self.after_gap {
            self.received.clear();
            self.late_since = None;
        }
        self.after_gap = gap;
        self.last = Some((now, sample.delay));
        self.received.push_back((now, sample.published));
        // The oldest goes while the rest is enough.
        while let Some((at, published)) = self.received.get(1)
            && now.saturating_sub(*at) >= MEASURED_TIME
            && sample.published.saturating_sub(*published) >= MEASURED_COUNT
        {
            self.received.pop_front();
        }
        let late = sample.delay > self.aim;
        match late {
            true => _ = self.late_since.get_or_insert(now),
            false => self.late_since = None,
        }
        let Some(rate) = self.rate() else {
            return;
        };
        let admitted = (rate * self.gain(sample.delay)).max(MIN_RATE);
        let lasts = self
            .late_since
            .is_some_and(|since| now.saturating_sub(since) >= self.aim);
        match self.limit {
            None if lasts => self.limit = Some(admitted),
            None => {}
            Some(_) if late => self.limit = Some(admitted),
            Some(limit) => self.limit = Some(limit.max(admitted)),
        }
    }

    /// What is received a second, of what this process publishes.
    fn rate(&self) -> Option<f64> {
        let (first, last) = (self.received.front()?, self.received.back()?);
        let time = last.0.saturating_sub(first.0);
        let count = last.1.saturating_sub(first.1);
        let known = !time.is_zero() && (time >= self.aim.min(MEASURED_TIME) / 2) && count > 0;
        known.then(|| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64())
    }

    /// How much of what is received is admitted: all of it keeps what waits as it is.
    fn gain(&self, delay: Duration) -> f64 {
        let correction = (self.aim * 4).max(MIN_CORRECTION).as_secs_f64();
        let gain = 1.0 + (self.aim.as_secs_f64() - delay.as_secs_f64()) / correction;
        gain.clamp(*GAIN.start(), *GAIN.end())
    }
}
