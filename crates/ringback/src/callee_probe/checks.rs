//! What the answers say of a callee. Pure.

use x509_parser::parse_x509_certificate;

use super::exchange::{CalleeAnswer, Exchange};
use super::finding::{Mark, ProbeFinding};
use super::follows::follows;
use super::target::ProbeTarget;
use crate::lang::Lang;

/// An answer that takes a larger part of the timeout is slow.
const SLOW_PART: u32 = 3;
/// A certificate that expires sooner is named.
const SOON_DAYS: i64 = 21;
const DAY_SECONDS: i64 = 24 * 60 * 60;

pub(super) fn address(target: &ProbeTarget, lang: Lang) -> ProbeFinding {
    let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
    ProbeFinding::new(
        lang.say("address", "地址"),
        Mark::Good,
        format!("{} ({})", addresses.join(", "), target.admitted_by),
    )
}

/// What was answered, in words.
fn answered(exchange: &Exchange, lang: Lang) -> String {
    match (&exchange.answer, lang) {
        (Ok(CalleeAnswer { status, .. }), Lang::En) => format!("it answered {status}"),
        (Ok(CalleeAnswer { status, .. }), Lang::Zh) => format!("应答 {status}"),
        (Err(none), Lang::En) => format!("no answer: {}", none.reason),
        (Err(none), Lang::Zh) => format!("没有应答：{}", none.reason),
    }
}

/// The same, with what follows from it.
fn consequence(exchange: &Exchange, target: &ProbeTarget, lang: Lang) -> String {
    let follows = follows(&exchange.outcome(), target, lang);
    match lang {
        Lang::En => format!(
            "{}. A callback that ends so {follows}",
            answered(exchange, lang)
        ),
        Lang::Zh => format!("{}。这样的回调{follows}", answered(exchange, lang)),
    }
}

pub(super) fn accepts(first: &Exchange, target: &ProbeTarget, lang: Lang) -> ProbeFinding {
    let name = lang.say("accepts a message", "接收消息");
    let took = first.took.as_millis();
    if !first.is_accepted() {
        return ProbeFinding::new(name, Mark::Bad, consequence(first, target, lang));
    }
    let sentence = match lang {
        Lang::En => format!("{} in {took} ms", answered(first, lang)),
        Lang::Zh => format!("{}，耗时 {took} 毫秒", answered(first, lang)),
    };
    if first.took > target.timeout / SLOW_PART {
        let timeout = humantime::format_duration(target.timeout);
        let slow = match lang {
            Lang::En => format!(
                "{sentence}: slow. After {timeout} an attempt has failed: answer first, and work afterwards"
            ),
            Lang::Zh => format!("{sentence}：偏慢。超过 {timeout} 即视为失败：请先应答，再处理"),
        };
        return ProbeFinding::new(name, Mark::Warning, slow);
    }
    ProbeFinding::new(name, Mark::Good, sentence)
}

pub(super) fn duplicate(again: &Exchange, target: &ProbeTarget, lang: Lang) -> ProbeFinding {
    let name = lang.say(
        "a repeat with the same webhook-id",
        "相同 webhook-id 的重复消息",
    );
    match again.is_accepted() {
        true => ProbeFinding::new(
            name,
            Mark::Good,
            format!(
                "{}. {}",
                answered(again, lang),
                lang.say(
                    "Check on your side that it was processed once",
                    "请在您这一侧确认只处理了一次",
                )
            ),
        ),
        false => ProbeFinding::new(
            name,
            Mark::Bad,
            format!(
                "{}. {}",
                consequence(again, target, lang),
                lang.say(
                    "Answer 2xx to what you have already",
                    "对已收到过的消息也应答 2xx",
                )
            ),
        ),
    }
}

pub(super) fn keep_alive(first: &Exchange, again: &Exchange, lang: Lang) -> ProbeFinding {
    let name = lang.say("keep-alive", "长连接");
    let (Ok(first), Ok(again)) = (&first.answer, &again.answer) else {
        return ProbeFinding::new(
            name,
            Mark::Skipped,
            lang.say("not both were answered", "未都得到应答"),
        );
    };
    if first.is_cut || again.is_cut {
        // The connection was given up with the rest of the answer.
        return ProbeFinding::new(
            name,
            Mark::Skipped,
            lang.say(
                "an answer is so long that it was not read to its end",
                "应答过长，未读完",
            ),
        );
    }
    let reused = first.local.is_some() && first.local == again.local;
    match reused && !again.closes {
        true => ProbeFinding::new(
            name,
            Mark::Good,
            lang.say("the connection is kept", "连接保持"),
        ),
        false => ProbeFinding::new(
            name,
            Mark::Warning,
            lang.say(
                "each call needs a new connection: keep it open, it saves both sides work and time",
                "每次调用都要新建连接：建议保持连接，双方都省时省力",
            ),
        ),
    }
}

