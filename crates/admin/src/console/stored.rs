//! Chinese for words of the gateway that are stored in the journal, or sent between processes, in English:
//! details of attempts, what an entry of the audit log is about. Words of other systems
//! (rustls, the operating system) stay as they are.

use contract::CallbackStatus;

use super::language::PageLanguage;
use crate::api::query_params::name_in_filter;

/// Sentences that are always the same.
const SENTENCES: [(&str, &str); 38] = [
    // Details of attempts: delivery/src/retry/cause.rs, delivery/src/guard/refusal.rs.
    (
        "the question for the IPv4 addresses failed",
        "IPv4 地址查询失败",
    ),
    (
        "the question for the IPv6 addresses failed",
        "IPv6 地址查询失败",
    ),
    (
        "the questions for the IPv4 and the IPv6 addresses failed",
        "IPv4 与 IPv6 地址查询均失败",
    ),
    (
        "the answer does not begin with an HTTP/1 version",
        "应答不是以 HTTP/1 版本开头",
    ),
    ("the answer has no valid status", "应答没有有效的状态码"),
    (
        "the answer has an invalid header line",
        "应答中有无效的头部行",
    ),
    (
        "the answer's head is over 400 lines or 64 KiB",
        "应答的头部超过 400 行或 64 KiB",
    ),
    (
        "the answer's Content-Length or Transfer-Encoding is invalid or contradicts another",
        "应答的 Content-Length 或 Transfer-Encoding 无效或互相矛盾",
    ),
    ("the answer is not HTTP", "应答不是 HTTP"),
    (
        "the answer has no body, so the success rule finds no value",
        "应答没有正文，成功规则找不到值",
    ),
    (
        "the answer's body is not JSON, so the success rule finds no value",
        "应答正文不是 JSON，成功规则找不到值",
    ),
    (
        "the answer's body is compressed, although the request forbids it, so the success rule finds no value",
        "请求不允许压缩，而应答正文是压缩的，成功规则找不到值",
    ),
    (
        "the answer's JSON breaks off before the success rule's value",
        "应答的 JSON 在成功规则的值之前中断",
    ),
    (
        "the success rule's value is not within the first 64 KiB of the body",
        "成功规则的值不在正文的前 64 KiB 内",
    ),
    (
        "the answer's JSON has no value at success_pointer",
        "应答的 JSON 在 success_pointer 处没有值",
    ),
    (
        "the answer's JSON has an object or an array at success_pointer",
        "应答的 JSON 在 success_pointer 处是对象或数组",
    ),
    (
        "the address is unspecified (this network)",
        "地址为未指定地址（本网络）",
    ),
    ("the address is a loopback address", "地址为回环地址"),
    ("the address is in a private network", "地址在私有网络中"),
    ("the address is link-local", "地址为链路本地地址"),
    (
        "the address is a cloud metadata service",
        "地址为云厂商的元数据服务",
    ),
    (
        "the address is in the shared (carrier-grade NAT) range",
        "地址在运营商级 NAT 的共享网段内",
    ),
    ("the address is a multicast address", "地址为组播地址"),
    ("the address is the broadcast address", "地址为广播地址"),
    ("the address is in a reserved range", "地址在保留网段内"),
    (
        "the address is in a documentation range",
        "地址在文档示例网段内",
    ),
    (
        "the address is in a benchmarking range",
        "地址在设备测试网段内",
    ),
    (
        "the address is an IPv4 address embedded in IPv6",
        "地址为包含在 IPv6 中的 IPv4 地址",
    ),
    (
        "the URL is not https, and https is asked for",
        "URL 不是 https，而要求使用 https",
    ),
    ("the port is closed", "端口不允许访问"),
    (
        "neither host nor address is on the list of what may be called",
        "主机和地址都不在允许访问的名单中",
    ),
    // Subjects and reasons of the audit log.
    ("all dead letters", "全部死信"),
    ("all that waits", "全部等待中的回调"),
    ("all unreadable messages", "全部无法解析的消息"),
    ("settings", "设置"),
    ("nothing", "无"),
    ("no reason given", "未填写理由"),
    (
        "the token of its operator was removed, or no longer grants it",
        "操作人的令牌已删除，或不再具有此权限",
    ),
];

/// Sentences with one part: what stands before and after it, in both languages.
const PATTERNS: [([&str; 2], [&str; 2]); 3] = [
    (
        ["the target asks to be left alone for ", " s"],
        ["目标要求在 ", " 秒内不再调用"],
    ),
    (
        [
            "the message has version ",
            ", which this gateway does not know",
        ],
        ["消息的版本为 ", "，当前网关不支持"],
    ),
    (
        [
            "the message is of kind ",
            ", which this gateway does not know",
        ],
        ["消息的类型为 ", "，当前网关不支持"],
    ),
];

