//! Decides by evidence whether an overdue callback is unaccounted. Pure: all times are arguments.
//!
//! `docs/decisions/0038-*.md` has the proof, and what it assumes.

use std::time::Duration;

/// When the evidence is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// `journal.unaccounted_after`.
    pub(super) after: Duration,
    /// The longest time that a dispatcher holds a message.
    pub(super) hold: Duration,
}

/// The row of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowFacts {
    /// Unix ms.
    pub(super) due_at: u64,
    /// Its callee or its target is paused, or deliveries are stopped.
    pub(super) paused: bool,
}

/// A time since the start of the round, by a clock that is never set.
pub(super) type Moment = Duration;

/// A pair of probes, one in each work queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbePair {
    /// Before they were published.
    pub(super) sent: Moment,
    /// When both had come out of their queues.
    pub(super) answered: Moment,
}

/// How many messages wait in the queues that no attempt reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StrayMessages {
    /// A queue did not answer.
    Unknown,
    /// None: `delivery_limit`, `unrouted` and `unreadable` are empty.
    None,
    Some,
}

impl StrayMessages {
    pub(super) const fn obstacle(self) -> Option<Obstacle> {
        match self {
            Self::Unknown => Some(Obstacle::UnknownDepth),
            Self::None => None,
            Self::Some => Some(Obstacle::StrayMessages),
        }
    }
}

/// What a round has found in RabbitMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueEvidence {
    /// When the rows had been read.
    pub(super) chosen: Moment,
    pub(super) probes: [ProbePair; 2],
    /// Whether the broker took messages all the time. If not, dispatchers may hold what they cannot
    /// settle.
    pub(super) uninterrupted: bool,
    /// When what follows was read.
    pub(super) looked: Moment,
    pub(super) stray: StrayMessages,
    /// When a complete reading of the dead-letter queue began.
    pub(super) dead_letters_read: Option<Moment>,
    /// When the last hold had ended, Unix ms.
    pub(super) settled_at: u64,
    /// Every record that was handed over before this time is in the journal, Unix ms.
    pub(super) complete_until: Option<u64>,
}

/// What a round has found in the embedded store, of one callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreEvidence {
    /// Whether the store has a message of it. `None`: it could not be read.
    pub(super) held: Option<bool>,
    /// Whether all records that were buffered when the store was read are in the journal.
    pub(super) records_written: bool,
}

/// What a round has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    Queues(QueueEvidence),
    Store(StoreEvidence),
}

/// What leaves the end of a callback open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It is not due for long enough.
    NotOverdue,
    /// Paused messages are not attempted.
    Paused,
    /// The connection to the broker was lost or blocked.
    Interrupted,
    /// This process has no queue for the answers to probes.
    NoReplies,
    /// A probe has not come out of its queue: no dispatcher reads it, or much waits before it.
    NotAnswered,
    /// A dispatcher may hold its message.
    MayBeHeld,
    /// The depth of a queue is unknown.
    UnknownDepth,
    /// Messages wait in a queue that no attempt reads, and any could be its.
    StrayMessages,
    /// Its message may be in the dead-letter queue.
    DeadLettersUnread,
    /// Records may be on their way into the journal.
    JournalIncomplete,
    /// The embedded store could not be read.
    StoreUnread,
    /// The embedded store has its message.
    Held,
    /// Another process does this work now.
    LeaseLost,
}

impl Obstacle {
    /// In words, for the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotOverdue => "not overdue",
            Self::Paused => "its callee or target is paused, or deliveries are stopped",
            Self::Interrupted => "the connection to the broker was lost or blocked",
            Self::NoReplies => {
                "this process has no queue for replies (its user must be allowed to create them)"
            }
            Self::NotAnswered => "a probe has not come out of its queue",
            Self::MayBeHeld => "a dispatcher may hold its message",
            Self::UnknownDepth => "the depth of a queue is unknown",
            Self::StrayMessages => {
                "messages wait in delivery_limit, unrouted or unreadable, and any could be its"
            }
            Self::DeadLettersUnread => "the dead-letter queue could not be read",
            Self::JournalIncomplete => "records may be on their way into the journal",
            Self::StoreUnread => "the store could not be read",
            Self::Held => "the store has its message",
            Self::LeaseLost => "another process does this work now",
        }
    }
}

/// What leaves the end of the callback open at `now` (Unix ms). `None`: it is unaccounted.
pub(super) fn find_obstacle(
    row: RowFacts,
    evidence: &Evidence,
    rule: Rule,
    now: u64,
) -> Option<Obstacle> {
    let overdue_by = now.saturating_sub(row.due_at);
    if overdue_by <= contract::duration_ms(rule.after) {
        return Some(Obstacle::NotOverdue);
    }
    if row.paused {
        return Some(Obstacle::Paused);
    }
    match evidence {
        Evidence::Queues(queues) => in_queues(queues, rule.hold),
        Evidence::Store(store) => in_store(*store),
    }
}

