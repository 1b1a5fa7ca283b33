//! Which settings of limits and callees make no sense?

use std::time::Duration;

use url::Url;

use super::super::{Auth, CalleeSettings, LimitsSettings, Settings};
use super::{Bad, MINUTE, MOMENT, MOST_CREDENTIALS, bad, between, fits_a_name, lasts};

/// The slowest and the fastest rate: a call a day, more than anybody makes.
const RATES: std::ops::RangeInclusive<f64> = 0.000_012..=1_000_000.0;

/// Headers that are the connection's, or ours.
const NOT_THEIRS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

pub(super) fn limits(settings: &Settings) -> Result<(), Bad> {
    limits_of("limits", &settings.limits)
}

fn limits_of(section: &str, limits: &LimitsSettings) -> Result<(), Bad> {
    let key = |name| format!("{section}.{name}");
    let second = Duration::from_secs(1);
    if let Some(in_flight) = limits.in_flight {
        between(&key("in_flight"), in_flight, 1..=65_535)?;
    }
    if let Some(rate) = limits.rate {
        between(&key("rate"), rate, RATES)?;
    }
    between(&key("burst"), limits.burst, 1..=1_000_000)?;
    lasts(&key("waiting"), limits.waiting, Duration::ZERO..=MINUTE)?;
    between(&key("breaker_share"), limits.breaker_share, 0.01..=1.0)?;
    between(&key("breaker_calls"), limits.breaker_calls, 0..=1_000_000)?;
    let window = second..=60 * MINUTE;
    lasts(&key("breaker_window"), limits.breaker_window, window)?;
    let open = MOMENT..=60 * MINUTE;
    lasts(&key("breaker_open"), limits.breaker_open, open)?;
    let most = limits.breaker_open..=60 * MINUTE;
    lasts(&key("breaker_open_most"), limits.breaker_open_most, most)
}

pub(super) fn callees(settings: &Settings) -> Result<(), Bad> {
    for (number, callee) in &settings.callees {
        fits_a_name("callees", number)?;
        let section = format!("callees.{number}");
        let limits = settings.limits.of(callee);
        limits_of(&section, &limits)?;
        if callee.burst.is_some() && limits.rate.is_none() {
            return Err(bad(
                format!("{section}.burst"),
                "there is no rate that it could belong to",
            ));
        }
        callee_of(&section, callee)?;
    }
    Ok(())
}

fn callee_of(section: &str, callee: &CalleeSettings) -> Result<(), Bad> {
    let refuse = |name: &str, reason: &str| Err(bad(format!("{section}.{name}"), reason));
    let is_http =
        |url: &str| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if callee.url.as_deref().is_some_and(|url| !is_http(url)) {
        // Not shown: what is wrong with it may be a token in the wrong place.
        return refuse(
            "url",
            "it is not an http or https URL (write https://host/path)",
        );
    }
    if let Some(timeout) = callee.timeout {
        let within = Duration::from_secs(1)..=MINUTE;
        lasts(&format!("{section}.timeout"), timeout, within)?;
    }
    if callee.cert_file.is_some() != callee.key_file.is_some() {
        return refuse(
            "cert_file",
            "cert_file and key_file go together: set both, or none",
        );
    }
    if callee.signing_secrets.len() > MOST_CREDENTIALS {
        return refuse("signing_secrets", "it names more than two");
    }
    if callee.success_pointer.is_some() == callee.success_values.is_empty() {
        let reason = "success_pointer and success_values go together: set both, or none";
        return refuse("success_pointer", reason);
    }
    if callee
        .success_pointer
        .as_deref()
        .is_some_and(|it| !is_pointer(it))
    {
        return refuse(
            "success_pointer",
            "it is not a JSON pointer (write /code, or /result/code)",
        );
    }
    credentials(section, callee)?;
    for name in callee.headers.keys() {
        let lower = name.to_ascii_lowercase();
        let ours = ["content-", "webhook-", "x-callback-"];
        let taken = NOT_THEIRS.contains(&&*lower)
            || ours.iter().any(|begin| lower.starts_with(begin))
            || (callee.auth.is_some() && lower == "authorization");
        if taken || !is_token(name) {
            let reason = if taken {
                "it is the gateway's own to set"
            } else {
                "it is no name of a header"
            };
            return refuse(
                &format!("headers.{name}").escape_debug().to_string(),
                reason,
            );
        }
    }
    Ok(())
}

fn credentials(section: &str, callee: &CalleeSettings) -> Result<(), Bad> {
    let refuse = |name: &str, reason: &str| Err(bad(format!("{section}.{name}"), reason));
    let (user, secret) = (callee.user.is_some(), callee.secret.is_some());
    if callee.secret.as_ref().is_some_and(|it| !it.is_elsewhere()) {
        return refuse(
            "secret",
            "it is not to stand in the settings (write env:NAME or file:/path)",
        );
    }
    match callee.auth {
        None if user || secret => refuse(
            "auth",
            "it is not set, but user or secret is (write basic or bearer)",
        ),
        Some(_) if !secret => refuse(
            "secret",
            "it is not set, and auth needs it (write env:NAME or file:/path)",
        ),
        Some(Auth::Basic) if !user => {
            refuse("user", "it is not set, and auth = \"basic\" needs it")
        }
        Some(Auth::Bearer) if user => {
            refuse("user", "auth = \"bearer\" has no user, only a secret")
        }
        None | Some(_) => Ok(()),
    }
}

/// RFC 6901, section 3.
fn is_pointer(text: &str) -> bool {
    let escapes = text
        .split('~')
        .skip(1)
        .all(|after| after.starts_with(['0', '1']));
    text.starts_with('/') && escapes
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}
