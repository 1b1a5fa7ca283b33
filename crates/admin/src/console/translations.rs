//! Chinese for what the API says with a name for programs: kinds of errors, and why something cannot be done
//! to a callback. Its English sentence stands beside an error, because that has the particulars.

use super::language::PageLanguage;
use crate::api::error::ProblemCode;

/// The kind of an error.
pub(super) const fn problem(code: ProblemCode, language: PageLanguage) -> Option<&'static str> {
    match language {
        PageLanguage::English => None,
        PageLanguage::Chinese => Some(chinese(code)),
    }
}

const fn chinese(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::InvalidParameter => "参数无法使用",
        ProblemCode::InvalidBody => "填写的内容无法使用",
        ProblemCode::Unauthenticated => "需要令牌",
        ProblemCode::InsufficientRole => "令牌的角色没有此权限",
        ProblemCode::ForeignOrigin => "该请求可能来自其他网站的页面",
        ProblemCode::UnknownRoute => "没有此页面",
        ProblemCode::UnknownCallback => "没有此回调",
        ProblemCode::UnknownCallee => "没有此被回调方",
        ProblemCode::UnknownMessage => "没有此消息",
        ProblemCode::NotPaused => "没有暂停",
        ProblemCode::MethodNotAllowed => "此页面不支持该方法",
        ProblemCode::NotADeadLetter => "该回调不是死信",
        ProblemCode::NotKept => "消息未保存",
        ProblemCode::QueuesNotEmpty => "队列中还有消息",
        ProblemCode::AlreadyRunning => "相同的批量操作正在进行",
        ProblemCode::TooManyRunning => "正在进行的批量操作过多",
        ProblemCode::AlreadyEnded => "该回调已结束",
        ProblemCode::BodyTooLarge => "内容过大",
        ProblemCode::TooManyFailures => "错误令牌过多",
        ProblemCode::NotJson => "内容类型不是 JSON",
        ProblemCode::Internal => "内部错误，日志中有原因",
        ProblemCode::NoJournal => "没有配置回调记录库",
        ProblemCode::Unavailable => "回调记录库或消息队列不可用",
    }
}

/// The name of a check.
pub(super) fn check(name: &str, language: PageLanguage) -> String {
    let chinese = match (language, name) {
        (PageLanguage::English, other) => other,
        (PageLanguage::Chinese, "broker") => "消息队列",
        (PageLanguage::Chinese, "certificates") => "证书",
        (PageLanguage::Chinese, "clocks") => "时钟",
        (PageLanguage::Chinese, "consumers") => "消费者",
        (PageLanguage::Chinese, "dead letters") => "死信",
        (PageLanguage::Chinese, "disk") => "磁盘",
        (PageLanguage::Chinese, "files") => "打开的文件",
        (PageLanguage::Chinese, "journal") => "回调记录库",
        (PageLanguage::Chinese, "journal backlog") => "待写入的记录",
        (PageLanguage::Chinese, "memory") => "内存",
        (PageLanguage::Chinese, "nodes") => "RabbitMQ 节点",
        (PageLanguage::Chinese, "oldest due") => "最早到期的回调",
        (PageLanguage::Chinese, "pauses") => "暂停",
        (PageLanguage::Chinese, "processes") => "进程",
        (PageLanguage::Chinese, "queues") => "队列",
        (PageLanguage::Chinese, "rescue") => "等待救援的消息",
        (PageLanguage::Chinese, "settings") => "设置",
        (PageLanguage::Chinese, "targets") => "目标",
        (PageLanguage::Chinese, "topology") => "拓扑",
        (PageLanguage::Chinese, "unreadable") => "无法解析的消息",
        (PageLanguage::Chinese, "your clock") => "您的时钟",
        (PageLanguage::Chinese, other) => other,
    };
    chinese.to_owned()
}

/// Why it cannot be done to a callback, or was not done to some: by the name of the reason, with the API's
/// sentence where there is no other.
pub(super) fn hindrance(reason: &str, sentence: String, language: PageLanguage) -> String {
    let chinese = match (language, reason) {
        (PageLanguage::English, _) => None,
        (PageLanguage::Chinese, "unknown") => Some("回调记录库中没有它"),
        (PageLanguage::Chinese, "not_waiting") => {
            Some("它没有在等待：已结束、即将取消，或已到期并将立即处理")
        }
        (PageLanguage::Chinese, "no_message") => {
            Some("回调记录库中没有其消息：它尚未失败并将立即处理，或 journal.keep_waiting 已关闭")
        }
        (PageLanguage::Chinese, "due") => Some("已到期并将立即处理，或即将取消"),
        (PageLanguage::Chinese, "delayed") => {
            Some("等待调用方要求的时间：可用 deferred_reason: delayed 单独选出")
        }
        (PageLanguage::Chinese, "ended") => Some("它已结束"),
        (PageLanguage::Chinese, "not_kept") => Some(
            "其消息未保存，或已不再保存（journal.keep_delivered、dead_letters.retention），或已抹除",
        ),
        (PageLanguage::Chinese, "not_replayable") => {
            Some("它既未送达也不是死信，或已丢弃或抹除，或其消息已超过保存期限")
        }
        (PageLanguage::Chinese, "waits") => Some("它尚未结束，请先取消"),
        (PageLanguage::Chinese, "cancel_requested") => {
            Some("可能正有一次尝试：若失败则取消；之后可再试")
        }
        (PageLanguage::Chinese, _) => None,
    };
    chinese.map_or(sentence, str::to_owned)
}

#[cfg(test)]
mod tests {
    use contract::CallbackStatus;

    use super::*;
    use crate::api::bulk_view::Hindrance;

    fn is_chinese(text: &str) -> bool {
        text.chars()
            .any(|char| ('\u{4e00}'..='\u{9fff}').contains(&char))
    }

    #[test]
    fn every_kind_of_error_and_every_hindrance_is_said_in_chinese() {
        for code in ProblemCode::ALL {
            let said = problem(*code, PageLanguage::Chinese).unwrap();
            assert!(is_chinese(said), "{}", code.as_str());
            assert_eq!(problem(*code, PageLanguage::English), None);
        }
        for one in [
            Hindrance::Unknown,
            Hindrance::NotWaiting,
            Hindrance::NoMessage,
            Hindrance::Ended(CallbackStatus::Delivered),
            Hindrance::NotKept,
            Hindrance::NotReplayable,
            Hindrance::Waits,
            Hindrance::CancelRequested,
        ] {
            let refused = one.of(uuid::Uuid::nil());
            let said = |language| hindrance(&refused.reason, refused.detail.clone(), language);
            assert!(is_chinese(&said(PageLanguage::Chinese)), "{refused:?}");
            assert_eq!(said(PageLanguage::English), refused.detail);
        }
        let other = hindrance("new", "as it is".to_owned(), PageLanguage::Chinese);
        assert_eq!(other, "as it is");
    }
}
