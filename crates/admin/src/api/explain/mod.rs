//! Explains in plain words why a callback waits or has ended, and what happens next.
//!
//! - `facts.rs`: what is known of it besides its row
//! - `waiting.rs`: what an unfinished one waits for
//! - `ended.rs`: why one has ended: what spent its attempts, who cancelled it

mod ended;
pub(super) mod facts;
mod waiting;

use contract::CallbackStatus;
use journal::{Callback, Unaccounted};

use facts::CallbackFacts;

use crate::doctor::said::{Said, say};

pub(crate) use waiting::deferral_reason;
pub(super) use waiting::queue_name;

/// A few sentences on the callback's state at `now`, Unix ms.
pub(super) fn explain(callback: &Callback, facts: &CallbackFacts, now: u64) -> Said {
    let text = match callback.status {
        CallbackStatus::Delivered => say!(
            "The target accepted it; nothing more happens.",
            "目标已接受，不会再有任何处理。"
        ),
        CallbackStatus::Expired => ended::expired(callback, facts),
        CallbackStatus::Dead => ended::dead(callback, facts),
        CallbackStatus::Cancelled => ended::cancelled(facts),
        CallbackStatus::Delivering | CallbackStatus::Queued | CallbackStatus::Retrying => {
            Said::join(&waiting::sentences(callback, facts, now), " ", "")
        }
        CallbackStatus::Unaccounted => unaccounted(callback),
    };
    match callback.cancel_requested && callback.status.is_unfinished() {
        true => say!(
            "{0}{1}",
            "{0}{1}",
            text,
            ended::about_to_be_cancelled(facts)
        ),
        false => text,
    }
}

