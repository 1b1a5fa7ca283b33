//! What waits: growth, age, dead letters, unreadable and unrouted messages.

use std::time::Duration;

use broker::Depths;

use crate::doctor::facts::{DeadLetterFacts, Facts, QueueFacts};
use crate::doctor::finding::Finding;
use crate::doctor::said::{Said, say};

use super::units::{duration, number};

/// A backlog up to this is no reason to look.
const USUAL_BACKLOG: u32 = 100;
/// A shorter time says nothing of growth.
const MIN_OBSERVED: Duration = Duration::from_secs(60);
/// Due for longer is worth a look.
const OVERDUE: Duration = Duration::from_secs(5 * 60);

/// Whether the due work that waits grows.
pub(super) fn growth(queues: &QueueFacts) -> Finding {
    const CHECK: &str = "queues";
    let depths = &queues.depths;
    let Some(now) = depths.backlog().current() else {
        return Finding::unknown(
            CHECK,
            say!(
                "how much waits is not known at present",
                "目前不知道有多少在等待"
            ),
        );
    };
    let waiting = say!(
        "{0} due callbacks wait ({1} first attempts, {2} retries)",
        "{0} 个到期的回调在等待（首次尝试 {1} 个，重试 {2} 个）",
        number(now.into()),
        shown(depths.first.last_known()),
        shown(depths.retry.last_known())
    );
    let before = queues.before.first();
    match before.filter(|sample| sample.age >= MIN_OBSERVED) {
        None => Finding::ok(
            CHECK,
            say!(
                "{0}; this process has not watched for long enough to see growth",
                "{0}；本进程观察时间不足，无法判断是否增长",
                waiting
            ),
        ),
        Some(sample) if now > USUAL_BACKLOG && u64::from(now) * 4 > u64::from(sample.backlog) * 5 => {
            Finding::warning(
                CHECK,
                say!(
                    "{0}, {1} {2} before: the queues grow",
                    "{0}，{2} 前为 {1} 个：队列在增长",
                    waiting,
                    number(sample.backlog.into()),
                    duration(sample.age)
                ),
            )
            .next(say!(
                "`ringback targets` shows slow or failing targets; more dispatchers help when all are fast",
                "`ringback targets` 可查看慢或失败的目标；若目标都很快，可增加dispatcher"
            ))
            .runbook("the-intake-is-closed")
        }
        Some(sample) => Finding::ok(
            CHECK,
            say!(
                "{0}, {1} {2} before",
                "{0}，{2} 前为 {1} 个",
                waiting,
                number(sample.backlog.into()),
                duration(sample.age)
            ),
        ),
    }
}

fn shown(depth: Option<u32>) -> String {
    depth.map_or_else(|| "?".to_owned(), |depth| number(depth.into()))
}

/// The callback that has been due for longest.
pub(super) fn oldest_due(facts: &Facts) -> Finding {
    const CHECK: &str = "oldest due";
    let late = |age: Duration, what: Said| {
        let since = facts.now.saturating_sub(contract::duration_ms(age));
        Finding::warning(
            CHECK,
            say!(
                "{0} has been due for {1}",
                "{0}已到期 {1}",
                what,
                duration(age)
            ),
        )
        .since(since)
        .next(say!(
            "`ringback callback show ID` says what it waits for",
            "`ringback callback show ID` 可查看其等待的原因"
        ))
        .runbook("callbacks-are-late")
    };
    if let Some(age) = facts.queues.depths.oldest_due_age
        && age > OVERDUE
    {
        return late(
            age,
            say!("the oldest message of the queues", "队列中最早的消息"),
        );
    }
    match &facts.journal.due {
        Err(reason) => Finding::unknown(
            CHECK,
            say!(
                "the journal does not tell: {reason}",
                "无法从回调记录库得知：{reason}"
            ),
        ),
        Ok(due) => match &due.oldest {
            Some((id, since)) => {
                let age = Duration::from_millis(facts.now.saturating_sub(*since));
                let others = due.overdue.saturating_sub(1);
                let which = match others {
                    0 => say!("{id}", "回调 {id} "),
                    others => say!(
                        "{0} (and {1} others)",
                        "回调 {0}（及其他 {1} 个）",
                        id.to_string(),
                        number(others as u64)
                    ),
                };
                late(age, which)
            }
            None => Finding::ok(
                CHECK,
                say!(
                    "nothing has been due for more than {0}",
                    "没有到期超过 {0} 的回调",
                    duration(OVERDUE)
                ),
            ),
        },
    }
}

