//! Certificates of callees that expire soon.

use crate::doctor::facts::{CertificateFacts, Facts};
use crate::doctor::finding::Finding;
use crate::doctor::said::{Said, say};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Enough time to have a certificate renewed.
const SOON_MS: u64 = 14 * DAY_MS;
/// How many are named.
const MAX_NAMED: usize = 5;

/// The certificates that expire within two weeks, or else the one that expires first.
pub(super) fn expiry(facts: &Facts) -> Finding {
    const CHECK: &str = "certificates";
    let certificates = match &facts.certificates {
        Err(reason) => {
            return Finding::unknown(
                CHECK,
                say!("they are not known: {reason}", "情况未知：{reason}"),
            );
        }
        Ok(certificates) if certificates.is_empty() => {
            return Finding::ok(
                CHECK,
                say!(
                    "no registered callee is called with TLS",
                    "没有已登记的被回调方使用 TLS"
                ),
            );
        }
        Ok(certificates) => certificates,
    };
    let seen = certificates.iter().filter_map(|certificate| {
        let not_after = certificate.not_after?;
        Some((not_after, certificate))
    });
    let mut seen: Vec<(u64, &CertificateFacts)> = seen.collect();
    seen.sort_by_key(|(not_after, _)| *not_after);
    let unseen = match certificates.len() - seen.len() {
        0 => Said::default(),
        count => say!(
            "; of {count} no handshake has been seen yet",
            "；其中 {count} 个尚未握手"
        ),
    };
    let whose = match &facts.instances {
        Some(_) => Said::default(),
        None => say!("; other processes could not be asked", "；无法询问其他进程"),
    };
    let Some((first, _)) = seen.first() else {
        let sentence = say!(
            "no handshake with a registered callee has been seen since the start{0}",
            "启动以来尚未与已登记的被回调方握手{0}",
            whose
        );
        return Finding::unknown(CHECK, sentence);
    };
    let (soon, has_expired) = (
        *first < facts.now.saturating_add(SOON_MS),
        *first <= facts.now,
    );
    let urgent = seen
        .iter()
        .take_while(|(not_after, _)| *not_after < facts.now.saturating_add(SOON_MS));
    // At least the first one.
    let count = urgent.count().max(1);
    let named: Vec<Said> = seen
        .iter()
        .take(count.min(MAX_NAMED))
        .map(|(not_after, certificate)| words(*not_after, certificate, facts.now))
        .collect();
    let more = match count.saturating_sub(MAX_NAMED) {
        0 => Said::default(),
        more => say!("; and {more} more", "；以及其他 {more} 个"),
    };
    let named = Said::join(&named, "; ", "；");
    let mut sentence = say!("{0}{1}{2}{3}", "{0}{1}{2}{3}", named, more, unseen, whose);
    if !soon {
        sentence = say!("the first to expire: {0}", "最先到期：{0}", sentence);
        return Finding::ok(CHECK, sentence);
    }
    let finding = match has_expired {
        true => Finding::failure(CHECK, sentence),
        false => Finding::warning(CHECK, sentence),
    };
    finding
        .next(say!(
            "ask its owner to renew it; callbacks fail with a TLS error from then on",
            "请其负责人更新证书；到期后回调将因 TLS 错误失败"
        ))
        .runbook("a-certificate-expires")
}

/// `crm.example (EO001 乐居新房) expires at 2026-12-06T12:00:00.000Z, in 13 days`
fn words(not_after: u64, certificate: &CertificateFacts, now: u64) -> Said {
    let CertificateFacts { host, callees, .. } = certificate;
    let callees = match callees.is_empty() {
        true => String::new(),
        false => format!(" ({callees})"),
    };
    let at = contract::rfc3339(not_after);
    match not_after.checked_sub(now) {
        None | Some(0) => say!(
            "{host}{callees} expired at {at}",
            "{host}{callees} 已于 {at} 到期"
        ),
        Some(left) => {
            let days = match left / DAY_MS {
                0 => say!("less than a day", "不足 1 天"),
                1 => say!("1 day", "1 天"),
                days => say!("{days} days", "{days} 天"),
            };
            say!(
                "{host}{callees} expires at {at}, in {0}",
                "{host}{callees} 将于 {at} 到期，还有 {0}",
                days
            )
        }
    }
}
