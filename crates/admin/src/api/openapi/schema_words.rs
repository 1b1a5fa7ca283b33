//! Chinese for the descriptions of schemas, which are English where the types are documented.

use serde_json::Value;

/// Both wordings.
const DESCRIPTIONS: [(&str, &str); 226] = [
    ("The callback has ended", "回调已结束"),
    ("The same bulk act runs already", "相同的批量操作正在进行"),
    ("Too many bulk acts run", "正在进行的批量操作过多"),
    ("The body is too large", "请求体过大"),
    (
        "The token's role does not grant this",
        "令牌的角色没有此权限",
    ),
    (
        "The request may come from another site's page",
        "该请求可能来自其他网站的页面",
    ),
    ("Internal error", "内部错误"),
    ("A parameter cannot be used", "参数无法使用"),
    ("The body cannot be used", "请求体无法使用"),
    ("No journal is configured", "没有配置回调记录库"),
    ("The callback is not a dead letter", "该回调不是死信"),
    ("The body is not declared as JSON", "请求体未声明为 JSON"),
    ("The message is not kept", "消息未保存"),
    ("Not paused", "没有暂停"),
    ("The queues hold messages", "队列中还有消息"),
    ("Too many wrong tokens", "错误令牌过多"),
    ("A token is required", "需要令牌"),
    ("The journal is unavailable", "回调记录库不可用"),
    ("No such callback", "没有此回调"),
    ("No such callee", "没有此被回调方"),
    ("No such message", "没有此消息"),
    ("No such route", "没有此路径"),
    (
        "The path does not support this method",
        "此路径不支持该方法",
    ),
    (
        "A body that holds nothing but the actor and the reason.",
        "仅含操作人与理由的请求体。",
    ),
    (
        "Who acts; for the audit log. May be left out with a named token.",
        "操作人，写入审计日志；令牌有名称时可省略。",
    ),
    ("Why; for the audit log.", "理由，写入审计日志。"),
    ("The decision on one address.", "对一个地址的判定。"),
    ("The address.", "地址。"),
    (
        "By which rule it is admitted or refused.",
        "依据哪条规则放行或拒绝。",
    ),
    (
        "What a target answered to an attempt that did not deliver.",
        "目标对一次未送达的尝试的应答。",
    ),
    (
        "The beginning of the body, masked, with escapes for control characters.",
        "正文的开头，已隐去敏感内容，控制字符以转义形式显示。",
    ),
    ("An app as all processes see it.", "各进程所见的一个应用。"),
    ("In the last minute.", "最近一分钟内。"),
    (
        "In the last minute, with 429.",
        "最近一分钟内以 429 拒绝的。",
    ),
    (
        "In the last minute, for another reason than a limit.",
        "最近一分钟内因限流以外的原因拒绝的。",
    ),
    (
        "Callbacks neither delivered nor given up nor cancelled; null if that is unknown.",
        "尚未送达、放弃或取消的回调数；未知时为 null。",
    ),
    (
        "Of these, with a time of the next attempt.",
        "其中已排定下次尝试的。",
    ),
    (
        "An attempt that has ended. Times are RFC 3339.",
        "一次已结束的尝试。时间均为 RFC 3339。",
    ),
    (
        "Its number in its process: with the instance it names the attempt.",
        "在其进程中的序号；与 instance 一起标识这次尝试。",
    ),
    (
        "What follows: `delivered`, `retry`, `deferred` or `dead_lettered`.",
        "后续：`delivered`、`retry`、`deferred` 或 `dead_lettered`。",
    ),
    ("One attempt.", "一次尝试。"),
    (
        "The cause of a failure in the words of what reported it.",
        "失败原因，保留报告方的原话。",
    ),
    ("An entry of the audit log.", "审计日志中的一条记录。"),
    (
        "When the last of its requests ended.",
        "其最后一次请求的结束时间。",
    ),
    ("The body as it is sent.", "请求体。"),
    (
        "Erase: the `next` of the step before.",
        "抹除：上一步返回的 `next`。",
    ),
    (
        "Erase: what waits is cancelled first.",
        "抹除：先取消等待中的回调。",
    ),
    ("Only count.", "只统计数量。"),
    (
        "Recover: whatever the queues hold.",
        "恢复：不论队列中有什么都执行。",
    ),
    ("Instead of a filter: whole ids.", "代替条件：完整的 id。"),
    (
        "With a filter: at most so many in this step.",
        "使用条件时：本步最多处理的数量。",
    ),
    (
        "Requests with the same operation share an entry of the audit log: a UUID.",
        "operation 相同的请求共用一条审计日志记录：一个 UUID。",
    ),
    (
        "A dry run of retry now: how many a second are going to be sent.",
        "立即重试的试运行：准备每秒发送多少。",
    ),
    ("The answer to a dry run.", "试运行的应答。"),
    (
        "Recover: when the interrupted recovery with this reason began, if there is one.",
        "恢复：理由相同的中断了的恢复从何时开始（如果有）。",
    ),
    (
        "Retry now and expedite: when all have been attempted.",
        "立即重试与对方已恢复：何时全部尝试完毕。",
    ),
    ("To how many it could be done now.", "现在可以执行的数量。"),
    (
        "The selected ids that it could not be done to.",
        "选中但无法执行的 id。",
    ),
    (
        "The time of counting. As `updated_before` it excludes what changes later.",
        "统计的时间。作为 `updated_before` 可排除此后变化的回调。",
    ),
    (
        "Recover: how many messages the queues hold, dead letters apart; null: unknown.",
        "恢复：队列中的消息数，不含死信；未知时为 null。",
    ),
    (
        "Others that match the filter, and why they would not be touched.",
        "符合条件但不会处理的回调及其原因。",
    ),
    (
        "What a request, or one step of a command, did.",
        "一次请求或命令的一步所完成的内容。",
    ),
    ("How many it was done to.", "已执行的数量。"),
    ("Whether more may match.", "是否可能还有符合条件的。"),
    (
        "Erase: the `after` of the next request.",
        "抹除：下一次请求的 `after`。",
    ),
    (
        "Taken, and not confirmed by the broker yet; published again within about a minute.",
        "已受理，消息队列尚未确认；约一分钟内再次发布。",
    ),
    (
        "Expedite: for how many apps a breaker or a `Retry-After` gave way in this process.",
        "对方已恢复：此进程中为多少个应用放行了熔断器或 `Retry-After`。",
    ),
    (
        "May be in an attempt now; cancelled if they have to wait again.",
        "可能正有一次尝试；再次等待时即被取消。",
    ),
    (
        "A callback must match all that is given; `{}` selects all that the act is for.",
        "回调须符合给出的全部条件；`{}` 选出该操作适用的全部回调。",
    ),
    ("Of this app", "该应用的"),
    ("For this callee", "发往该被回调方的"),
    (
        "Dead-lettered at this time or later: RFC 3339 or Unix milliseconds",
        "在此时间或之后成为死信：RFC 3339 或 Unix 毫秒",
    ),
    ("Dead-lettered before this time", "在此时间之前成为死信"),
    ("Deferred for this reason", "因此原因被推迟"),
    ("`true`: discarded ones, too", "`true`：包括已丢弃的"),
    (
        "Whose last attempt was answered with this status",
        "最近一次尝试的应答状态码",
    ),
    ("Of this type", "该消息类型的"),
    ("Dead-lettered for this reason", "因此原因成为死信"),
    ("Accepted at this time or later", "在此时间或之后受理"),
    (
        "With this status; several are separated by commas",
        "处于该状态；多个以逗号分隔",
    ),
    ("For this target: any URL of it", "发往该目标：其任意 URL"),
    ("Accepted before this time", "在此时间之前受理"),
    (
        "With nothing recorded since this time",
        "此时间以来没有新记录",
    ),
    (
        "A callback. Times are RFC 3339.",
        "一个回调。时间均为 RFC 3339。",
    ),
    ("Oldest first; not in lists.", "最早的在前；列表中不含。"),
    (
        "The callee's name, if it is registered and has one.",
        "被回调方的名称（已登记且有名称时）。",
    ),
    (
        "Not by an operator, but because of its age.",
        "不是由运维人员丢弃，而是因为超过保存期限。",
    ),
    (
        "Since when its attempt is due, if it has not ended and is due.",
        "从何时起到期（未结束且已到期时）。",
    ),
    (
        "Why it waits or has ended, and what happens next, for people.",
        "为何等待或已结束，以及后续如何，供人阅读。",
    ),
    ("How often it was replayed.", "重放的次数。"),
    (
        "Whether the journal has its message: it can be retried now, or replayed.",
        "回调记录库中是否有其消息：可以立即重试或重放。",
    ),
    (
        "How often it was retried now in this generation.",
        "本轮中立即重试的次数。",
    ),
    (
        "The cause of the last attempt, if it has one.",
        "最近一次尝试的原因（如果有）。",
    ),
    (
        "As of now: `delivering` if a process is known to hold it.",
        "当前状态：已知有进程持有时为 `delivering`。",
    ),
    (
        "Scheme, host and port; empty if unknown.",
        "协议、主机与端口；未知时为空。",
    ),
    ("Calls by how they ended.", "按结果统计的调用。"),
    (
        "Without an answer, by `refused`, `timeout`, `dns`, `tls`, ...",
        "没有应答的，按 `refused`、`timeout`、`dns`、`tls` 等统计。",
    ),
    (
        "Attempts that made no call: an address refused by the guard, an error of our own.",
        "没有发出调用的尝试：地址被拒绝，或网关自身的错误。",
    ),
    (
        "Answers that are no delivery, by `4xx`, `3xx`, `5xx`, ..., `success_rule`.",
        "未送达的应答，按 `4xx`、`3xx`、`5xx`、`success_rule` 等统计。",
    ),
    ("The result of a cancellation.", "取消的结果。"),
    ("The answer to a cancellation.", "取消的应答。"),
    ("The result of a discard.", "丢弃的结果。"),
    (
        "Whether more dead letters may match.",
        "是否可能还有符合条件的死信。",
    ),
    (
        "Selected ids that are not dead letters (any more), or not known.",
        "选中但不（再）是死信或未知的 id。",
    ),
    (
        "What the checks of a process found.",
        "一个进程的检查结果。",
    ),
    (
        "When the process began to answer, by its clock.",
        "进程开始应答的时间，以其时钟为准。",
    ),
    ("Role, machine and process.", "角色、主机与进程。"),
    ("An estimate.", "估计。"),
    (
        "In so many seconds all have been attempted, at the pace of the request and that of the targets. Null: not known, because the pace of a target is not.",
        "按请求的速率与各目标的速率，多少秒后全部尝试完毕。null：因有目标的速率未知而无法估计。",
    ),
    (
        "Not all that match were looked at: the counts are extrapolated from the newest.",
        "没有逐一查看全部符合条件的：数量由最新的推算。",
    ),
    (
        "The slowest targets, those whose pace is not known first.",
        "最慢的目标，速率未知的在前。",
    ),
    (
        "What is back: exactly one of callee and target.",
        "已恢复的对象：被回调方与目标中必须且只能有一个。",
    ),
    ("A registered callee.", "已登记的被回调方。"),
    ("At most so many in this step.", "本步最多处理的数量。"),
    (
        "Whether breakers give way. A command says so in its first step alone: a failing probe must not be repeated by every step.",
        "熔断器是否放行。命令只在第一步这样要求：失败的探测不应在每一步重复。",
    ),
    (
        "A dry run: how many a second are going to be sent.",
        "试运行：准备每秒发送多少。",
    ),
    ("A target: any URL of it.", "目标：其任意 URL。"),
    (
        "With nothing recorded since this time: RFC 3339 or Unix milliseconds.",
        "此时间以来没有新记录：RFC 3339 或 Unix 毫秒。",
    ),
    ("Figures of the rollups.", "汇总数据。"),
    ("Attempts in each bucket.", "各区间内的尝试数。"),
    (
        "An estimate, by the buckets; without an attempt there is none.",
        "按区间估计；没有尝试时为空。",
    ),
    ("What one check found.", "一项检查的结果。"),
    ("The name of the check.", "检查项的名称。"),
    (
        "What to do next, if anything.",
        "下一步该做什么（如果有）。",
    ),
    ("The section of the runbook.", "运维手册中的章节。"),
    ("What is so.", "情况说明。"),
    ("How bad it is.", "严重程度。"),
    (
        "Since when, RFC 3339, where the check knows it.",
        "从何时起（RFC 3339），检查项知道时给出。",
    ),
    ("The decision on a target.", "对一个目标的判定。"),
    (
        "The decision on each address, as far as the host came to be looked at.",
        "对各地址的判定（查看到主机这一步时）。",
    ),
    (
        "Why the target would not be called.",
        "为何不会调用该目标。",
    ),
    ("Scheme, host and port.", "协议、主机与端口。"),
    (
        "Whether a target may be called, as a process has decided.",
        "某个进程判定的目标是否允许调用。",
    ),
    ("A process that holds a callback.", "持有某个回调的进程。"),
    (
        "Whether its call is being made; if not, it waits for a permit or for its record.",
        "是否正在调用；否则在等待许可或等待写入记录。",
    ),
    ("A running process.", "运行中的进程。"),
    (
        "Whether it has answered. If not, everything else is its last answer.",
        "是否应答。没有应答时，其余内容为其上一次应答。",
    ),
    (
        "How far its clock is ahead of that of the process that was asked. Unknown of a silent one.",
        "其时钟比被询问进程快多少；没有应答的进程为未知。",
    ),
    (
        "A hash of its settings, without secrets and without the addresses of its listeners.",
        "其设置的哈希，不含密钥和监听地址。",
    ),
    (
        "The sections that differ from those of most processes of this role.",
        "与多数同角色进程不同的配置节。",
    ),
    (
        "The last call that did not deliver.",
        "最近一次未送达的调用。",
    ),
    ("The process that made the call.", "发出调用的进程。"),
    ("How many dead letters are selected.", "选中的死信数。"),
    (
        "Dead letters now. The bodies of some may be past their retention; those cannot be replayed.",
        "当前的死信数。有些的内容可能已过保存期限，不能重放。",
    ),
    (
        "The time of counting. As `updated_before` it excludes what is dead-lettered later.",
        "统计的时间。作为 `updated_before` 可排除此后成为死信的。",
    ),
    (
        "A selected callback that it could not be done to.",
        "选中但无法执行的回调。",
    ),
    ("For people.", "供人阅读。"),
    ("For programs.", "供程序使用。"),
    ("What is not on the page.", "本页未列出的。"),
    (
        "At least so many: each process names those with the most alone.",
        "至少这么多：每个进程只列出最多的那些。",
    ),
    (
        "What is paused: exactly one of the first five, and who pauses it.",
        "要暂停的对象：前五项中必须且只能有一项，以及操作人。",
    ),
    ("An app.", "应用。"),
    ("A type of message.", "消息类型。"),
    ("`intake` or `deliveries`.", "`intake` 或 `deliveries`。"),
    ("Which processes know a pause.", "哪些进程已知悉暂停。"),
    ("A pause in force.", "生效中的暂停。"),
    (
        "`callee`, `target`, `app`, `message_type`, `intake` or `deliveries`.",
        "`callee`、`target`、`app`、`message_type`、`intake` 或 `deliveries`。",
    ),
    ("The answer to a request to pause.", "暂停请求的应答。"),
    ("False: it was paused already.", "false：此前已暂停。"),
    ("Where the pause is in force.", "暂停在哪些进程生效。"),
    (
        "The message of a callback, and what targets answered.",
        "一个回调的消息，以及目标的应答。",
    ),
    (
        "Of the attempts whose answers were kept, oldest first.",
        "保存了应答的各次尝试，最早的在前。",
    ),
    (
        "The queue message, if the journal has it.",
        "队列消息（回调记录库中有时）。",
    ),
    ("Problem details (RFC 9457).", "错误详情（RFC 9457）。"),
    (
        "What kind of problem it is, for programs.",
        "错误的类型，供程序使用。",
    ),
    ("What is wrong, for people.", "具体错误，供人阅读。"),
    ("The HTTP status.", "HTTP 状态码。"),
    (
        "What all problems of a code share.",
        "同一代码的错误共有的标题。",
    ),
    ("A URN that ends with the code.", "以错误代码结尾的 URN。"),
    ("How a reload ended.", "重新加载的结果。"),
    (
        "The last reload of a process's settings.",
        "进程最近一次重新加载设置。",
    ),
    (
        "Why the new settings were refused; absent: they are in force.",
        "新设置被拒绝的原因；没有此项：已生效。",
    ),
    (
        "The changed keys that need a restart.",
        "已更改且需要重启的设置项。",
    ),
    (
        "What came of the command to reload, in one process.",
        "一个进程执行重新加载命令的结果。",
    ),
    ("Why the new settings were refused.", "新设置被拒绝的原因。"),
    ("The result of a replay.", "重放的结果。"),
    (
        "Selected ids that are not dead letters (any more), or have no body.",
        "选中但不（再）是死信，或没有内容的 id。",
    ),
    (
        "Taken, but not confirmed by the broker; published again within about a minute.",
        "已受理，但消息队列未确认；约一分钟内再次发布。",
    ),
    ("In the queue again.", "已重新入队。"),
    (
        "Selected ids that the journal does not know.",
        "回调记录库中没有的 id。",
    ),
    (
        "Who has answered, and who has not.",
        "哪些进程已应答，哪些没有。",
    ),
    ("How many processes have answered.", "已应答的进程数。"),
    (
        "False: other processes could not be asked, and the figures are those of one process.",
        "false：无法询问其他进程，数据只来自一个进程。",
    ),
    (
        "Those that answered recently and have not answered now.",
        "近期应答过而此次没有应答的。",
    ),
    (
        "How bad it is. In this order, the worst last.",
        "严重程度，按此顺序，最严重的在后。",
    ),
    ("A process that has not answered.", "没有应答的进程。"),
    (
        "How long ago it was heard, in seconds.",
        "上次应答在多少秒前。",
    ),
    (
        "For instance `dispatcher host:4711`.",
        "例如 `dispatcher host:4711`。",
    ),
    ("What happened in a step.", "一个时间段内发生的情况。"),
    (
        "What happened in a time. Times are RFC 3339.",
        "一段时间内发生的情况。时间均为 RFC 3339。",
    ),
    ("When the first step begins.", "第一个时间段的开始。"),
    (
        "The upper bounds of `latency`, without the last bucket.",
        "`latency` 各区间的上限，不含最后一个区间。",
    ),
    ("Every step, oldest first.", "各时间段，最早的在前。"),
    ("When the last step ends.", "最后一个时间段的结束。"),
    ("What a target has of it.", "其中属于一个目标的部分。"),
    (
        "How many of the callbacks are for it.",
        "其中发往它的回调数。",
    ),
    ("The name of the callee.", "被回调方的名称。"),
    (
        "Calls per second that it takes, in all processes; null: not known.",
        "各进程合计每秒可接受的调用数；未知时为 null。",
    ),
    ("Why its pace is not known.", "为何不知道其速率。"),
    (
        "A callee or target as all processes see it.",
        "各进程所见的被回调方或目标。",
    ),
    (
        "The worst state among its apps and processes.",
        "其各应用与各进程中最差的状态。",
    ),
    (
        "For how many apps it is open or half open, in the process with the most.",
        "为多少个应用打开或半开，取最多的进程。",
    ),
    (
        "These apps, at most ten; of a callee none.",
        "这些应用，最多十个；被回调方没有此项。",
    ),
    (
        "An estimate of how many calls it takes a second; null: it was not called in the last five minutes.",
        "估计每秒可接受的调用数；null：最近五分钟没有调用过。",
    ),
    (
        "What remains of the target's `Retry-After`.",
        "目标的 `Retry-After` 还剩多少。",
    ),
    (
        "Since each of the processes knows the target.",
        "自各进程首次调用该目标以来。",
    ),
    (
        "How many calls may be in flight, in all processes; null: not known.",
        "各进程合计允许同时进行的调用数；未知时为 null。",
    ),
    (
        "Delivered calls among those that reached or should have reached the target, of the last five minutes; null without calls.",
        "最近五分钟内到达或应到达目标的调用中已送达的比例；没有调用时为 null。",
    ),
    (
        "What the journal holds for it; null if that is unknown.",
        "回调记录库中属于它的数据；未知时为 null。",
    ),
    ("Waiting in memory for a permit.", "在内存中等待许可的。"),
    ("Unfinished callbacks.", "未完成的回调。"),
    ("There may be more.", "可能还有更多。"),
    (
        "The body as it is sent: `ids`, or `all`.",
        "请求体：`ids` 或 `all`。",
    ),
    (
        "The oldest ones, whatever they are.",
        "最早的，不论是什么。",
    ),
    ("The ids of messages.", "消息的 id。"),
    (
        "How many of the oldest are looked at.",
        "查看最早的多少条。",
    ),
    ("An unreadable message.", "无法解析的消息。"),
    (
        "The first bytes of its body, with escapes; not in lists.",
        "其内容的开头，带转义；列表中不含。",
    ),
    (
        "The queue that it was read from, if its headers tell.",
        "读取它的队列（消息头中有时）。",
    ),
    ("Equal bytes have equal ids.", "内容相同则 id 相同。"),
    (
        "Whether the process that was asked can decode it.",
        "被询问的进程能否解析它。",
    ),
    ("Why it could not be decoded.", "为何无法解析。"),
    ("The bytes of its body.", "其内容的字节数。"),
    (
        "Callbacks that match and would not be touched.",
        "符合条件但不会处理的回调。",
    ),
    ("The `after` of the next page.", "下一页的 `after`。"),
    (
        "There while intake or deliveries are stopped.",
        "接收或投递停止期间出现。",
    ),
];

/// The Chinese wording, if there is one. Line ends of a comment are spaces.
pub(super) fn chinese(english: &str) -> Option<&'static str> {
    let english = english.replace('\n', " ");
    let found = DESCRIPTIONS.iter().find(|(known, _)| *known == english);
    found.map(|(_, chinese)| *chinese)
}

/// Puts the Chinese wording in place of each description that is English.
pub(super) fn translate(document: &mut Value) {
    match document {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        if let Some(chinese) = chinese(text) {
                            *text = chinese.to_owned();
                        }
                    }
                    other => translate(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(translate),
        _ => {}
    }
}