/// Dead letters of the last day.
pub(super) fn dead_letters(found: &Result<DeadLetterFacts, String>) -> Finding {
    const CHECK: &str = "dead letters";
    match found {
        Err(reason) => Finding::unknown(
            CHECK,
            say!(
                "the journal does not tell: {reason}",
                "无法从回调记录库得知：{reason}"
            ),
        ),
        Ok(DeadLetterFacts {
            all,
            since_yesterday: 0,
        }) => Finding::ok(
            CHECK,
            say!(
                "none since yesterday ({0} in all)",
                "昨天以来没有（共 {0} 个）",
                number(*all)
            ),
        ),
        Ok(DeadLetterFacts {
            all,
            since_yesterday,
        }) => Finding::warning(
            CHECK,
            say!(
                "{0} since yesterday ({1} in all)",
                "昨天以来 {0} 个（共 {1} 个）",
                number(*since_yesterday),
                number(*all)
            ),
        )
        .next(say!(
            "`ringback dead-letters list` shows why; repair the cause, then replay them",
            "`ringback dead-letters list` 可查看原因；修复后重放"
        ))
        .runbook("dead-letters"),
    }
}

/// So many messages, in words.
fn messages(count: u32) -> Said {
    match count {
        1 => say!("1 message", "1 条消息"),
        _ => say!("{0} messages", "{0} 条消息", number(count.into())),
    }
}

/// Messages that cannot be decoded.
pub(super) fn unreadable(depths: &Depths) -> Finding {
    const CHECK: &str = "unreadable";
    let found = |sentence: Said| {
        Finding::warning(CHECK, sentence)
            .next(say!(
                "`ringback unreadable list` says why",
                "`ringback unreadable list` 可查看原因"
            ))
            .runbook("unreadable-messages")
    };
    match depths.unreadable.current() {
        None => Finding::unknown(
            CHECK,
            say!(
                "how many there are is not known at present",
                "目前不知道有多少"
            ),
        ),
        Some(0) => Finding::ok(
            CHECK,
            say!("no message is unreadable", "没有无法解析的消息"),
        ),
        Some(count) => found(say!(
            "{0} cannot be decoded",
            "{0}无法解析",
            messages(count)
        )),
    }
}

/// Messages in the queues that should be empty.
pub(super) fn rescue(depths: &Depths) -> Finding {
    const CHECK: &str = "rescue";
    let (unrouted, limit) = (depths.unrouted.current(), depths.delivery_limit.current());
    match (unrouted, limit) {
        (None, _) | (_, None) => {
            Finding::unknown(CHECK, say!("how many messages wait for rescue is not known at present", "目前不知道有多少消息等待救援"))
        }
        (Some(0), Some(0)) => Finding::ok(CHECK, say!("no message waits for rescue", "没有等待救援的消息")),
        (Some(0), Some(limit)) => Finding::warning(
            CHECK,
            match limit {
                1 => say!("1 message was delivered too often without an outcome", "1 条消息被多次投递而没有结果"),
                _ => say!("{0} were delivered too often without an outcome", "{0}被多次投递而没有结果", messages(limit)),
            },
        )
        .next(say!("look for dispatchers that crash; they become dead letters (delivery_limit)", "检查崩溃的dispatcher；这些消息会成为死信（delivery_limit）"))
        .runbook("a-dispatcher-crashes-again-and-again"),
        (Some(unrouted), Some(_)) => Finding::failure(
            CHECK,
            say!("{0} matched no queue: a binding is missing", "{0}没有匹配的队列：缺少绑定", messages(unrouted)),
        )
        .next(say!("`ringback topology --check` names it; import the definitions, or let declare = true repair it", "`ringback topology --check` 可指出缺少的绑定；导入定义，或设 declare = true 自动修复"))
        .runbook("one-queue-is-at-fault"),
    }
}
