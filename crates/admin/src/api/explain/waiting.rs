//! What an unfinished callback waits for, since when, and until when: one sentence for each fact.

use std::time::Duration;

use contract::CallbackStatus;
use delivery::limits::DeferReason;
use journal::Callback;
use runtime::text::one_line;

use super::facts::{Asked, CallbackFacts, DueQueue, Holder, TargetFacts};
use crate::api::pace;

/// So many batches of records on their way to the journal are usual.
const USUAL_BATCHES: u32 = 100;

/// The sentences about an unfinished callback at `now`, Unix ms.
pub(super) fn sentences(callback: &Callback, facts: &CallbackFacts, now: u64) -> Vec<String> {
    let mut all = Vec::new();
    match (&facts.holder, callback.due_since(now)) {
        (Some(holder), _) => {
            all.push(held(holder, now));
            all.extend(permit(holder, facts.target.as_ref()));
        }
        (None, None) => {
            all.extend(background(callback));
            all.push(next(callback, now));
            all.extend(target(callback, facts, now));
        }
        (None, Some(since)) => {
            all.extend(background(callback));
            all.push(due(callback, facts.asked.as_ref(), since, now));
            if facts.asked.is_some() {
                all.extend(obstacles(callback, facts));
            }
            if callback.overdue_since(now).is_some() {
                all.push(OVERDUE.to_owned());
            }
        }
    }
    all.extend(facts.pauses.iter().cloned());
    all
}

const OVERDUE: &str = "It is overdue: it waits behind others, or its message is gone, because a queue \
                       was purged or the message was removed by hand. If the queues are empty it will \
                       not be attempted, and its caller must send it again.";

fn held(holder: &Holder, now: u64) -> String {
    let Holder {
        process,
        since,
        queue,
        attempt,
        in_flight,
    } = holder;
    let since = since_ago(*since, now);
    match in_flight {
        true => format!("Attempt {attempt} is in flight at {process} since {since}."),
        false => format!(
            "{process} holds it since {since}, for attempt {attempt} from the queue `{queue}`: it waits \
             for a permit there, or its record is being written."
        ),
    }
}

/// How long those take that wait for a permit of its target, with it.
fn permit(holder: &Holder, target: Option<&TargetFacts>) -> Option<String> {
    let target = target.filter(|target| !holder.in_flight && target.waiting > 0)?;
    let waiting = target.waiting;
    let callbacks = if waiting == 1 {
        "callback waits"
    } else {
        "callbacks wait"
    };
    let time = target
        .per_second
        .and_then(|pace| Some((pace, pace::time_for(waiting.into(), pace)?)));
    Some(match time {
        Some((per_second, time)) => format!(
            "{waiting} {callbacks} in memory for its target, which takes about {}: that is {}, an \
             estimate.",
            pace::words(per_second),
            humantime::format_duration(time)
        ),
        None => format!(
            "{waiting} {callbacks} in memory for its target; how long that takes is not known, because \
             it was not called in the last five minutes."
        ),
    })
}

/// How it came to wait, if there is something to say.
fn background(callback: &Callback) -> Option<String> {
    if let Some(reason) = &callback.deferred_reason {
        let why = deferral_reason(reason);
        return Some(format!("It is deferred: {why}. This spends no attempt."));
    }
    if callback.status == CallbackStatus::Retrying {
        let last = callback.attempts.last();
        let last = last.filter(|attempt| attempt.generation == callback.generation);
        return Some(match last {
            Some(attempt) => {
                let ended = attempt.started_at.saturating_add(attempt.duration_ms);
                let (number, at) = (attempt.number, contract::rfc3339(ended));
                let outcome = outcome(&attempt.outcome, attempt.http_status, &attempt.cause);
                format!("Attempt {number} failed at {at} ({outcome}).")
            }
            None => "The last attempt failed.".to_owned(),
        });
    }
    match (callback.next_attempt_at, callback.generation) {
        (Some(_), _) => Some("It was sent with a delay.".to_owned()),
        (None, 0) => None,
        (None, _) => Some("It was replayed.".to_owned()),
    }
}

/// `answered_5xx 503`, or `connection_refused: Connection refused (os error 111)`.
pub(super) fn outcome(label: &str, http_status: Option<u16>, cause: &Option<String>) -> String {
    let http = http_status.map_or_else(String::new, |status| format!(" {status}"));
    let cause = cause.as_ref().map(|cause| format!(": {cause}"));
    one_line(&format!("{label}{http}{}", cause.unwrap_or_default())).into_owned()
}

