//! What an unfinished callback waits for, since when, and until when: one sentence for each fact.

use std::time::Duration;

use contract::CallbackStatus;
use delivery::limits::DeferReason;
use journal::Callback;
use runtime::text::one_line;

use super::facts::{Asked, CallbackFacts, DueQueue, Holder, TargetFacts};
use crate::api::pace;
use crate::doctor::breaker_words;
use crate::doctor::said::{Said, say};
use crate::doctor::span::spoken;

/// So many batches of records on their way to the journal are usual.
const USUAL_BATCHES: u32 = 100;

/// The sentences about an unfinished callback at `now`, Unix ms.
pub(super) fn sentences(callback: &Callback, facts: &CallbackFacts, now: u64) -> Vec<Said> {
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
                all.push(overdue());
            }
        }
    }
    all.extend(facts.pauses.iter().cloned());
    all
}

fn overdue() -> Said {
    say!(
        "It is overdue: it waits behind others, or its message is gone, because a queue was purged or \
         the message was removed by hand. If the queues are empty it will not be attempted, and its \
         caller must send it again.",
        "已逾期：可能排在其他回调之后，也可能因队列被清空或消息被手动删除而丢失。如果队列为空，它不会再被尝试，\
         调用方必须重新发送。"
    )
}

fn held(holder: &Holder, now: u64) -> Said {
    let Holder {
        process,
        since,
        queue,
        attempt,
        in_flight,
    } = holder;
    let since = since_ago(*since, now);
    match in_flight {
        true => say!(
            "Attempt {attempt} is in flight at {process} since {0}.",
            "第 {attempt} 次尝试正在 {process} 进行，开始于 {0}。",
            since
        ),
        false => say!(
            "{process} holds it since {0}, for attempt {attempt} from the queue `{queue}`: it waits \
             for a permit there, or its record is being written.",
            "{process} 自 {0} 起持有它，用于第 {attempt} 次尝试，来自队列 `{queue}`：正在等待许可，或正在写入记录。",
            since
        ),
    }
}

/// How long those take that wait for a permit of its target, with it.
fn permit(holder: &Holder, target: Option<&TargetFacts>) -> Option<Said> {
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
        Some((per_second, time)) => say!(
            "{waiting} {callbacks} in memory for its target, which takes about {0}: that is {1}, an \
             estimate.",
            "内存中有 {waiting} 个回调在等待其目标，目标的速率约为 {0}：估计需要 {1}。",
            pace::words(per_second),
            spoken(time)
        ),
        None => say!(
            "{waiting} {callbacks} in memory for its target; how long that takes is not known, because \
             it was not called in the last five minutes.",
            "内存中有 {waiting} 个回调在等待其目标；最近五分钟没有调用过该目标，无法估计需要多久。"
        ),
    })
}

/// How it came to wait, if there is something to say.
fn background(callback: &Callback) -> Option<Said> {
    if let Some(reason) = &callback.deferred_reason {
        let why = deferral_reason(reason);
        return Some(say!(
            "It is deferred: {0}. This spends no attempt.",
            "已推迟：{0}。这不消耗尝试次数。",
            why
        ));
    }
    if callback.status == CallbackStatus::Retrying {
        let last = callback.attempts.last();
        let last = last.filter(|attempt| attempt.generation == callback.generation);
        return Some(match last {
            Some(attempt) => {
                let ended = attempt.started_at.saturating_add(attempt.duration_ms);
                let (number, at) = (attempt.number, contract::rfc3339(ended));
                let outcome = outcome(&attempt.outcome, attempt.http_status, &attempt.cause);
                say!(
                    "Attempt {number} failed at {at} ({outcome}).",
                    "第 {number} 次尝试于 {at} 失败（{outcome}）。"
                )
            }
            None => say!("The last attempt failed.", "最近一次尝试失败。"),
        });
    }
    match (callback.next_attempt_at, callback.generation) {
        (Some(_), _) => Some(say!(
            "Its caller asked for a delay.",
            "调用方要求延迟投递。"
        )),
        (None, 0) => None,
        (None, _) => Some(say!("It was replayed.", "它已被重放。")),
    }
}

