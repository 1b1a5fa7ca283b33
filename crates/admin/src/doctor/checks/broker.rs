//! The broker: reachable, unblocked, complete, consumed.

use broker::ConnectionState;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::said::say;

/// Whether the broker is connected and takes messages.
pub(super) fn connection(facts: &Facts) -> Finding {
    const CHECK: &str = "broker";
    let is_embedded = facts.topology.is_none();
    match &facts.publishing {
        ConnectionState::Unusable(reason) => Finding::failure(
            CHECK,
            say!("the store is of no use: {reason}", "存储无法使用：{reason}"),
        )
        .next(say!(
            "stop the process and copy the data directory before anything else",
            "首先停止进程并复制数据目录"
        ))
        .runbook("the-data-directory-is-damaged"),
        ConnectionState::Blocked(reason) if is_embedded => Finding::failure(
            CHECK,
            say!(
                "the store takes no new callbacks: {reason}",
                "存储不接收新的回调：{reason}"
            ),
        )
        .next(say!(
            "free space on that disk; it goes on by itself",
            "清理该磁盘空间，之后会自动恢复"
        ))
        .runbook("memory-or-disk-alarm"),
        ConnectionState::Blocked(reason) => Finding::failure(
            CHECK,
            say!(
                "RabbitMQ blocks publishers: {reason}; callers get 503",
                "RabbitMQ 阻止发布：{reason}；调用方收到 503"
            ),
        )
        .next(say!(
            "free memory or disk on its nodes; do not restart dispatchers",
            "释放其节点的内存或磁盘，不要重启dispatcher"
        ))
        .runbook("memory-or-disk-alarm"),
        ConnectionState::NeverConnected(_) | ConnectionState::Disconnected(_) => Finding::failure(
            CHECK,
            say!(
                "the broker is unreachable: {0}",
                "无法连接RabbitMQ：{0}",
                facts.publishing.to_string()
            ),
        )
        .next(say!(
            "repair the broker; the processes connect again by themselves",
            "修复RabbitMQ，各进程会自动重新连接"
        ))
        .runbook(anchor(&facts.broker)),
        // One of the other connections is not up.
        ConnectionState::Connected if facts.broker.contains("connected: ") => Finding::failure(
            CHECK,
            say!("a connection is down: {0}", "有连接中断：{0}", facts.broker),
        )
        .next(say!(
            "repair the broker; the processes connect again by themselves",
            "修复RabbitMQ，各进程会自动重新连接"
        ))
        .runbook(anchor(&facts.broker)),
        ConnectionState::Connected if facts.broker.contains("blocked: ") => Finding::failure(
            CHECK,
            say!(
                "RabbitMQ blocks publishers: {0}",
                "RabbitMQ 阻止发布：{0}",
                facts.broker
            ),
        )
        .next(say!(
            "free memory or disk on its nodes; do not restart dispatchers",
            "释放其节点的内存或磁盘，不要重启dispatcher"
        ))
        .runbook("memory-or-disk-alarm"),
        ConnectionState::Connected if is_embedded => Finding::ok(
            CHECK,
            say!(
                "the embedded store takes callbacks",
                "嵌入式存储正常接收回调"
            ),
        ),
        ConnectionState::Connected => Finding::ok(
            CHECK,
            say!(
                "RabbitMQ is connected and takes messages",
                "RabbitMQ 已连接并接收消息"
            ),
        ),
    }
}

/// A node that accepts TCP and goes no further has a section of its own.
fn anchor(state: &str) -> &'static str {
    match state.contains("hangs") {
        true => "a-broker-that-hangs",
        false => "the-broker-is-unreachable",
    }
}

/// Whether every exchange and queue is there and answers.
pub(super) fn topology(facts: &Facts) -> Finding {
    const CHECK: &str = "topology";
    match facts.topology.as_deref() {
        None => Finding::ok(
            CHECK,
            say!("the embedded store needs none", "嵌入式存储不需要拓扑"),
        ),
        Some(_) if !facts.publishing.is_up() => Finding::unknown(
            CHECK,
            say!(
                "it cannot be checked without a connection",
                "没有连接，无法检查"
            ),
        ),
        Some("") => Finding::ok(
            CHECK,
            say!(
                "every exchange and queue exists and answers",
                "所有交换机和队列都存在且正常应答"
            ),
        ),
        Some(faults) => Finding::failure(CHECK, say!("at fault: {faults}", "有故障：{faults}"))
            .next(say!(
                "`ringback topology --check` compares them with what is expected",
                "`ringback topology --check` 可与预期拓扑对比"
            ))
            .runbook("one-queue-is-at-fault"),
    }
}

/// Whether anybody takes messages from the queues.
pub(super) fn consumers(facts: &Facts) -> Finding {
    const CHECK: &str = "consumers";
    if let Some(instances) = &facts.instances {
        let dispatchers = instances.iter().filter(|it| it.dispatches).count();
        return match dispatchers {
            0 => Finding::failure(
                CHECK,
                say!(
                    "no dispatcher answers: nothing is delivered",
                    "没有dispatcher应答：无法投递"
                ),
            )
            .next(say!(
                "start one (`ringback dispatcher`), or look at its log",
                "启动dispatcher（`ringback dispatcher`），或查看其日志"
            ))
            .runbook("no-dispatcher-consumes"),
            1 => Finding::ok(CHECK, say!("1 dispatcher answers", "1 个dispatcher应答")),
            several => Finding::ok(
                CHECK,
                say!("{several} dispatchers answer", "{several} 个dispatcher应答"),
            ),
        };
    }
    match facts.dispatches && facts.publishing.is_up() {
        true => Finding::ok(
            CHECK,
            say!(
                "this process delivers; others are not known to it",
                "本进程负责投递，它不了解其他进程"
            ),
        ),
        false => Finding::unknown(
            CHECK,
            say!(
                "this process does not know the dispatchers",
                "本进程不了解dispatcher的情况"
            ),
        )
        .next(say!(
            "look at the backlog below, and at each dispatcher's /readyz",
            "查看下面的积压情况以及各 dispatcher的 /readyz"
        )),
    }
}