pub(super) fn unsigned(lang: Lang) -> ProbeFinding {
    ProbeFinding::new(
        lang.say("signature", "签名"),
        Mark::Skipped,
        lang.say(
            "messages are not signed, so anybody can send them: set signing_secrets, or --secret",
            "消息没有签名，任何人都可以伪造：请配置 signing_secrets，或使用 --secret",
        ),
    )
}

pub(super) fn forged(exchange: &Exchange, lang: Lang) -> ProbeFinding {
    let name = lang.say("a forged signature", "伪造的签名");
    let (mark, sentence) = match exchange.status() {
        Some(200..=299) => (
            Mark::Bad,
            lang.say(
                "accepted: the signature is not checked, so anybody can send it messages",
                "被接受：没有校验签名，任何人都可以伪造消息",
            ),
        ),
        Some(400 | 401 | 403) => (Mark::Good, lang.say("refused", "被拒绝")),
        _ => (
            Mark::Warning,
            lang.say(
                "not accepted; answer 401 or 403",
                "未接受；请应答 401 或 403",
            ),
        ),
    };
    ProbeFinding::new(
        name,
        mark,
        format!("{} ({})", sentence, answered(exchange, lang)),
    )
}

pub(super) fn old(exchange: &Exchange, lang: Lang) -> ProbeFinding {
    let name = lang.say("a message signed an hour ago", "一小时前签名的消息");
    let (mark, sentence) = match exchange.status() {
        Some(200..=299) => (Mark::Warning, lang.say(
            "accepted: whoever has seen a message can send it again. Refuse what is more than 5 minutes old",
            "被接受：看到过消息的人可以再次发送。请拒绝超过 5 分钟的消息",
        )),
        Some(400 | 401 | 403) => (Mark::Good, lang.say("refused", "被拒绝")),
        _ => (Mark::Warning, lang.say("not accepted; answer 401 or 403", "未接受；请应答 401 或 403")),
    };
    ProbeFinding::new(
        name,
        mark,
        format!("{} ({})", sentence, answered(exchange, lang)),
    )
}

/// A message that should be accepted like any other.
fn like_any_other(
    name: &'static str,
    otherwise: Mark,
    (exchange, target, lang): (&Exchange, &ProbeTarget, Lang),
) -> ProbeFinding {
    match exchange.is_accepted() {
        true => ProbeFinding::new(name, Mark::Good, answered(exchange, lang)),
        false => ProbeFinding::new(name, otherwise, consequence(exchange, target, lang)),
    }
}

pub(super) fn unknown_type(exchange: &Exchange, target: &ProbeTarget, lang: Lang) -> ProbeFinding {
    let name = lang.say("an unknown message type", "未知的消息类型");
    like_any_other(name, Mark::Warning, (exchange, target, lang))
}

pub(super) fn large(exchange: &Exchange, target: &ProbeTarget, lang: Lang) -> ProbeFinding {
    let name = lang.say("the largest body", "最大的消息体");
    like_any_other(name, Mark::Warning, (exchange, target, lang))
}

pub(super) fn slow(exchange: &Exchange, target: &ProbeTarget, lang: Lang) -> ProbeFinding {
    let name = lang.say("a body that arrives slowly", "缓慢到达的消息体");
    like_any_other(name, Mark::Warning, (exchange, target, lang))
}

/// The chain is trusted where there is an answer; so this is about when the certificate expires.
pub(super) fn tls(first: &Exchange, target: &ProbeTarget, lang: Lang) -> Option<ProbeFinding> {
    let name = "TLS";
    if target.url.scheme() == "http" {
        let sentence = lang.say(
            "none: anybody on the network path can read and change messages. Use https",
            "未使用：途经的任何人都能读取和修改消息。请使用 https",
        );
        let is_local = target.is_loopback();
        return Some(ProbeFinding::new(
            name,
            if is_local { Mark::Note } else { Mark::Warning },
            sentence,
        ));
    }
    let certificate = first.answer.as_ref().ok()?.certificate.as_deref()?;
    let now = i64::try_from(contract::unix_seconds(std::time::SystemTime::now())).ok()?;
    Some(expiry(certificate, now, lang))
}

fn expiry(certificate: &[u8], now: i64, lang: Lang) -> ProbeFinding {
    let name = "TLS";
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        let sentence = lang.say("the certificate cannot be read", "无法读取证书");
        return ProbeFinding::new(name, Mark::Skipped, sentence);
    };
    let days = (certificate.validity().not_after.timestamp() - now).div_euclid(DAY_SECONDS);
    let sentence = match lang {
        Lang::En => format!("the chain is trusted; the certificate expires in {days} days"),
        Lang::Zh => format!("证书链可信；证书 {days} 天后到期"),
    };
    let mark = if days < SOON_DAYS {
        Mark::Warning
    } else {
        Mark::Good
    };
    ProbeFinding::new(name, mark, sentence)
}