/// `answered_5xx 503`, or `connection_refused: Connection refused (os error 111)`.
pub(super) fn outcome(label: &str, http_status: Option<u16>, cause: &Option<String>) -> String {
    let http = http_status.map_or_else(String::new, |status| format!(" {status}"));
    let cause = cause.as_ref().map(|cause| format!(": {cause}"));
    one_line(&format!("{label}{http}{}", cause.unwrap_or_default())).into_owned()
}

fn next(callback: &Callback, now: u64) -> Said {
    let what = match callback.deferred_reason {
        Some(_) => say!("The next try", "下一次处理"),
        None => say!("The next attempt", "下一次尝试"),
    };
    match callback.due_at() {
        Some(at) => say!(
            "{0} is at {1} ({2}).",
            "{0}在 {1}（{2}）。",
            what,
            contract::rfc3339(at),
            from_now(at, now)
        ),
        None => say!(
            "{0} is made with the first free slot.",
            "{0}在有空闲槽位时立即进行。",
            what
        ),
    }
}

/// What its target says about a deferral or a failure.
fn target(callback: &Callback, facts: &CallbackFacts, now: u64) -> Vec<Said> {
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
        let sentence = || {
            say!(
                "How its target is now is not known: no process that answered has figures of it.",
                "其目标目前的情况未知：应答的进程都没有它的数据。"
            )
        };
        return is_missed.then(sentence).into_iter().collect();
    };
    let was_open = callback.deferred_reason.as_deref() == Some(DeferReason::BreakerOpen.as_str());
    let mut all: Vec<Said> = breaker(target, was_open, now).into_iter().collect();
    if let Some(left) = target.retry_after {
        let until = now.saturating_add(contract::duration_ms(left));
        all.push(say!(
            "The target has asked with Retry-After to be left alone until {0} ({1}).",
            "目标以 Retry-After 要求在 {0}（{1}）之前不再调用。",
            contract::rfc3339(until),
            from_now(until, now)
        ));
    }
    if by_target && target.breaker == "closed" {
        let TargetFacts {
            in_flight, waiting, ..
        } = target;
        all.push(say!(
            "The target has {in_flight} calls in flight, and {waiting} callbacks wait in memory for a \
             permit.",
            "目标有 {in_flight} 个进行中的调用，内存中有 {waiting} 个回调等待许可。"
        ));
    }
    all
}

fn breaker(target: &TargetFacts, was_open: bool, now: u64) -> Option<Said> {
    let state = match &*target.breaker {
        "open" => say!("open", "打开"),
        "half_open" => say!("half open and lets probes through", "半开，仅允许探测"),
        _ => {
            return was_open.then(|| {
                say!(
                    "The circuit breaker is closed again by now.",
                    "熔断器现已关闭。"
                )
            });
        }
    };
    // Breakers of callers' URLs are kept per app.
    let whose = match target.breaker_apps.filter(|_| !was_open) {
        None => Said::default(),
        Some(_) if target.breaker_of_its_app => say!(" for its app", "（涉及其应用）"),
        Some(apps) => breaker_words::whose(apps, &target.breaker_app_ids),
    };
    let reason = target.breaker_reason.as_ref();
    let reason = reason.map_or_else(Said::default, |reason| {
        say!(": {0}", "：{0}", breaker_words::reason(reason))
    });
    let probe = target.probe_in.map_or_else(Said::default, |wait| {
        let at = now.saturating_add(contract::duration_ms(wait));
        let when = from_now(at, now);
        say!("; the next probe is {0}", "；下次探测：{0}", when)
    });
    let error = target.last_error.as_ref();
    let error = error.map_or_else(Said::default, |(error, at)| {
        let at = contract::rfc3339(*at);
        say!(
            "; the last error was at {at}: {error}",
            "；最近的错误在 {at}：{error}"
        )
    });
    let text = say!(
        "The circuit breaker of its target is {0}{1}{2}{3}{4}.",
        "其目标的熔断器为{0}{1}{2}{3}{4}。",
        state,
        whose,
        reason,
        probe,
        error
    );
    Some(text.one_line())
}

