//! Why does a callback wait, or not, and what happens next? In plain words.

use super::view::CallbackView;

/// One or two sentences on how the callback stands at `now`, Unix ms.
pub(crate) fn why(callback: &CallbackView, now: u64) -> String {
    let mut said = match callback.status.as_str() {
        "delivered" => "The target has taken it; nothing more happens.".to_owned(),
        "expired" => format!(
            "It was given up because it was older than its caller wanted. {}",
            next_for_dead(callback)
        ),
        "dead" => {
            let reason = callback.reason.as_deref().unwrap_or("unknown");
            let why = given_up_because(reason);
            format!("It was given up: {why}. {}", next_for_dead(callback))
        }
        "cancelled" => "It was withdrawn before it was delivered; nothing more happens.".to_owned(),
        "delivering" => {
            "Its time has come: it is being attempted at this moment, or waits for a free slot."
                .to_owned()
        }
        _ => waits(callback, now),
    };
    let ended = matches!(
        callback.status.as_str(),
        "delivered" | "dead" | "expired" | "cancelled"
    );
    if callback.cancel_requested && !ended {
        said.push_str(" Its withdrawal was asked for: if it comes to wait again, it ends there.");
    }
    said
}

fn next_for_dead(callback: &CallbackView) -> &'static str {
    if callback.discarded {
        "An operator has discarded it; nothing more happens."
    } else {
        "Nothing more happens unless somebody replays it (`ringback dead replay`)."
    }
}

fn waits(callback: &CallbackView, now: u64) -> String {
    let next = |what: &str| match callback.next_attempt_at {
        Some(at) => format!("{what} {} ({}).", contract::rfc3339(at), from_now(at, now)),
        None => format!("{what} the first free slot."),
    };
    let last = callback.attempts.last();
    let of_now = last.filter(|it| it.generation == callback.generation);
    if let Some(word) = &callback.waiting_for {
        let why = set_aside_because(word);
        return format!(
            "It was set aside: {why}. That costs no attempt. {}",
            next("The next try is at")
        );
    }
    if callback.status == "retrying" {
        let failed = match of_now {
            Some(attempt) => {
                let http = attempt.http_status.map(|it| format!(" {it}"));
                let (number, outcome) = (attempt.number, &attempt.outcome);
                let http = http.unwrap_or_default();
                format!("Attempt {number} failed ({outcome}{http}).")
            }
            None => "The last attempt failed.".to_owned(),
        };
        return format!("{failed} {}", next("The next one is at"));
    }
    match (callback.next_attempt_at, callback.generation) {
        (Some(_), _) => next("It was asked to wait. The first attempt is at"),
        (None, 0) => "It waits in the queue for its first attempt.".to_owned(),
        (None, _) => {
            "It was replayed, and waits in the queue for its first new attempt.".to_owned()
        }
    }
}

/// Why a callback was given up, by the reason's word.
pub(crate) fn given_up_because(reason: &str) -> String {
    match reason {
        "exhausted" => "every attempt that it had is spent (exhausted)".to_owned(),
        "rejected" => "the target says that this request will never do (rejected)".to_owned(),
        "redirected" => {
            "the target sends us elsewhere, and redirects are not followed (redirected)".to_owned()
        }
        "address_refused" => {
            "the address guard does not admit the target's address (address_refused)".to_owned()
        }
        "expired" => "it was older than its caller wanted (expired)".to_owned(),
        "delivery_limit" => {
            "it was handed out too often without an end; perhaps it kills its dispatcher \
             (delivery_limit)"
                .to_owned()
        }
        "unknown" => "nobody knows why; the journal has a gap there".to_owned(),
        other => one_line(other),
    }
}

fn set_aside_because(word: &str) -> String {
    match word {
        "not_due" => "it came out of the queue before its time (not_due)".to_owned(),
        "resolver_down" => "no name server answers (resolver_down)".to_owned(),
        "paused" => {
            "an operator (or auto_pause) has paused its target; it goes on some minutes after \
                     `ringback resume` (paused)"
                .to_owned()
        }
        "in_flight" => "its target has as many calls in flight as it may (in_flight)".to_owned(),
        "rate" => "its target has had its calls for this moment (rate)".to_owned(),
        "breaker_open" => {
            "its target fails and is left alone, but for probes (breaker_open)".to_owned()
        }
        "asked_to_wait" => {
            "its target asked to be left alone for a while (asked_to_wait)".to_owned()
        }
        "failed" => "the gateway itself could not make the call (failed)".to_owned(),
        other => one_line(other),
    }
}

