//! What is wrong with single objects of the broker while its connections are up, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is wrong with one object of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The exchange or queue does not exist.
    Missing,
    /// The queue did not answer the check of the topology in time.
    Unanswered,
    /// The queue has not confirmed a publish within its deadline: further ones are refused.
    Unconfirmed,
    /// The queue has nacked all publishes for a while.
    Nacked,
    /// The queue cannot be consumed.
    NotConsumed,
    /// Messages are ready in the queue, and its consumer receives none.
    Silent,
}

impl FaultKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unanswered => "not answering",
            Self::Unconfirmed => "not confirming publishes",
            Self::Nacked => "nacking publishes",
            Self::NotConsumed => "not consumed",
            Self::Silent => "ready but not delivered",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultEvent {
    /// A publish was nacked.
    Nack,
    /// A publish passed its deadline without a confirm.
    Overdue,
    /// A publish was confirmed after its deadline: its caller was told "unknown", and it is durable.
    LateConfirm,
    /// A consumer connected anew because it received nothing.
    SilentConsumer,
    /// A missing object was declared again.
    Declared,
}

/// The faults at present, and what has been counted since the start. Bounded by the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerFaults {
    active: BTreeSet<(FaultKind, String)>,
    counts: BTreeMap<(FaultEvent, &'static str), u64>,
}

impl BrokerFaults {
    /// Whether there is none at present.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// How often each event has happened, also if never, with the name of the queue without its prefix.
    pub fn counts(&self) -> impl Iterator<Item = (FaultEvent, &'static str, u64)> {
        let counts = self.counts.iter();
        counts.map(|((event, queue), count)| (*event, *queue, *count))
    }

    /// Sets a fault, or takes it back. Whether that is a change.
    pub(crate) fn set(&mut self, kind: FaultKind, object: &str, present: bool) -> bool {
        match present {
            true => self.active.insert((kind, object.to_owned())),
            false => self.active.remove(&(kind, object.to_owned())),
        }
    }

    /// Nothing has happened to these queues yet. The counts have an entry for each.
    pub(crate) fn expect(&mut self, event: FaultEvent, queues: impl Iterator<Item = &'static str>) {
        for queue in queues {
            self.counts.entry((event, queue)).or_default();
        }
    }

    pub(crate) fn count(&mut self, event: FaultEvent, queue: &'static str) {
        *self.counts.entry((event, queue)).or_default() += 1;
    }
}

/// For instance `missing: delay.05, in; nacking publishes: first`.
impl fmt::Display for BrokerFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for (kind, object) in &self.active {
            let before = match last {
                Some(last) if last == *kind => ", ".to_owned(),
                Some(_) => format!("; {}: ", kind.as_str()),
                None => format!("{}: ", kind.as_str()),
            };
            write!(f, "{before}{object}")?;
            last = Some(*kind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_shown_by_kind_and_taken_back_one_by_one() {
        let mut faults = BrokerFaults::default();
        assert!(faults.is_empty() && faults.to_string().is_empty());
        assert!(faults.set(FaultKind::Nacked, "first", true));
        assert!(faults.set(FaultKind::Missing, "in", true));
        assert!(faults.set(FaultKind::Missing, "delay.05", true));
        assert!(!faults.set(FaultKind::Missing, "in", true));
        let shown = "missing: delay.05, in; nacking publishes: first";
        assert_eq!(faults.to_string(), shown);
        assert!(faults.set(FaultKind::Missing, "in", false));
        assert!(!faults.set(FaultKind::Missing, "in", false));
        let shown = "missing: delay.05; nacking publishes: first";
        assert_eq!(faults.to_string(), shown);
    }

    #[test]
    fn events_are_counted_by_queue() {
        let mut faults = BrokerFaults::default();
        faults.count(FaultEvent::Nack, "first");
        faults.count(FaultEvent::Nack, "first");
        faults.count(FaultEvent::Nack, "dead");
        let counts: Vec<_> = faults.counts().collect();
        let expected = [
            (FaultEvent::Nack, "dead", 1),
            (FaultEvent::Nack, "first", 2),
        ];
        assert_eq!(counts, expected);
    }
}