fn next(callback: &Callback, now: u64) -> String {
    let what = match callback.deferred_reason {
        Some(_) => "The next try",
        None => "The next attempt",
    };
    match callback.due_at() {
        Some(at) => format!(
            "{what} is at {} ({}).",
            contract::rfc3339(at),
            from_now(at, now)
        ),
        None => format!("{what} is made with the first free slot."),
    }
}

/// What its target says about a deferral or a failure.
fn target(callback: &Callback, facts: &CallbackFacts, now: u64) -> Vec<String> {
    let by_target = callback.deferred_reason.as_deref().is_some_and(|name| {
        let limits = [
            DeferReason::InFlight,
            DeferReason::Rate,
            DeferReason::BreakerOpen,
            DeferReason::RetryAfter,
        ];
        limits.into_iter().any(|limit| limit.as_str() == name)
    });
    let Some(target) = &facts.target else {
        let is_missed = by_target && facts.asked.is_some();
        let sentence =
            "How its target is now is not known: no process that answered has figures of it.";
        return is_missed.then(|| sentence.to_owned()).into_iter().collect();
    };
    let was_open = callback.deferred_reason.as_deref() == Some(DeferReason::BreakerOpen.as_str());
    let mut all: Vec<String> = breaker(target, was_open, now).into_iter().collect();
    if let Some(left) = target.retry_after {
        let until = now.saturating_add(contract::duration_ms(left));
        all.push(format!(
            "The target has asked with Retry-After to be left alone until {} ({}).",
            contract::rfc3339(until),
            from_now(until, now)
        ));
    }
    if by_target && target.breaker == "closed" {
        let TargetFacts {
            in_flight, waiting, ..
        } = target;
        all.push(format!(
            "The target has {in_flight} calls in flight, and {waiting} callbacks wait in memory for a \
             permit."
        ));
    }
    all
}

fn breaker(target: &TargetFacts, was_open: bool, now: u64) -> Option<String> {
    let state = match &*target.breaker {
        "open" => "open",
        "half_open" => "half open and lets probes through",
        _ => return was_open.then(|| "The circuit breaker is closed again by now.".to_owned()),
    };
    // Breakers of callers' URLs are kept per app, and which apps they concern is not told.
    let whose = match target.breaker_apps.filter(|_| !was_open) {
        None => String::new(),
        Some(1) => " for one app".to_owned(),
        Some(apps) => format!(" for {apps} apps"),
    };
    let mut text = format!("The circuit breaker of its target is {state}{whose}");
    if let Some(reason) = &target.breaker_reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    if let Some(wait) = target.probe_in {
        let at = now.saturating_add(contract::duration_ms(wait));
        text.push_str(&format!("; the next probe is {}", from_now(at, now)));
    }
    if let Some((error, at)) = &target.last_error {
        text.push_str(&format!(
            "; the last error was at {}: {error}",
            contract::rfc3339(*at)
        ));
    }
    text.push('.');
    Some(one_line(&text).into_owned())
}

/// It is due, and nobody is known to hold it.
fn due(callback: &Callback, asked: Option<&Asked>, since: u64, now: u64) -> String {
    let is_first = callback.status == CallbackStatus::Queued;
    let what = if is_first { "first" } else { "next" };
    let since = since_ago(since, now);
    let known = match asked {
        None => {
            "a process holds it, or it waits for a free slot (a list asks no process; `ringback \
                 callback show` does)"
                .to_owned()
        }
        Some(asked) if !asked.complete => {
            "whether a process holds it is not known, because other processes cannot be asked now"
                .to_owned()
        }
        Some(Asked {
            answered, silent, ..
        }) => {
            let none = match answered {
                1 => "the one process that answered does not hold it".to_owned(),
                several => format!("none of the {several} processes that answered holds it"),
            };
            match silent.len() {
                0 => format!("it waits, {none}"),
                count => format!(
                    "{none}, and {count} that may hold it did not answer ({})",
                    silent.join(", ")
                ),
            }
        }
    };
    format!("Its {what} attempt is due since {since}: {known}.")
}

/// What keeps it from being taken.
fn obstacles(callback: &Callback, facts: &CallbackFacts) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(state) = &facts.broker {
        all.push(format!(
            "The broker cannot be used ({state}): nothing moves before that is repaired."
        ));
    }
    if let Some(faults) = &facts.faults {
        all.push(format!(
            "Objects of the broker are at fault ({faults}): `ringback topology --check` compares them \
             with what is expected."
        ));
    }
    let asked = facts.asked.as_ref();
    let nobody = asked.is_some_and(|it| it.complete && it.dispatchers == 0);
    let silent = asked.is_some_and(|it| !it.silent.is_empty());
    match (nobody, silent) {
        (true, false) => all.push(
            "No dispatcher answers, so nothing is attempted: start one (`ringback dispatcher`), or look \
             at its log."
                .to_owned(),
        ),
        (true, true) => all.push(
            "No dispatcher answers: look at the silent processes and their logs.".to_owned(),
        ),
        (false, _) if all.is_empty() => {
            all.push(queue(callback, facts));
            all.extend(time_of_queues(&facts.queue));
        }
        (false, _) => {}
    }
    if let Some(batches) = facts.unwritten.filter(|batches| *batches > USUAL_BATCHES) {
        all.push(format!(
            "The journal is behind: {batches} batches of records are not written yet, so it may have \
             been attempted already."
        ));
    }
    all
}

