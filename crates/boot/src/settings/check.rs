//! Which values that can be read make no sense all the same?

mod broker;
mod callee;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::ExposeSecret;
use url::Url;

use super::Settings;
use super::reference::Reference;
use super::show::duration_text;
use crate::telemetry;

/// The longest callee number, as the contract has it.
const LONGEST_NUMBER_BYTES: usize = 128;

/// As many keys, or secrets, as an app has at a time: the old one and the new one.
const MOST_CREDENTIALS: usize = 2;

/// What a request may ask for at most (`options.timeout_seconds`), as the contract has it.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

/// A key whose value is refused, and why.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) key: String,
    pub(super) reason: String,
}

fn bad(key: impl Into<String>, reason: impl Into<String>) -> Bad {
    Bad {
        key: key.into(),
        reason: reason.into(),
    }
}

/// Checks what one value's reader cannot see: ranges, forms, and values against one another.
pub(super) fn check(settings: &Settings) -> Result<(), Bad> {
    broker::broker(settings)?;
    ingress(settings)?;
    dispatcher(settings)?;
    journal(settings)?;
    admin(settings)?;
    lasts(
        "auto_pause.after",
        settings.auto_pause.after,
        Duration::ZERO..=30 * 24 * 60 * MINUTE,
    )?;
    if settings.retry.schedule.is_empty() {
        return Err(bad(
            "retry.schedule",
            "it needs at least one wait (write 5s,30s,2min)",
        ));
    }
    callee::limits(settings)?;
    callee::callees(settings)?;
    apps(settings)?;
    telemetry::filter(&settings.log.level)
        .map(drop)
        .map_err(|reason| bad("log.level", reason))
}

fn ingress(settings: &Settings) -> Result<(), Bad> {
    let ingress = &settings.ingress;
    between(
        "ingress.body_limit_bytes",
        ingress.body_limit_bytes,
        1024..=8 * 1024 * 1024,
    )?;
    lasts(
        "ingress.body_timeout",
        ingress.body_timeout,
        MOMENT..=5 * MINUTE,
    )?;
    between(
        "ingress.max_backlog",
        ingress.max_backlog,
        1..=1_000_000_000,
    )?;
    // More are a panic of actix-server's.
    between("ingress.workers", ingress.workers, 0..=512)?;
    lasts(
        "ingress.max_wait",
        ingress.max_wait,
        Duration::ZERO..=5 * MINUTE,
    )?;
    lasts(
        "ingress.default_wait",
        ingress.default_wait,
        Duration::ZERO..=ingress.max_wait,
    )?;
    lasts("ingress.grace", ingress.grace, MOMENT..=60 * MINUTE)
}

fn journal(settings: &Settings) -> Result<(), Bad> {
    let journal = &settings.journal;
    if let Some(url) = &journal.url {
        postgres(url.expose_secret()).map_err(|reason| bad("journal.url", reason))?;
    }
    let kept = 60 * MINUTE..=TEN_YEARS;
    lasts("journal.retention", journal.retention, kept.clone())?;
    lasts("journal.body_retention", journal.body_retention, kept)?;
    between("journal.spool", journal.spool, 1_000..=10_000_000)?;
    between(
        "journal.max_backlog",
        journal.max_backlog,
        1..=1_000_000_000,
    )
}

fn apps(settings: &Settings) -> Result<(), Bad> {
    let day = Duration::from_secs(24 * 60 * 60);
    lasts(
        "auth.window",
        settings.auth.window,
        Duration::from_secs(1)..=day,
    )?;
    for (id, app) in &settings.apps {
        fits_a_name("apps", id)?;
        let key = |last: &str| format!("apps.{id}.{last}");
        for (last, count) in [
            ("keys", app.keys.len()),
            ("secrets", app.secrets.len()),
            ("signing_secrets", app.signing_secrets.len()),
        ] {
            if count > MOST_CREDENTIALS {
                return Err(bad(key(last), format!("it names {count}, not one or two")));
            }
        }
        for (last, number) in [
            ("rate", app.rate),
            ("burst", app.burst),
            ("quota", app.quota),
        ] {
            between(&key(last), number, 0..=1_000_000)?;
        }
        if app.burst > 0 && app.rate == 0 {
            return Err(bad(
                key("burst"),
                "there is no rate that it could belong to",
            ));
        }
    }
    signing(settings)
}