fn in_queues(evidence: &QueueEvidence, hold: Duration) -> Option<Obstacle> {
    let [first, second] = evidence.probes;
    let answered = first.sent <= first.answered && second.sent <= second.answered;
    if first.sent < evidence.chosen || !answered {
        return Some(Obstacle::NotAnswered);
    }
    if !evidence.uninterrupted {
        return Some(Obstacle::Interrupted);
    }
    // What was ready at the first pair has been received since. After the first hold it is settled,
    // or was returned to the head of its queue and received before the second pair.
    let settled = second.answered.saturating_add(hold);
    if second.sent < first.answered.saturating_add(hold) || evidence.looked < settled {
        return Some(Obstacle::MayBeHeld);
    }
    if let Some(obstacle) = evidence.stray.obstacle() {
        return Some(obstacle);
    }
    if evidence.dead_letters_read.is_none_or(|read| read < settled) {
        return Some(Obstacle::DeadLettersUnread);
    }
    let complete = evidence
        .complete_until
        .is_some_and(|until| until >= evidence.settled_at);
    (!complete).then_some(Obstacle::JournalIncomplete)
}

fn in_store(evidence: StoreEvidence) -> Option<Obstacle> {
    match evidence.held {
        None => Some(Obstacle::StoreUnread),
        Some(true) => Some(Obstacle::Held),
        Some(false) if !evidence.records_written => Some(Obstacle::JournalIncomplete),
        Some(false) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const RULE: Rule = Rule {
        after: Duration::from_secs(1_000),
        hold: Duration::from_secs(100),
    };
    const ROW: RowFacts = RowFacts {
        due_at: NOW - 1_000_001,
        paused: false,
    };
    const ENOUGH: QueueEvidence = QueueEvidence {
        chosen: secs(1),
        probes: [pair(1, 2), pair(102, 103)],
        uninterrupted: true,
        looked: secs(203),
        stray: StrayMessages::None,
        dead_letters_read: Some(secs(203)),
        settled_at: NOW - 5_000,
        complete_until: Some(NOW - 5_000),
    };
    const ABSENT: StoreEvidence = StoreEvidence {
        held: Some(false),
        records_written: true,
    };

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn pair(sent: u64, answered: u64) -> ProbePair {
        ProbePair {
            sent: secs(sent),
            answered: secs(answered),
        }
    }

    fn of(row: RowFacts, evidence: Evidence) -> Option<Obstacle> {
        find_obstacle(row, &evidence, RULE, NOW)
    }

    #[test]
    fn with_all_evidence_a_callback_is_unaccounted() {
        assert_eq!(of(ROW, Evidence::Queues(ENOUGH)), None);
        assert_eq!(of(ROW, Evidence::Store(ABSENT)), None);
    }

    #[test]
    fn each_missing_piece_of_evidence_is_an_obstacle() {
        let due_at = NOW - 1_000_000;
        for evidence in [Evidence::Queues(ENOUGH), Evidence::Store(ABSENT)] {
            let not_yet = RowFacts { due_at, ..ROW };
            assert_eq!(of(not_yet, evidence), Some(Obstacle::NotOverdue));
            let later = RowFacts {
                due_at: NOW + 1,
                ..ROW
            };
            assert_eq!(of(later, evidence), Some(Obstacle::NotOverdue));
            let paused = RowFacts {
                paused: true,
                ..ROW
            };
            assert_eq!(of(paused, evidence), Some(Obstacle::Paused));
        }
        let probes = |probes| QueueEvidence { probes, ..ENOUGH };
        let stray = |stray| QueueEvidence { stray, ..ENOUGH };
        for (evidence, obstacle) in [
            (
                QueueEvidence {
                    chosen: secs(2),
                    ..ENOUGH
                },
                Obstacle::NotAnswered,
            ),
            (probes([pair(3, 2), pair(102, 103)]), Obstacle::NotAnswered),
            (probes([pair(1, 3), pair(102, 103)]), Obstacle::MayBeHeld),
            (probes([pair(1, 2), pair(102, 104)]), Obstacle::MayBeHeld),
            (
                QueueEvidence {
                    uninterrupted: false,
                    ..ENOUGH
                },
                Obstacle::Interrupted,
            ),
            (
                QueueEvidence {
                    looked: secs(202),
                    ..ENOUGH
                },
                Obstacle::MayBeHeld,
            ),
            (stray(StrayMessages::Unknown), Obstacle::UnknownDepth),
            (stray(StrayMessages::Some), Obstacle::StrayMessages),
            (
                QueueEvidence {
                    dead_letters_read: None,
                    ..ENOUGH
                },
                Obstacle::DeadLettersUnread,
            ),
            (
                QueueEvidence {
                    dead_letters_read: Some(secs(202)),
                    ..ENOUGH
                },
                Obstacle::DeadLettersUnread,
            ),
            (
                QueueEvidence {
                    complete_until: None,
                    ..ENOUGH
                },
                Obstacle::JournalIncomplete,
            ),
            (
                QueueEvidence {
                    complete_until: Some(NOW - 5_001),
                    ..ENOUGH
                },
                Obstacle::JournalIncomplete,
            ),
        ] {
            assert_eq!(of(ROW, Evidence::Queues(evidence)), Some(obstacle));
            assert!(!obstacle.as_str().is_empty());
        }
        for (held, records_written, obstacle) in [
            (None, true, Obstacle::StoreUnread),
            (Some(true), true, Obstacle::Held),
            (Some(false), false, Obstacle::JournalIncomplete),
        ] {
            let evidence = StoreEvidence {
                held,
                records_written,
            };
            assert_eq!(of(ROW, Evidence::Store(evidence)), Some(obstacle));
        }
    }

    fn evidence() -> impl Strategy<Value = QueueEvidence> {
        let moment = || (0_u64..400).prop_map(secs);
        let pair =
            || (moment(), moment()).prop_map(|(sent, answered)| ProbePair { sent, answered });
        let stray = prop_oneof![
            Just(StrayMessages::Unknown),
            Just(StrayMessages::None),
            Just(StrayMessages::Some)
        ];
        let read = proptest::option::of(moment());
        let until = proptest::option::of(NOW - 10..NOW);
        let parts = (moment(), [pair(), pair()], any::<bool>(), moment());
        (parts, stray, read, NOW - 10..NOW, until).prop_map(
            |((chosen, probes, uninterrupted, looked), stray, dead_letters_read, at, until)| {
                QueueEvidence {
                    chosen,
                    probes,
                    uninterrupted,
                    looked,
                    stray,
                    dead_letters_read,
                    settled_at: at,
                    complete_until: until,
                }
            },
        )
    }

    proptest! {
        /// A message that was ready when the rows were read is received before the first probe, may be
        /// returned once, and is received again before the second. Whenever the evidence is enough, it
        /// has been settled.
        #[test]
        fn evidence_is_enough_only_when_every_message_has_been_settled(
            [chosen, wait, first, gap, second, after] in prop::array::uniform6(0_u64..160),
            held in prop::array::uniform2(0..=RULE.hold.as_secs()),
            [early, late] in prop::array::uniform2(0_u64..400),
        ) {
            let sent = chosen + wait;
            let probes = [pair(sent, sent + first), pair(sent + first + gap, sent + first + gap + second)];
            let looked = probes[1].answered + secs(after);
            let evidence = QueueEvidence {
                chosen: secs(chosen),
                probes,
                looked,
                dead_letters_read: Some(looked),
                ..ENOUGH
            };
            // Queues are first in, first out: it comes out before what was sent while it was ready.
            let received = secs(chosen + early).min(probes[0].answered);
            // What is returned goes to the head of its queue.
            let returned = received + secs(held[0]);
            let mut again = returned + secs(late);
            for probe in probes {
                if returned <= probe.sent {
                    again = again.min(probe.answered.max(returned));
                }
            }
            let settled = again + secs(held[1]);
            if of(ROW, Evidence::Queues(evidence)).is_none() {
                prop_assert!(settled <= looked, "{evidence:?}: settled at {settled:?}");
            }
        }

        /// No part of it can be left out.
        #[test]
        fn evidence_is_enough_only_as_a_whole(evidence in evidence()) {
            let enough = of(ROW, Evidence::Queues(evidence)).is_none();
            let [first, second] = evidence.probes;
            let whole = evidence.chosen <= first.sent
                && first.sent <= first.answered
                && first.answered + RULE.hold <= second.sent
                && second.sent <= second.answered
                && second.answered + RULE.hold <= evidence.looked
                && evidence.uninterrupted
                && evidence.stray == StrayMessages::None
                && evidence.dead_letters_read.is_some_and(|read| read >= second.answered + RULE.hold)
                && evidence.complete_until.is_some_and(|until| until >= evidence.settled_at);
            prop_assert_eq!(enough, whole);
        }
    }
}