/// What is known of those before it.
fn queue(callback: &Callback, facts: &CallbackFacts) -> String {
    let name = queue_name(callback);
    match (facts.queue.ready, facts.queue.oldest_due) {
        (None, _) => format!("How many wait in the queue `{name}` is not known at present."),
        (Some(0), _) => format!(
            "The queue `{name}` has nothing ready: its message has just been taken or is about to \
             arrive, or its record is on its way."
        ),
        (Some(ready), Some(age)) => format!(
            "It waits for a free slot: {ready} are ready in the queue `{name}`, and the oldest due one \
             has waited for {}.",
            humantime::format_duration(Duration::from_secs(age.as_secs()))
        ),
        (Some(ready), None) => format!(
            "It waits for a free slot: {ready} are ready in the queue `{name}`; how many of them are \
             before it is not known."
        ),
    }
}

/// How long the ready messages take at the pace of the last five minutes.
fn time_of_queues(queue: &DueQueue) -> Option<String> {
    let is_waiting = queue.ready.is_some_and(|ready| ready > 0);
    let ready = queue.all_ready.filter(|_| is_waiting)?;
    let pace = queue.per_second;
    let time = pace.and_then(|pace| Some((pace, pace::time_for(ready.into(), pace)?)));
    Some(match time {
        Some((per_second, time)) => format!(
            "At the pace of the last five minutes ({} in all processes) the {ready} that are ready in all \
             queues take about {}: an estimate.",
            pace::words(per_second),
            humantime::format_duration(time)
        ),
        None => {
            "How long that takes is not known, because no call was made in the last five minutes."
                .to_owned()
        }
    })
}

/// The queue that it waits in when it is due: only a first attempt without a delay is not in `retry`.
pub(in crate::api) fn queue_name(callback: &Callback) -> &'static str {
    let is_first = callback.status == CallbackStatus::Queued
        && callback.next_attempt_at.is_none()
        && callback.generation == 0;
    if is_first { "first" } else { "retry" }
}

/// Why a callback is deferred: the name of a limit, or else of an outcome.
fn deferral_reason(name: &str) -> String {
    let limits = [
        DeferReason::InFlight,
        DeferReason::Rate,
        DeferReason::BreakerOpen,
        DeferReason::RetryAfter,
        DeferReason::Paused,
        DeferReason::AppInFlight,
    ];
    let limit = limits.into_iter().find(|limit| limit.as_str() == name);
    let why = match limit {
        Some(DeferReason::InFlight) => "its target is at its limit of concurrent calls",
        Some(DeferReason::Rate) => "its target is at its rate limit",
        Some(DeferReason::BreakerOpen) => {
            "its target fails, and its circuit breaker lets only probes through"
        }
        Some(DeferReason::RetryAfter) => "its target asked for a delay with Retry-After",
        Some(DeferReason::AppInFlight) => {
            "its app has as many calls in flight as it may while others need slots"
        }
        Some(DeferReason::Paused) => {
            "its callee, target, app or message type is paused; it is attempted within minutes after \
             `ringback resume`"
        }
        None => match name {
            "not_due" => "it left the queue before it was due",
            "resolver_down" => "no name server answers",
            "failed" => "an internal error prevented the call",
            "panic" => "an attempt panicked, which is a bug",
            other => return one_line(other).into_owned(),
        },
    };
    format!("{why} ({name})")
}

/// `2026-11-23T12:00:00.000Z (5s ago)`
fn since_ago(since: u64, now: u64) -> String {
    let ago = Duration::from_secs(now.saturating_sub(since) / 1_000);
    let ago = humantime::format_duration(ago);
    format!("{} ({ago} ago)", contract::rfc3339(since))
}

/// The time until `at`, for people: `in 2m 3s`, `now`.
fn from_now(at: u64, now: u64) -> String {
    let seconds = at.saturating_sub(now) / 1_000;
    if seconds == 0 {
        return "now".to_owned();
    }
    let wait = humantime::format_duration(Duration::from_secs(seconds));
    format!("in {wait}")
}
