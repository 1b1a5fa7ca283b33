//! A target that notes when each callback arrived, and misbehaves on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tests::targets::{ReservedAddress, Script};
use tests::{ScriptedReply, TestTarget};

/// How a target behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behavior {
    /// Answers 204 at once.
    Healthy,
    /// Reads and never answers.
    Hangs,
    /// Refuses connections.
    Refuses,
    /// Answers 500.
    Fails,
    /// Answers at one byte per second.
    Drips,
    /// Answers 429 with `Retry-After: 5`.
    RateLimits,
    /// Answers 204 after a second.
    Slow,
    /// Answers 204, but 500 on the path `/evil500`.
    HealthyButOnePath,
}

impl Behavior {
    /// Every bad one.
    pub(crate) const BAD: [Self; 5] = [
        Self::Hangs,
        Self::Refuses,
        Self::Fails,
        Self::Drips,
        Self::RateLimits,
    ];

    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "all healthy",
            Self::Hangs => "one hangs",
            Self::Refuses => "one refuses",
            Self::Fails => "one answers 500",
            Self::Drips => "one drips",
            Self::RateLimits => "one answers 429",
            Self::Slow => "slow",
            Self::HealthyButOnePath => "one path answers 500",
        }
    }

    fn reply(self) -> ScriptedReply {
        match self {
            Self::Healthy | Self::Refuses | Self::HealthyButOnePath => ScriptedReply::status(204),
            Self::Slow => ScriptedReply::status(204).after(Duration::from_secs(1)),
            Self::Hangs => ScriptedReply::hang(),
            Self::Fails => ScriptedReply::status(500).body(""),
            Self::Drips => ScriptedReply::status(204).dripping(Duration::from_secs(1)),
            Self::RateLimits => ScriptedReply::status(429)
                .header("retry-after", "5")
                .body(""),
        }
    }
}

/// Numbers of callbacks, and when each arrived.
pub(crate) type Arrivals = Vec<(usize, Instant)>;

/// A target on a port of its own, until dropped.
#[derive(Debug)]
pub(crate) struct ObservedTarget {
    /// Where it is.
    pub(crate) address: SocketAddr,
    arrivals: Arc<Mutex<Arrivals>>,
    behavior: Behavior,
    reserved: Option<ReservedAddress>,
    target: Option<TestTarget>,
}

impl ObservedTarget {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no port.
    pub(crate) fn start(behavior: Behavior) -> Self {
        let reserved = ReservedAddress::new();
        let mut target = Self {
            address: reserved.address(),
            arrivals: Arc::default(),
            behavior,
            reserved: Some(reserved),
            target: None,
        };
        if behavior != Behavior::Refuses {
            target.open();
        }
        target
    }

    /// Accepts connections from now on.
    ///
    /// # Panics
    /// When it cannot listen.
    pub(crate) fn open(&mut self) {
        let Some(reserved) = self.reserved.take() else {
            return;
        };
        let arrivals = self.arrivals.clone();
        let observer = move |request: &[u8]| {
            let arrival = (number(request), Instant::now());
            lock(&arrivals).push(arrival);
        };
        let script = Script::from(self.behavior.reply());
        let script = match self.behavior {
            Behavior::HealthyButOnePath => script.at("/evil500", Behavior::Fails.reply()),
            _ => script,
        };
        self.target = Some(reserved.open_observed(script, observer));
    }

    /// What has arrived so far.
    pub(crate) fn arrivals(&self) -> Arrivals {
        lock(&self.arrivals).clone()
    }

    /// How many requests have arrived.
    pub(crate) fn count(&self) -> usize {
        lock(&self.arrivals).len()
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> std::sync::MutexGuard<'_, Arrivals> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number in a callback's body; see [`super::body`].
fn number(message: &[u8]) -> usize {
    const FIELD: &[u8] = b"\"number\":";
    let field = message.windows(FIELD.len()).position(|it| it == FIELD);
    let digits = field.map_or(&[][..], |field| &message[field + FIELD.len()..]);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}