/// Beginnings, with what follows as it is.
const BEGINNINGS: [(&str, &str); 4] = [
    ("the bytes are not a message: ", "内容不是消息："),
    ("unreadable ", "无法解析的消息 "),
    ("message type ", "消息类型 "),
    ("app ", "应用 "),
];

/// The words in the language of the page; those that are not known stay as they are.
pub(super) fn words(english: &str, language: PageLanguage) -> String {
    match language {
        PageLanguage::English => english.to_owned(),
        PageLanguage::Chinese => chinese(english).unwrap_or_else(|| english.to_owned()),
    }
}

/// The reasons that the gateway itself writes in the audit log.
const REASONS: [&str; 2] = [
    "no reason given",
    "the token of its operator was removed, or no longer grants it",
];

/// A reason of the audit log. What people wrote stays as it is.
pub(super) fn reason(written: &str, language: PageLanguage) -> String {
    match REASONS.contains(&written) {
        true => words(written, language),
        false => written.to_owned(),
    }
}

fn chinese(english: &str) -> Option<String> {
    let fixed = SENTENCES.iter().find(|(sentence, _)| *sentence == english);
    if let Some((_, chinese)) = fixed {
        return Some((*chinese).to_owned());
    }
    let filled = PATTERNS.iter().find_map(|(written, chinese)| {
        let part = english.strip_prefix(written[0])?.strip_suffix(written[1])?;
        Some(format!("{}{part}{}", chinese[0], chinese[1]))
    });
    if filled.is_some() {
        return filled;
    }
    let found = BEGINNINGS.iter().find_map(|(beginning, chinese)| {
        let rest = english.strip_prefix(beginning)?;
        Some(format!("{chinese}{rest}"))
    });
    found.or_else(|| ids(english))
}

/// `3 ids: A, B, C`, `3 ids, A to C` and `3 ids`.
fn ids(english: &str) -> Option<String> {
    let (count, rest) = english.split_once(" ids")?;
    let count: u64 = count.parse().ok()?;
    let rest = match (rest.strip_prefix(", "), rest.strip_prefix(": ")) {
        (Some(range), _) => format!("，{}", range.replace(" to ", " 至 ")),
        (None, Some(listed)) => format!("：{listed}"),
        (None, None) if rest.is_empty() => String::new(),
        (None, None) => return None,
    };
    Some(format!("{count} 个 ID{rest}"))
}

/// What an entry of the audit log is about, or which callbacks an act is for: conditions have the names that a
/// filter has, so only the words between them are translated.
pub(super) fn subject(english: &str, language: PageLanguage) -> String {
    match language {
        PageLanguage::English => english.to_owned(),
        PageLanguage::Chinese => chinese(english).unwrap_or_else(|| conditions(english)),
    }
}

/// The names of a filter's conditions, in the order in which they are written.
const CONDITIONS: [&str; 14] = [
    "app_id ",
    "callee_no ",
    "target ",
    "message_type ",
    "reason ",
    "deferred_reason ",
    "status ",
    "outcome ",
    "http_status ",
    "since ",
    "until ",
    "dead_since ",
    "dead_until ",
    "updated_before ",
];

/// Whether this is what the condition `status` can say.
fn are_statuses(text: &str) -> bool {
    let is_status = |name| {
        let mut all = CallbackStatus::ALL.into_iter();
        all.any(|status| name_in_filter(status) == name)
    };
    text.split(" or ").all(is_status)
}

/// Conditions with Chinese words between them. A comma within a value is part of it: only before the name of a later
/// condition is it ours.
fn conditions(english: &str) -> String {
    let (mut said, mut last) = (String::new(), 0);
    for (number, part) in english.split(", ").enumerate() {
        let mut later = CONDITIONS.iter().skip(last);
        let place = later.position(|name| {
            let value = part.strip_prefix(name);
            value.is_some_and(|value| *name != "status " || are_statuses(value))
        });
        said.push_str(match (number, place) {
            (0, _) => "",
            (_, Some(_)) => "，",
            (_, None) => ", ",
        });
        last += place.map_or(0, |place| place + 1);
        match part.strip_prefix("status ") {
            Some(statuses) if place.is_some() => {
                said.push_str("status ");
                said.push_str(&statuses.replace(" or ", " 或 "));
            }
            _ => said.push_str(part),
        }
    }
    said
}