/// How far a moment lies ahead, for people: `in 2m 3s`, `now`.
pub(crate) fn from_now(at: u64, now: u64) -> String {
    // Seconds are enough: what is due within one is due now.
    let seconds = at.saturating_sub(now) / 1_000;
    if seconds == 0 {
        return "now".to_owned();
    }
    let wait = std::time::Duration::from_secs(seconds);
    format!("in {}", humantime::format_duration(wait))
}

/// A text of somebody else's, fit for a terminal: one line, no control characters.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::admin::view::AttemptView;

    pub(crate) const NOW: u64 = 1_763_900_000_000;

    pub(crate) fn callback(status: &str) -> CallbackView {
        CallbackView {
            request_id: uuid::Uuid::nil(),
            status: status.to_owned(),
            reason: None,
            why: String::new(),
            waiting_for: None,
            next_attempt_at: None,
            created_at: NOW - 10_000,
            updated_at: NOW - 5_000,
            app_id: "demo".to_owned(),
            caller_no: None,
            callee_no: None,
            callback_url: Some("https://h.example/x?***".to_owned()),
            target: "https://h.example:443".to_owned(),
            message_type: "hello".to_owned(),
            generation: 0,
            cancel_requested: false,
            discarded: false,
            attempts: Vec::new(),
        }
    }

    pub(crate) fn attempt(number: u32) -> AttemptView {
        AttemptView {
            generation: 0,
            number,
            started_at: NOW - 6_000,
            duration_ms: 12,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            detail: None,
        }
    }

    #[test]
    fn a_failed_attempt_is_told_with_the_time_of_the_next() {
        let mut retrying = callback("retrying");
        retrying.attempts.push(attempt(2));
        retrying.next_attempt_at = Some(NOW + 123_400);
        assert_eq!(
            why(&retrying, NOW),
            "Attempt 2 failed (answered_5xx 503). \
             The next one is at 2025-11-23T12:15:23.400Z (in 2m 3s)."
        );
        // An attempt of an earlier life is not what it waits for.
        retrying.generation = 1;
        assert!(why(&retrying, NOW).starts_with("The last attempt failed."));
    }

    #[test]
    fn what_it_waits_for_is_told() {
        let mut waiting = callback("queued");
        assert!(why(&waiting, NOW).contains("in the queue for its first attempt"));
        waiting.generation = 1;
        assert!(why(&waiting, NOW).contains("was replayed"));
        waiting.next_attempt_at = Some(NOW + 500);
        assert!(why(&waiting, NOW).contains("asked to wait"));
        assert!(why(&waiting, NOW).contains("(now)"));
        waiting.waiting_for = Some("resolver_down".to_owned());
        let said = why(&waiting, NOW);
        assert!(
            said.contains("no name server answers") && said.contains("no attempt"),
            "{said}"
        );
        waiting.waiting_for = Some("new\u{1b}word".to_owned());
        assert!(why(&waiting, NOW).contains("set aside: new word."));
        waiting.cancel_requested = true;
        assert!(why(&waiting, NOW).contains("withdrawal was asked for"));
    }

    #[test]
    fn every_end_says_what_can_be_done() {
        for (status, word) in [
            ("delivered", "has taken it"),
            ("expired", "ringback dead replay"),
            ("dead", "ringback dead replay"),
            ("cancelled", "withdrawn"),
            ("delivering", "at this moment"),
        ] {
            let said = why(&callback(status), NOW);
            assert!(said.contains(word), "{status}: {said}");
        }
        let mut dead = callback("dead");
        dead.reason = Some("redirected".to_owned());
        dead.discarded = true;
        let said = why(&dead, NOW);
        assert!(said.contains("redirects are not followed"), "{said}");
        assert!(said.contains("discarded"), "{said}");
    }
}