/// It is due, and nobody is known to hold it.
fn due(callback: &Callback, asked: Option<&Asked>, since: u64, now: u64) -> Said {
    let is_first = callback.status == CallbackStatus::Queued;
    let what = match is_first {
        true => say!("first", "首次"),
        false => say!("next", "下一次"),
    };
    let since = since_ago(since, now);
    let known = match asked {
        None => say!(
            "a process holds it, or it waits for a free slot (a list asks no process; `ringback callback \
             show` does)",
            "有进程持有它，或它在等待空闲槽位（列表不询问进程；`ringback callback show` 会询问）"
        ),
        Some(asked) if !asked.complete => say!(
            "whether a process holds it is not known, because other processes cannot be asked now",
            "目前无法询问其他进程，不知道是否有进程持有它"
        ),
        Some(Asked {
            answered, silent, ..
        }) => {
            let none = match answered {
                1 => say!(
                    "the one process that answered does not hold it",
                    "唯一应答的进程没有持有它"
                ),
                several => say!(
                    "none of the {several} processes that answered holds it",
                    "应答的 {several} 个进程都没有持有它"
                ),
            };
            match silent.len() {
                0 => say!("it waits, {0}", "它在等待，{0}", none),
                count => say!(
                    "{0}, and {count} that may hold it did not answer ({1})",
                    "{0}，另有 {count} 个可能持有它的进程没有应答（{1}）",
                    none,
                    silent.join(", ")
                ),
            }
        }
    };
    say!(
        "Its {0} attempt is due since {1}: {2}.",
        "其{0}尝试自 {1} 起到期：{2}。",
        what,
        since,
        known
    )
}

/// What keeps it from being taken.
fn obstacles(callback: &Callback, facts: &CallbackFacts) -> Vec<Said> {
    let mut all = Vec::new();
    if let Some(state) = &facts.broker {
        all.push(say!(
            "The broker cannot be used ({state}): nothing moves before that is repaired.",
            "消息队列不可用（{state}）：修复之前不会有任何进展。"
        ));
    }
    if let Some(faults) = &facts.faults {
        all.push(say!(
            "Objects of the broker are at fault ({faults}): `ringback topology --check` compares them \
             with what is expected.",
            "消息队列的对象有故障（{faults}）：`ringback topology --check` 可与预期对比。"
        ));
    }
    let asked = facts.asked.as_ref();
    let nobody = asked.is_some_and(|it| it.complete && it.dispatchers == 0);
    let silent = asked.is_some_and(|it| !it.silent.is_empty());
    match (nobody, silent) {
        (true, false) => all.push(say!(
            "No dispatcher answers, so nothing is attempted: start one (`ringback dispatcher`), or look \
             at its log.",
            "没有 dispatcher 应答，不会进行任何尝试：启动一个（`ringback dispatcher`），或查看其日志。"
        )),
        (true, true) => all.push(say!(
            "No dispatcher answers: look at the silent processes and their logs.",
            "没有 dispatcher 应答：查看未应答的进程及其日志。"
        )),
        (false, _) if all.is_empty() => {
            all.push(queue(callback, facts));
            all.extend(time_of_queues(&facts.queue));
        }
        (false, _) => {}
    }
    if let Some(batches) = facts.unwritten.filter(|batches| *batches > USUAL_BATCHES) {
        all.push(say!(
            "The journal is behind: {batches} batches of records are not written yet, so it may have \
             been attempted already.",
            "回调记录库滞后：{batches} 批记录尚未写入，它可能已被尝试过。"
        ));
    }
    all
}