/// What signs callbacks for targets must not be what lets callers in: each side could then speak
/// for the other.
fn signing(settings: &Settings) -> Result<(), Bad> {
    let inward: Vec<&Reference> = settings.apps.values().flat_map(|it| &it.secrets).collect();
    let apps = settings.apps.iter();
    let apps = apps.map(|(id, app)| (format!("apps.{id}"), &app.signing_secrets));
    let callees = settings.callees.iter();
    let callees = callees.map(|(no, callee)| (format!("callees.{no}"), &callee.signing_secrets));
    for (section, secrets) in apps.chain(callees) {
        if secrets
            .iter()
            .any(|it| inward.iter().any(|own| own.same(it)))
        {
            let reason = "an app signs its requests with it: write another one for what goes out";
            return Err(bad(format!("{section}.signing_secrets"), reason));
        }
    }
    Ok(())
}

/// Names of callees, apps and tokens alike.
fn fits_a_name(section: &str, name: &str) -> Result<(), Bad> {
    if !name.trim().is_empty()
        && name.len() <= LONGEST_NUMBER_BYTES
        && !name.contains(char::is_control)
    {
        return Ok(());
    }
    let what = match section {
        "callees" => "a callee's number",
        "apps" => "an app's id",
        _ => "a token's name",
    };
    let reason = format!("{what} is 1 to 128 bytes, not blank, no control characters");
    let key = format!("{section}.{name}");
    Err(bad(key.escape_debug().to_string(), reason))
}

fn admin(settings: &Settings) -> Result<(), Bad> {
    let admin = &settings.admin;
    for name in admin.tokens.keys() {
        fits_a_name("admin.tokens", name)?;
    }
    match &admin.token {
        None if !admin.listen.ip().is_loopback() && admin.tokens.is_empty() => {
            let reason = format!(
                "it is not set, and admin.listen is {}, which others can reach",
                admin.listen
            );
            Err(bad("admin.token", reason))
        }
        Some(token)
            if !token
                .expose_secret()
                .bytes()
                .all(|byte| byte.is_ascii_graphic()) =>
        {
            let reason = "it holds something that is not a visible ASCII character";
            Err(bad("admin.token", reason))
        }
        Some(_) | None => Ok(()),
    }
}

fn dispatcher(settings: &Settings) -> Result<(), Bad> {
    let dispatcher = &settings.dispatcher;
    between(
        "dispatcher.first_slots",
        dispatcher.first_slots,
        1..=u16::MAX,
    )?;
    between(
        "dispatcher.retry_slots",
        dispatcher.retry_slots,
        1..=u16::MAX,
    )?;
    lasts(
        "dispatcher.connect_timeout",
        dispatcher.connect_timeout,
        MOMENT..=MINUTE,
    )?;
    let attempt = dispatcher.attempt_timeout;
    lasts(
        "dispatcher.attempt_timeout",
        attempt,
        Duration::from_secs(1)..=MINUTE,
    )?;
    lasts("dispatcher.grace", dispatcher.grace, MOMENT..=60 * MINUTE)?;
    if dispatcher.grace <= LONGEST_ATTEMPT {
        // An attempt cut short by a stop would be made twice.
        let (grace, longest) = (
            duration_text(dispatcher.grace),
            duration_text(LONGEST_ATTEMPT),
        );
        let reason = format!("{grace} is not longer than the longest attempt ({longest})");
        return Err(bad("dispatcher.grace", reason));
    }
    Ok(())
}

/// Refuses what the journal's client could not use. A socket's directory may stand in the query's `host`.
fn postgres(text: &str) -> Result<(), &'static str> {
    let no_url = "it is not a PostgreSQL URL (write postgres://user:password@host:5432/ringback)";
    let url = Url::parse(text).map_err(|_| no_url)?;
    let host = url.host_str().is_some_and(|host| !host.is_empty())
        || url.query_pairs().any(|(key, _)| key == "host");
    if !matches!(url.scheme(), "postgres" | "postgresql") || !host {
        return Err(no_url);
    }
    whole_password(&url)
}

fn whole_password(url: &Url) -> Result<(), &'static str> {
    // A raw `/`, `?` or `#` ends the password early, and the rest would be shown as a path.
    let rest = [Some(url.path()), url.query()];
    if url.fragment().is_some() || rest.into_iter().flatten().any(|part| part.contains('@')) {
        return Err("percent-encode the special characters of its password (# is %23, / is %2F)");
    }
    Ok(())
}

/// Shorter waits than this are a slip of the unit.
const MOMENT: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

fn between<T: PartialOrd + Display + Copy>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Bad> {
    if range.contains(&value) {
        return Ok(());
    }
    let reason = format!(
        "{value} is not between {} and {}",
        range.start(),
        range.end()
    );
    Err(bad(key, reason))
}

fn lasts(key: &str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), Bad> {
    if range.contains(&value) {
        return Ok(());
    }
    let [value, least, most] = [value, *range.start(), *range.end()].map(duration_text);
    Err(bad(
        key,
        format!("{value} is not between {least} and {most}"),
    ))
}
