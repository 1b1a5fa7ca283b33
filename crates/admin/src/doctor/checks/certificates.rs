//! Certificates of callees that expire soon.

use std::time::Duration;

use crate::doctor::facts::CertificateFacts;
use crate::doctor::finding::Finding;

use super::units::duration;

/// Enough time to have a certificate renewed.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The certificate that expires first.
pub(super) fn expiry(certificates: Option<&[CertificateFacts]>, now: u64) -> Finding {
    const CHECK: &str = "certificates";
    let Some(certificates) = certificates else {
        return Finding::unknown(
            CHECK,
            "this process calls no targets: ask a dispatcher (--admin)",
        );
    };
    let seen = certificates.iter().filter_map(|certificate| {
        let not_after = certificate.not_after?;
        Some((not_after, certificate))
    });
    let unseen = certificates.iter().filter(|it| it.not_after.is_none());
    let unseen = match unseen.count() {
        0 => String::new(),
        count => format!("; of {count} no handshake has been seen yet"),
    };
    let Some((not_after, first)) = seen.min_by_key(|(not_after, _)| *not_after) else {
        return match certificates.is_empty() {
            true => Finding::ok(CHECK, "no registered callee is called with TLS"),
            false => Finding::unknown(
                CHECK,
                "no handshake with a registered callee has been seen since the start",
            ),
        };
    };
    let CertificateFacts { host, callees, .. } = first;
    let day = contract::rfc3339(not_after);
    let left = Duration::from_millis(not_after.saturating_sub(now));
    let next = "ask its owner to renew it; callbacks fail with a TLS error from then on";
    if left.is_zero() {
        let sentence = format!("the certificate of {host} ({callees}) expired at {day}{unseen}");
        return Finding::failure(CHECK, sentence)
            .next(next)
            .runbook("a-certificate-expires");
    }
    let sentence = format!(
        "the first to expire is that of {host} ({callees}), at {day}, in {}{unseen}",
        duration(left)
    );
    match left < SOON {
        true => Finding::warning(CHECK, sentence)
            .next(next)
            .runbook("a-certificate-expires"),
        false => Finding::ok(CHECK, sentence),
    }
}