/// What is known of those before it.
fn queue(callback: &Callback, facts: &CallbackFacts) -> Said {
    let name = queue_name(callback);
    match (facts.queue.ready, facts.queue.oldest_due) {
        (None, _) => say!(
            "How many wait in the queue `{name}` is not known at present.",
            "目前不知道队列 `{name}` 中有多少在等待。"
        ),
        (Some(0), _) => say!(
            "The queue `{name}` has nothing ready: its message has just been taken or is about to \
             arrive, or its record is on its way.",
            "队列 `{name}` 中没有就绪的消息：其消息刚被取走或即将到达，或其记录正在写入途中。"
        ),
        (Some(ready), Some(age)) => say!(
            "It waits for a free slot: {ready} are ready in the queue `{name}`, and the oldest due one \
             has waited for {0}.",
            "它在等待空闲槽位：队列 `{name}` 中有 {ready} 个就绪，最早到期的已等待 {0}。",
            spoken(age)
        ),
        (Some(ready), None) => say!(
            "It waits for a free slot: {ready} are ready in the queue `{name}`; how many of them are \
             before it is not known.",
            "它在等待空闲槽位：队列 `{name}` 中有 {ready} 个就绪，其中有多少排在它前面未知。"
        ),
    }
}

/// How long the ready messages take at the pace of the last five minutes.
fn time_of_queues(queue: &DueQueue) -> Option<Said> {
    let is_waiting = queue.ready.is_some_and(|ready| ready > 0);
    let ready = queue.all_ready.filter(|_| is_waiting)?;
    let pace = queue.per_second;
    let time = pace.and_then(|pace| Some((pace, pace::time_for(ready.into(), pace)?)));
    Some(match time {
        Some((per_second, time)) => say!(
            "At the pace of the last five minutes ({0} in all processes) the {ready} that are ready in all \
             queues take about {1}: an estimate.",
            "按最近五分钟的速率（全部进程 {0}），各队列中就绪的 {ready} 个估计需要 {1}。",
            pace::words(per_second),
            spoken(time)
        ),
        None => say!(
            "How long that takes is not known, because no call was made in the last five minutes.",
            "最近五分钟没有调用，无法估计需要多久。"
        ),
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
/// Why a callback is deferred, with the name of the reason.
pub(crate) fn deferral_reason(name: &str) -> Said {
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
        Some(DeferReason::InFlight) => say!(
            "its target is at its limit of concurrent calls",
            "其目标已达到并发调用上限"
        ),
        Some(DeferReason::Rate) => say!("its target is at its rate limit", "其目标已达到速率上限"),
        Some(DeferReason::BreakerOpen) => say!(
            "its target fails, and its circuit breaker lets only probes through",
            "其目标失败，熔断器只允许探测"
        ),
        Some(DeferReason::RetryAfter) => say!(
            "its target asked for a delay with Retry-After",
            "其目标以 Retry-After 要求延迟"
        ),
        Some(DeferReason::AppInFlight) => say!(
            "its app has as many calls in flight as it may while others need slots",
            "在其他应用需要槽位时，其应用进行中的调用已达到上限"
        ),
        Some(DeferReason::Paused) => say!(
            "its callee, target, app or message type is paused; it is attempted within minutes after \
             `ringback resume`",
            "其被回调方、目标、应用或消息类型已暂停；`ringback resume` 之后几分钟内会尝试"
        ),
        None => match name {
            "not_due" => say!(
                "it left the queue before it was due",
                "它在到期之前离开了队列"
            ),
            "resolver_down" => say!("no name server answers", "没有域名服务器应答"),
            "failed" => say!(
                "an internal error prevented the call",
                "内部错误导致无法调用"
            ),
            "panic" => say!(
                "an attempt panicked, which is a bug",
                "一次尝试崩溃，这是程序缺陷"
            ),
            other => return one_line(other).into_owned().into(),
        },
    };
    say!("{0} ({name})", "{0}（{name}）", why)
}

/// `2026-11-23T12:00:00.000Z (5s ago)`
fn since_ago(since: u64, now: u64) -> Said {
    let ago = Duration::from_secs(now.saturating_sub(since) / 1_000);
    let since = contract::rfc3339(since);
    say!("{since} ({0} ago)", "{since}（{0}前）", spoken(ago))
}

/// The time until `at`, for people: `in 2m 3s`, `now`.
fn from_now(at: u64, now: u64) -> Said {
    let seconds = at.saturating_sub(now) / 1_000;
    if seconds == 0 {
        return say!("now", "现在");
    }
    let wait = spoken(Duration::from_secs(seconds));
    say!("in {0}", "{0}后", wait)
}
