//! Certificates of callees that expire soon.

use crate::doctor::facts::{CertificateFacts, Facts};
use crate::doctor::finding::Finding;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Enough time to have a certificate renewed.
const SOON_MS: u64 = 14 * DAY_MS;
/// How many are named.
const MAX_NAMED: usize = 5;

/// The certificates that expire within two weeks, or else the one that expires first.
pub(super) fn expiry(facts: &Facts) -> Finding {
    const CHECK: &str = "certificates";
    let certificates = match &facts.certificates {
        Err(reason) => return Finding::unknown(CHECK, format!("they are not known: {reason}")),
        Ok(certificates) if certificates.is_empty() => {
            return Finding::ok(CHECK, "no registered callee is called with TLS");
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
        0 => String::new(),
        count => format!("; of {count} no handshake has been seen yet"),
    };
    let whose = match &facts.instances {
        Some(_) => "",
        None => "; other processes could not be asked",
    };
    let Some((first, _)) = seen.first() else {
        let sentence =
            format!("no handshake with a registered callee has been seen since the start{whose}");
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
    let named: Vec<String> = seen
        .iter()
        .take(count.min(MAX_NAMED))
        .map(|(not_after, certificate)| words(*not_after, certificate, facts.now))
        .collect();
    let more = match count.saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let mut sentence = format!("{}{more}{unseen}{whose}", named.join("; "));
    if !soon {
        sentence = format!("the first to expire: {sentence}");
        return Finding::ok(CHECK, sentence);
    }
    let finding = match has_expired {
        true => Finding::failure(CHECK, sentence),
        false => Finding::warning(CHECK, sentence),
    };
    finding
        .next("ask its owner to renew it; callbacks fail with a TLS error from then on")
        .runbook("a-certificate-expires")
}

/// `crm.example (EO001 乐居新房) expires at 2026-12-06T12:00:00.000Z, in 13 days`
fn words(not_after: u64, certificate: &CertificateFacts, now: u64) -> String {
    let CertificateFacts { host, callees, .. } = certificate;
    let callees = match callees.is_empty() {
        true => String::new(),
        false => format!(" ({callees})"),
    };
    let at = contract::rfc3339(not_after);
    match not_after.checked_sub(now) {
        None | Some(0) => format!("{host}{callees} expired at {at}"),
        Some(left) => {
            let days = match left / DAY_MS {
                0 => "less than a day".to_owned(),
                1 => "1 day".to_owned(),
                days => format!("{days} days"),
            };
            format!("{host}{callees} expires at {at}, in {days}")
        }
    }
}
