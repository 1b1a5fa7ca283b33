//! The journal: reachable, writable, not behind.

use crate::doctor::facts::QueueFacts;
use crate::doctor::finding::Finding;
use crate::doctor::said::say;

use super::units::number;

/// So many batches wait for a moment whenever much is recorded.
const USUAL_BATCHES: u32 = 100;

/// Whether it is reachable and takes writes, as `/readyz` says.
pub(super) fn state(state: &str) -> Finding {
    const CHECK: &str = "journal";
    match state {
        "connected" => Finding::ok(CHECK, say!("the journal is reachable and takes writes", "回调记录库可访问且可写入")),
        "none" => Finding::warning(
            CHECK,
            say!(
                "there is no journal: the query, cancel, Idempotency-Key, dead letters and replay answer 501",
                "没有回调记录库：查询、取消、Idempotency-Key、死信和重放均返回 501"
            ),
        )
        .next(say!("set journal.url to a PostgreSQL database in every role, and restart", "为每个角色将 journal.url 设为一个 PostgreSQL 数据库并重启")),
        other if other.starts_with("incompatible") => Finding::failure(CHECK, say!("{other}", "回调记录库版本不兼容：{other}"))
            .next(say!("run the version of ringback that the sentence names", "运行上文所指的 ringback 版本")),
        other if other.contains("written for") || other.contains("failed for") => {
            Finding::failure(CHECK, say!("it takes no writes: {other}", "无法写入：{other}"))
                .next(say!("look for locks, a full disk or a read-only database; records wait meanwhile", "检查是否有锁、磁盘已满或数据库只读；期间记录会等待"))
                .runbook("the-journal-takes-no-writes")
        }
        other => Finding::failure(CHECK, say!("it is unreachable: {other}", "无法访问：{other}"))
            .next(say!("repair PostgreSQL; callbacks go on, and records wait in the queue", "修复 PostgreSQL；回调照常处理，记录在队列中等待"))
            .runbook("the-journal-is-unreachable"),
    }
}

/// Whether records wait in the queue.
pub(super) fn backlog(queues: &QueueFacts) -> Finding {
    const CHECK: &str = "journal backlog";
    let Some(waiting) = queues.depths.journal.current() else {
        return Finding::unknown(
            CHECK,
            say!(
                "how many records wait is not known at present",
                "目前不知道有多少记录在等待"
            ),
        );
    };
    let shown = number(waiting.into());
    let before = queues.before.first().map(|sample| sample.journal);
    match before {
        _ if waiting <= USUAL_BATCHES => Finding::ok(
            CHECK,
            say!("the journal is not behind", "回调记录库没有滞后"),
        ),
        Some(before) if waiting < before => Finding::warning(
            CHECK,
            say!(
                "{shown} batches of records wait, fewer than before: it catches up",
                "{shown} 批记录在等待，少于之前：正在赶上"
            ),
        ),
        Some(_) | None => Finding::warning(
            CHECK,
            say!(
                "{shown} batches of records wait: queries know less than what has happened",
                "{shown} 批记录在等待：查询结果落后于实际情况"
            ),
        )
        .next(say!(
            "look at the journal's state; `ringback recorder` adds writers",
            "查看回调记录库状态；`ringback recorder` 可增加写入进程"
        ))
        .runbook("the-journal-takes-no-writes"),
    }
}