/// What was done, by its name in the audit log.
pub(super) fn action(name: &str, language: PageLanguage) -> String {
    let chinese = match name {
        "replay" => "重放",
        "discard" => "丢弃",
        "cancel" => "取消",
        "retry_now" => "立即重试",
        "expedite" => "对方已恢复",
        "recover" => "恢复",
        "erase" => "抹除",
        "pause" => "暂停",
        "resume" => "结束暂停",
        "reload" => "重新加载设置",
        "requeue_unreadable" => "放回无法解析的消息",
        "discard_unreadable" => "丢弃无法解析的消息",
        "look" => "查看消息",
        "stop" => "停止批量操作",
        other => other,
    };
    match language {
        PageLanguage::English => name.to_owned(),
        PageLanguage::Chinese => chinese.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use contract::MessageError;
    use delivery::{FailedLookup, MalformedPart, Refusal, UnreadableAnswer};

    use super::*;

    #[test]
    fn a_reason_that_somebody_wrote_stays_as_it_is() {
        for written in ["app crm is repaired", "settings", "nothing"] {
            assert_eq!(reason(written, PageLanguage::Chinese), written);
        }
        for ours in REASONS {
            let shown = reason(ours, PageLanguage::Chinese);
            assert!(shown.chars().all(|it| !it.is_ascii_alphabetic()), "{shown}");
        }
    }

    fn said(english: &str) -> String {
        words(english, PageLanguage::Chinese)
    }

    #[test]
    fn every_detail_of_an_attempt_is_said_in_chinese() {
        let details = [
            FailedLookup::Ipv4.to_string(),
            FailedLookup::Ipv6.to_string(),
            FailedLookup::Both.to_string(),
            MalformedPart::Version.to_string(),
            MalformedPart::Status.to_string(),
            MalformedPart::Header.to_string(),
            MalformedPart::HeadTooLarge.to_string(),
            MalformedPart::Framing.to_string(),
            MalformedPart::Other.to_string(),
            UnreadableAnswer::Empty.to_string(),
            UnreadableAnswer::NotJson.to_string(),
            UnreadableAnswer::Compressed.to_string(),
            UnreadableAnswer::Broken.to_string(),
            UnreadableAnswer::TooLong.to_string(),
            UnreadableAnswer::NoValue.to_string(),
            UnreadableAnswer::NotScalar.to_string(),
            Refusal::Unspecified.to_string(),
            Refusal::Loopback.to_string(),
            Refusal::Private.to_string(),
            Refusal::LinkLocal.to_string(),
            Refusal::Metadata.to_string(),
            Refusal::SharedAddress.to_string(),
            Refusal::Multicast.to_string(),
            Refusal::Broadcast.to_string(),
            Refusal::Reserved.to_string(),
            Refusal::Documentation.to_string(),
            Refusal::Benchmarking.to_string(),
            Refusal::Ipv4InIpv6.to_string(),
            Refusal::Scheme.to_string(),
            Refusal::Port.to_string(),
            Refusal::NotListed.to_string(),
            MessageError::UnknownVersion(9).to_string(),
        ];
        for detail in details {
            assert_ne!(said(&detail), detail);
            assert_eq!(words(&detail, PageLanguage::English), detail);
        }
    }

    #[test]
    fn parts_of_a_sentence_keep_their_places() {
        for (english, chinese) in [
            (
                "the target asks to be left alone for 7 s",
                "目标要求在 7 秒内不再调用",
            ),
            ("unreadable 7f", "无法解析的消息 7f"),
            ("3 ids, a to c", "3 个 ID，a 至 c"),
            ("2 ids: a, b", "2 个 ID：a, b"),
            (
                "certificate expired: of calls failed",
                "certificate expired: of calls failed",
            ),
        ] {
            assert_eq!(said(english), chinese);
        }
        let conditions = "app_id crm, status queued or retrying";
        assert_eq!(
            subject(conditions, PageLanguage::Chinese),
            "app_id crm，status queued 或 retrying"
        );
        assert_eq!(subject(conditions, PageLanguage::English), conditions);
        for (english, chinese) in [
            (
                "app_id a, b or c, status dead or expired, since 2026",
                "app_id a, b or c，status dead 或 expired，since 2026",
            ),
            ("status dead, message_type x", "status dead, message_type x"),
            (
                "message_type new, status x or y, app_id z, status dead",
                "message_type new, status x or y, app_id z，status dead",
            ),
        ] {
            assert_eq!(subject(english, PageLanguage::Chinese), chinese);
        }
    }
}