fn unaccounted(callback: &Callback) -> Said {
    let (last, since) = match callback.unaccounted {
        Some(Unaccounted { last_status, since }) => {
            let since = contract::rfc3339(since);
            (last_status, say!(" since {since}", "（自 {since} 起）"))
        }
        None => (CallbackStatus::Queued, Said::default()),
    };
    let due = match callback.next_attempt_at {
        Some(at) => {
            let at = contract::rfc3339(at);
            say!(", due at {at}", "，到期时间 {at}")
        }
        None => Said::default(),
    };
    say!(
        "It is unaccounted for{0}: no queue and no dispatcher holds its message, and no record \
         says how it ended. Last it was {last}{1}. It may have been delivered: ask its target for \
         this webhook-id. It cannot be replayed, because no body is left; if the target lacks it, its \
         caller must send it again. A late record of it still counts.",
        "下落不明{0}：没有队列或 dispatcher 持有其消息，也没有记录说明其结果。最后的状态为 {last}{1}。它可能已送达：\
         请用此 webhook-id 向其目标查询。消息体已不存在，无法重放；如果目标没有收到，调用方必须重新发送。迟到的记录仍然有效。",
        since,
        due
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use delivery::limits::DeferReason;
    use journal::{AttemptRecord, Origin};

    use super::facts::{Asked, DueQueue, Holder, TargetFacts};
    use super::*;
    use crate::doctor::said::Spoken as _;

    const NOW: u64 = 1_763_900_000_000;

    pub(super) fn callback(status: CallbackStatus) -> Callback {
        Callback {
            origin: Origin {
                request_id: uuid::Uuid::nil(),
                app_id: "demo".to_owned(),
                caller_no: None,
                callee_no: None,
                message_type: "hello".to_owned(),
                callback_url: Some("https://h.example/x?***".to_owned()),
                target: "https://h.example:443".to_owned(),
                accepted_at: NOW - 10_000,
            },
            generation: 0,
            status,
            reason: None,
            deferred_reason: None,
            next_attempt_at: None,
            cancel_requested: false,
            cancel_requested_at: None,
            discarded: false,
            discarded_by_retention: false,
            updated_at: NOW - 5_000,
            unaccounted: None,
            hold: 0,
            has_message: false,
            attempts: Vec::new(),
        }
    }

    pub(super) fn attempt(number: u32) -> AttemptRecord {
        AttemptRecord {
            generation: 0,
            number,
            run: 1,
            started_at: NOW - 6_000,
            duration_ms: 12,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            detail: None,
            cause: None,
            answer: None,
        }
    }

    /// The explanation in English. There is one in Chinese.
    fn in_both(callback: &Callback, facts: &CallbackFacts, now: u64) -> String {
        let said = explain(callback, facts, now);
        let is_chinese = |char| ('\u{4e00}'..='\u{9fff}').contains(&char);
        assert!(said.chinese().chars().any(is_chinese), "{said:?}");
        said.english()
    }

    /// The explanation of one that nobody was asked about.
    fn unasked(callback: &Callback) -> String {
        in_both(callback, &CallbackFacts::default(), NOW)
    }

    /// Three processes have answered, one of them a dispatcher, and none holds it.
    fn facts() -> CallbackFacts {
        CallbackFacts {
            asked: Some(Asked {
                answered: 3,
                silent: Vec::new(),
                complete: true,
                dispatchers: 1,
            }),
            queue: DueQueue {
                ready: Some(7),
                ..DueQueue::default()
            },
            ..CallbackFacts::default()
        }
    }

    /// One whose next attempt is due since five seconds.
    fn due() -> Callback {
        let mut due = callback(CallbackStatus::Retrying);
        due.next_attempt_at = Some(NOW - 5_000);
        due
    }

    #[test]
    fn a_failed_attempt_is_shown_with_the_time_of_the_next() {
        let mut retrying = callback(CallbackStatus::Retrying);
        retrying.attempts.push(attempt(2));
        retrying.next_attempt_at = Some(NOW + 123_400);
        assert_eq!(
            unasked(&retrying),
            "Attempt 2 failed at 2025-11-23T12:13:14.012Z (answered_5xx 503). \
             The next attempt is at 2025-11-23T12:15:23.400Z (in 2m 3s)."
        );
        let last = retrying.attempts.last_mut().unwrap();
        last.http_status = None;
        last.outcome = "tls".to_owned();
        last.cause = Some("certificate expired".to_owned());
        let text = unasked(&retrying);
        assert!(text.contains("(tls: certificate expired)"), "{text}");
        // An attempt of an earlier generation is not the one that failed.
        retrying.generation = 1;
        assert!(unasked(&retrying).starts_with("The last attempt failed."));
    }

    #[test]
    fn a_waiting_callback_says_what_it_waits_for() {
        let mut waiting = callback(CallbackStatus::Queued);
        let text = unasked(&waiting);
        assert!(text.starts_with("Its first attempt is due since"), "{text}");
        waiting.generation = 1;
        assert!(unasked(&waiting).contains("was replayed"));
        waiting.next_attempt_at = Some(NOW + 500);
        assert!(unasked(&waiting).contains("asked for a delay"));
        assert!(unasked(&waiting).contains("(now)"));
        for (reason, words) in [
            ("resolver_down", "no name server answers (resolver_down)"),
            ("paused", "ringback resume"),
            (DeferReason::RetryAfter.as_str(), "Retry-After"),
            ("new\u{1b}\nword", "It is deferred: new\\u{1b} word."),
        ] {
            waiting.deferred_reason = Some(reason.to_owned());
            let text = unasked(&waiting);
            assert!(text.contains(words), "{text}");
            assert!(text.contains("spends no attempt"), "{text}");
        }
        waiting.cancel_requested = true;
        assert!(unasked(&waiting).contains("Cancellation was requested"));
    }

    #[test]
    fn who_holds_a_callback_is_named_with_what_it_does() {
        for (in_flight, words) in [
            (
                true,
                "Attempt 2 is in flight at dispatcher h:7 since 2025-11-23T12:13:16.000Z (4s ago).",
            ),
            (
                false,
                "dispatcher h:7 holds it since 2025-11-23T12:13:16.000Z (4s ago), for attempt 2 from \
                 the queue `retry`: it waits for a permit there, or its record is being written.",
            ),
        ] {
            let holder = Holder {
                process: "dispatcher h:7".to_owned(),
                since: NOW - 4_000,
                queue: "retry".to_owned(),
                attempt: 2,
                in_flight,
            };
            let mut facts = CallbackFacts {
                holder: Some(holder),
                ..facts()
            };
            assert_eq!(in_both(&due(), &facts, NOW), words);
            facts.target = Some(TargetFacts {
                waiting: 30,
                per_second: Some(2.0),
                ..TargetFacts::default()
            });
            let estimate = "30 callbacks wait in memory for its target, which takes about 2.0 per \
                            second: that is 15s, an estimate.";
            assert_eq!(in_both(&due(), &facts, NOW).contains(estimate), !in_flight);
            facts.target.as_mut().unwrap().per_second = None;
            let unknown = "how long that takes is not known";
            assert_eq!(in_both(&due(), &facts, NOW).contains(unknown), !in_flight);
        }
    }

    #[test]
    fn what_is_due_and_held_by_nobody_says_what_stands_in_its_way() {
        type Change = fn(&mut CallbackFacts);
        let cases: [(Change, &[&str], &[&str]); 13] = [
            (
                |_| (),
                &[
                    "due since 2025-11-23T12:13:15.000Z (5s ago): it waits, none of the 3 processes that \
                     answered holds it.",
                    "7 are ready in the queue `retry`; how many of them are before it is not known",
                ],
                &["in flight", "behind", "No dispatcher"],
            ),
            (
                |facts| facts.queue.oldest_due = Some(Duration::from_millis(62_700)),
                &["the oldest due one has waited for 1m 2s"],
                &["not known"],
            ),
            (
                |facts| (facts.queue.all_ready, facts.queue.per_second) = (Some(90), Some(20.0)),
                &[
                    "At the pace of the last five minutes (20 per second in all processes) the 90 that \
                     are ready in all queues take about 5s: an estimate.",
                ],
                &["How long"],
            ),
            (
                |facts| facts.queue.all_ready = Some(90),
                &["How long that takes is not known, because no call was made"],
                &["estimate"],
            ),
            (
                |facts| facts.queue.ready = Some(0),
                &["`retry` has nothing ready"],
                &["free slot"],
            ),
            (
                |facts| facts.queue.ready = None,
                &["How many wait in the queue `retry` is not known"],
                &[],
            ),
            (
                |facts| {
                    let asked = facts.asked.as_mut().unwrap();
                    asked.silent = vec!["dispatcher h:8".to_owned()];
                },
                &["and 1 that may hold it did not answer (dispatcher h:8)."],
                &["it waits,"],
            ),
            (
                |facts| facts.asked.as_mut().unwrap().complete = false,
                &["whether a process holds it is not known"],
                &["none of", "No dispatcher"],
            ),
            (
                |facts| {
                    let asked = facts.asked.as_mut().unwrap();
                    (asked.answered, asked.dispatchers) = (1, 0);
                },
                &[
                    "the one process that answered does not hold it",
                    "No dispatcher answers, so nothing is attempted: start one (`ringback dispatcher`)",
                ],
                &["free slot"],
            ),
            (
                |facts| facts.broker = Some("blocked: low on memory".to_owned()),
                &["The broker cannot be used (blocked: low on memory)"],
                &["free slot"],
            ),
            (
                |facts| facts.faults = Some("missing: due".to_owned()),
                &["at fault (missing: due): `ringback topology --check`"],
                &["free slot"],
            ),
            (
                |facts| facts.unwritten = Some(1_234),
                &[
                    "The journal is behind: 1234 batches",
                    "may have been attempted already",
                ],
                &[],
            ),
            (
                |facts| facts.pauses = vec!["Deliveries are stopped by ann.".into()],
                &["Deliveries are stopped by ann."],
                &[],
            ),
        ];
        for (change, present, absent) in cases {
            let mut facts = facts();
            change(&mut facts);
            let text = in_both(&due(), &facts, NOW);
            for words in present {
                assert!(text.contains(words), "{words}\n{text}");
            }
            for words in absent {
                assert!(!text.contains(words), "{words}\n{text}");
            }
        }
    }

    #[test]
    fn a_deferral_says_how_the_target_is_now() {
        let mut deferred = callback(CallbackStatus::Queued);
        deferred.next_attempt_at = Some(NOW + 20_000);
        deferred.deferred_reason = Some("breaker_open".to_owned());
        let text = in_both(&deferred, &facts(), NOW);
        assert!(
            text.contains("How its target is now is not known"),
            "{text}"
        );
        let open = TargetFacts {
            breaker: "open".to_owned(),
            breaker_reason: Some("12 of 20 calls failed".to_owned()),
            probe_in: Some(Duration::from_millis(12_300)),
            last_error: Some(("timeout: no answer within 15 s".to_owned(), NOW - 1_000)),
            ..TargetFacts::default()
        };
        let closed = TargetFacts {
            breaker: "closed".to_owned(),
            in_flight: 32,
            waiting: 4,
            retry_after: Some(Duration::from_secs(43)),
            ..TargetFacts::default()
        };
        for (target, reason, words) in [
            (
                &open,
                "breaker_open",
                "The circuit breaker of its target is open: 12 of 20 calls failed; the next probe is in \
                 12s; the last error was at 2025-11-23T12:13:19.000Z: timeout: no answer within 15 s.",
            ),
            (
                &closed,
                "breaker_open",
                "The circuit breaker is closed again by now.",
            ),
            (
                &closed,
                "retry_after",
                "Retry-After to be left alone until 2025-11-23T12:14:03.000Z (in 43s).",
            ),
            (
                &closed,
                "in_flight",
                "32 calls in flight, and 4 callbacks wait",
            ),
        ] {
            deferred.deferred_reason = Some(reason.to_owned());
            let facts = CallbackFacts {
                target: Some(target.clone()),
                ..facts()
            };
            let text = in_both(&deferred, &facts, NOW);
            assert!(text.contains(words), "{text}");
        }
        // It may be another app's.
        deferred.deferred_reason = None;
        let facts = CallbackFacts {
            target: Some(TargetFacts {
                breaker_apps: Some(1),
                ..open
            }),
            ..facts()
        };
        let text = in_both(&deferred, &facts, NOW);
        assert!(text.contains("is open for one app: 12 of 20"), "{text}");
    }

    #[test]
    fn an_overdue_callback_is_not_said_to_be_in_flight() {
        for (status, next_attempt_at) in [
            (CallbackStatus::Queued, None),
            (CallbackStatus::Queued, Some(NOW - 5_000)),
            (CallbackStatus::Retrying, Some(NOW - 5_000)),
        ] {
            let mut overdue = callback(status);
            overdue.next_attempt_at = next_attempt_at;
            for facts in [CallbackFacts::default(), facts()] {
                let text = in_both(&overdue, &facts, NOW);
                assert!(!text.contains("overdue"), "{text}");
                let text = in_both(&overdue, &facts, NOW + 295_000);
                assert!(text.contains("12:13:15.000Z (5m ago)"), "{text}");
                assert!(text.contains("purged"), "{text}");
                assert!(!text.contains("in flight"), "{text}");
            }
        }
    }

    #[test]
    fn an_unaccounted_callback_says_what_was_last_known_and_what_can_be_done() {
        let mut lost = callback(CallbackStatus::Unaccounted);
        lost.next_attempt_at = Some(NOW - 123_400);
        lost.unaccounted = Some(Unaccounted {
            last_status: CallbackStatus::Retrying,
            since: NOW,
        });
        lost.cancel_requested = true;
        let text = unasked(&lost);
        for words in [
            "since 2025-11-23T12:13:20.000Z",
            "Last it was retrying, due at 2025-11-23T12:11:16.600Z",
            "cannot be replayed, because no body is left",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("Cancellation"), "{text}");
    }

    #[test]
    fn every_end_says_what_can_be_done() {
        for (status, words) in [
            (CallbackStatus::Delivered, "accepted it"),
            (CallbackStatus::Expired, "ringback dead-letters replay"),
            (CallbackStatus::Dead, "ringback dead-letters replay"),
            (CallbackStatus::Cancelled, "was cancelled"),
        ] {
            let text = unasked(&callback(status));
            assert!(text.contains(words), "{status}: {text}");
        }
        let mut dead = callback(CallbackStatus::Dead);
        assert!(unasked(&dead).contains("reason is unknown"));
        dead.reason = Some("redirected".to_owned());
        dead.discarded = true;
        dead.cancel_requested = true;
        let text = unasked(&dead);
        assert!(text.contains("redirects are not followed"), "{text}");
        assert!(text.contains("discarded"), "{text}");
        assert!(!text.contains("Cancellation"), "{text}");
    }

    #[test]
    fn chinese_and_other_words_have_a_space_between_them() {
        let is_han = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
        let is_other = |letter: char| letter.is_ascii_alphanumeric() || letter == '`';
        for source in [
            include_str!("ended.rs"),
            include_str!("mod.rs"),
            include_str!("waiting.rs"),
        ] {
            for line in source.lines() {
                let pairs = line.chars().zip(line.chars().skip(1));
                let joined: Vec<(char, char)> = pairs
                    .filter(|(one, next)| {
                        is_han(*one) && is_other(*next) || is_other(*one) && is_han(*next)
                    })
                    .collect();
                assert_eq!(joined, [], "{line}");
            }
        }
    }
}
