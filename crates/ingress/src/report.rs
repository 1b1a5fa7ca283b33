//! Turns a callback of the journal into the report that its caller gets.

use contract::{Answer, CallbackStatus, Overdue, Report, ReportAttempt};
use journal::{AttemptRecord, Callback};

/// The answer for a status, the same as that of its report.
pub(crate) const fn answer_for(status: CallbackStatus) -> Answer {
    match status {
        CallbackStatus::Delivered => Answer::Accepted,
        // Nothing says that an unaccounted callback has failed.
        CallbackStatus::Queued
        | CallbackStatus::Delivering
        | CallbackStatus::Retrying
        | CallbackStatus::Unaccounted => Answer::Retrying,
        CallbackStatus::Dead | CallbackStatus::Expired | CallbackStatus::Cancelled => {
            Answer::Failed
        }
    }
}

/// The report at `now`, Unix ms; `held`: a process is known to hold the callback. Of an unaccounted
/// one it says what was last known.
pub(crate) fn to_report(callback: &Callback, held: bool, now: u64) -> Report {
    let origin = &callback.origin;
    let open = callback.status.is_unfinished();
    Report {
        request_id: origin.request_id,
        status: callback.last_known_status(held),
        reason: callback.reason.clone(),
        created_at: origin.accepted_at,
        next_attempt_at: callback.next_attempt_at.filter(|_| open),
        overdue: callback.overdue_since(now).map(|since| Overdue {
            since,
            seconds: now.saturating_sub(since) / 1_000,
        }),
        app_id: origin.app_id.clone(),
        caller_no: origin.caller_no.clone(),
        callee_no: origin.callee_no.clone(),
        callback_url: origin.callback_url.clone(),
        message_type: origin.message_type.clone(),
        attempts: callback.attempts.iter().map(to_report_attempt).collect(),
    }
}

fn to_report_attempt(attempt: &AttemptRecord) -> ReportAttempt {
    ReportAttempt {
        number: attempt.number,
        started_at: attempt.started_at,
        duration_ms: attempt.duration_ms,
        outcome: attempt.outcome.clone(),
        http_status: attempt.http_status,
        detail: attempt.detail.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use journal::{Origin, Unaccounted};
    use uuid::Uuid;

    pub(crate) fn callback(status: CallbackStatus) -> Callback {
        Callback {
            origin: Origin {
                request_id: Uuid::now_v7(),
                app_id: "a".to_owned(),
                caller_no: None,
                callee_no: Some("EO001".to_owned()),
                message_type: "m".to_owned(),
                callback_url: None,
                target: "https://x.cn:443".to_owned(),
                accepted_at: 1_000,
            },
            generation: 0,
            status,
            reason: None,
            deferred_reason: None,
            next_attempt_at: Some(5_000),
            cancel_requested: false,
            cancel_requested_at: None,
            discarded: false,
            discarded_by_retention: false,
            updated_at: 2_000,
            unaccounted: None,
            hold: 0,
            has_message: false,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn the_report_and_the_answer_to_a_wait_agree_on_every_status() {
        for status in CallbackStatus::ALL {
            let report = to_report(&callback(status), false, 4_000);
            if status != CallbackStatus::Unaccounted {
                assert_eq!(report.status, status);
            }
            assert_eq!(report.answer(), answer_for(status), "{status}");
        }
    }

    #[test]
    fn the_caller_of_an_unaccounted_callback_hears_what_was_last_known() {
        let last_known = [CallbackStatus::Queued, CallbackStatus::Retrying];
        for (last_status, now) in last_known.into_iter().zip([4_000, 900_000]) {
            let mut unaccounted = callback(CallbackStatus::Unaccounted);
            unaccounted.unaccounted = Some(Unaccounted {
                last_status,
                since: 800_000,
            });
            let report = to_report(&unaccounted, true, now);
            assert_eq!(report.status, last_status, "never that it is delivered now");
            assert_eq!(report.answer(), Answer::Retrying);
            assert_eq!(report.next_attempt_at, None);
        }
    }

    #[test]
    fn only_an_open_callback_has_a_next_attempt() {
        for status in CallbackStatus::ALL {
            let report = to_report(&callback(status), false, 4_000);
            let expected = status.is_unfinished().then_some(5_000);
            assert_eq!(report.next_attempt_at, expected, "{status}");
        }
        // Due: it is being delivered if a process holds it, and waits if none is known to.
        let due = to_report(&callback(CallbackStatus::Queued), false, 5_000);
        assert_eq!(due.status, CallbackStatus::Queued);
        let held = to_report(&callback(CallbackStatus::Queued), true, 5_000);
        assert_eq!(held.status, CallbackStatus::Delivering);
        assert_eq!(due.overdue, None);
        let later = to_report(&callback(CallbackStatus::Queued), false, 5_000 + 300_000);
        let overdue = Overdue {
            since: 5_000,
            seconds: 300,
        };
        assert_eq!(later.overdue, Some(overdue));
        let dead = to_report(&callback(CallbackStatus::Dead), true, 5_000);
        assert_eq!(dead.status, CallbackStatus::Dead);
    }
}
