//! The process: its settings, memory, files and disk.

use runtime::ProcessUsage;

use crate::doctor::facts::{DiskFacts, Facts};
use crate::doctor::finding::Finding;
use crate::doctor::said::{Said, say};

use super::units::{bytes, number, percent};

/// Above this share of a limit somebody should look.
const HIGH_PERCENT: u64 = 85;

/// Settings that were refused by a reload, here or elsewhere.
pub(super) fn settings(facts: &Facts) -> Finding {
    const CHECK: &str = "settings";
    let own = facts.refused_settings.iter().map(|refused| {
        let at = contract::rfc3339(refused.at);
        say!(
            "this process, at {at}: {0}",
            "本进程，{at}：{0}",
            refused.reason
        )
    });
    let others = facts.instances.iter().flatten().filter_map(|instance| {
        let refused = instance.refused_settings.as_ref()?;
        Some(say!("{0}: {refused}", "{0}：{refused}", instance.name))
    });
    let refused: Vec<Said> = own.chain(others).collect();
    let found = match refused.is_empty() {
        true => Finding::ok(CHECK, say!("no reload was refused", "没有被拒绝的重新加载")),
        false => Finding::failure(
            CHECK,
            say!(
                "new settings were refused, and the previous ones are in force ({0})",
                "新设置被拒绝，仍使用之前的设置（{0}）",
                Said::join(&refused, "; ", "；")
            ),
        )
        .next(say!(
            "correct the file: it is read again by itself (`ringback config` checks it)",
            "更正文件，之后会自动重新读取（可用 `ringback config` 检查）"
        ))
        .runbook("reload-settings"),
    };
    match &facts.refused_settings {
        Some(refused) => found.since(refused.at),
        None => found,
    }
}

/// Whether all processes answer.
pub(super) fn processes(facts: &Facts) -> Finding {
    const CHECK: &str = "processes";
    let Some(instances) = &facts.instances else {
        return Finding::unknown(
            CHECK,
            say!(
                "other processes cannot be asked: the connection to them is down or not open yet",
                "无法询问其他进程：与它们的连接已中断或尚未建立"
            ),
        );
    };
    match facts.silent.is_empty() {
        true => Finding::ok(CHECK, say!("{0} answer", "{0} 个进程应答", instances.len())),
        false => Finding::warning(
            CHECK,
            say!(
                "no answer from {0}",
                "没有应答的进程：{0}",
                facts.silent.join(", ")
            ),
        )
        .next(say!(
            "it hangs, was killed, or is cut off from RabbitMQ: look at its log and its /readyz",
            "进程卡住、被终止或与 RabbitMQ 断开：查看其日志和 /readyz"
        )),
    }
}

/// Memory of this process.
pub(super) fn memory(usage: &ProcessUsage) -> Finding {
    const CHECK: &str = "memory";
    let (Some(used), Some(limit)) = (usage.resident_bytes, usage.memory_limit) else {
        return Finding::unknown(
            CHECK,
            say!(
                "this system does not tell the memory of the process",
                "此系统不提供进程的内存用量"
            ),
        );
    };
    let share = percent(used, limit);
    let sentence = say!(
        "this process uses {0} of {1} ({share} %)",
        "本进程使用 {0}，上限 {1}（{share} %）",
        bytes(used),
        bytes(limit)
    );
    match share > HIGH_PERCENT {
        true => Finding::warning(CHECK, sentence).next(say!(
            "raise the limit of its container, or lower the concurrency",
            "提高容器的内存上限，或降低并发数"
        )),
        false => Finding::ok(CHECK, sentence),
    }
}

/// Open files of this process: each connection is one.
pub(super) fn files(usage: &ProcessUsage) -> Finding {
    const CHECK: &str = "files";
    let Some(open) = usage.open_files else {
        return Finding::unknown(
            CHECK,
            say!(
                "this system does not tell the open files of the process",
                "此系统不提供进程打开的文件数"
            ),
        );
    };
    let limit = usage.open_files_limit;
    let sentence = say!(
        "{0} of {1} files are open",
        "已打开 {0} 个文件，上限 {1}",
        number(open),
        number(limit)
    );
    match percent(open, limit) > HIGH_PERCENT {
        true => Finding::warning(CHECK, sentence).next(say!(
            "raise the limit of open files (LimitNOFILE, ulimits) and restart",
            "提高打开文件数的上限（LimitNOFILE、ulimits）并重启"
        )),
        false => Finding::ok(CHECK, sentence),
    }
}

/// The disk of the embedded store.
pub(super) fn disk(disk: DiskFacts) -> Finding {
    const CHECK: &str = "disk";
    let DiskFacts { free, floor } = disk;
    let sentence = say!(
        "{0} are free on the disk of the store, the floor is {1} (broker.min_free_bytes)",
        "存储所在磁盘剩余 {0}，下限为 {1}（broker.min_free_bytes）",
        bytes(free),
        bytes(floor)
    );
    if free < floor {
        Finding::failure(
            CHECK,
            say!(
                "{0}: new callbacks are refused",
                "{0}：拒绝新的回调",
                sentence
            ),
        )
        .next(say!(
            "free space on it; it goes on by itself",
            "清理该磁盘空间，之后会自动恢复"
        ))
        .runbook("memory-or-disk-alarm")
    } else if free < floor.saturating_mul(2) {
        Finding::warning(CHECK, sentence)
            .next(say!(
                "free space on it before new callbacks are refused",
                "在开始拒绝新回调之前清理磁盘空间"
            ))
            .runbook("memory-or-disk-alarm")
    } else {
        Finding::ok(CHECK, sentence)
    }
}
