//! What holds for one registered callee?

use crate::lines::Line;
use crate::policy::{Policy, schedule};
use crate::rule::BodyRule;
use crate::signing;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boot::SettingsError;
use boot::settings::{Auth, CalleeSettings, Reference};
use delivery::limits::{Key, Limits};
use delivery::signature::Signing;
use delivery::{AllowList, End, Entry, Party, Retrying, Schedule, TargetUrl};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

/// A callee, as the settings have it.
pub(crate) struct Callee {
    pub(crate) key: Key,
    pub(crate) url: Option<TargetUrl>,
    pub(crate) limits: Limits,
    pub(crate) paused: bool,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) timeout: Duration,
    pub(crate) line: Arc<Line>,
    pub(crate) manner: Arc<Manner>,
    /// What signs its callbacks; none: what the app has.
    pub(crate) signing: Option<Arc<Signing>>,
}

/// How a callee is spoken to, and understood.
pub(crate) struct Manner {
    /// Over those of callers. Each value is marked as sensitive.
    pub(crate) headers: HeaderMap,
    pub(crate) rule: Option<BodyRule>,
    pub(crate) retrying: Retrying,
}

fn refused(no: &str, name: &str, reason: impl std::fmt::Display) -> SettingsError {
    SettingsError::refused(&format!("callees.{no}.{name}"), reason)
}

impl Callee {
    /// Checks what needs no secret and no file.
    pub(crate) fn check(no: &str, settings: &CalleeSettings) -> Result<(), SettingsError> {
        retrying(no, settings)?;
        only(no, settings)?;
        if !settings.schedule.is_empty() {
            schedule(&format!("callees.{no}.schedule"), &settings.schedule)?;
        }
        Ok(())
    }

    pub(crate) fn new(
        party: &Party,
        settings: &CalleeSettings,
        limits: Limits,
        policy: &Policy,
        line: Arc<Line>,
    ) -> Result<Self, SettingsError> {
        let no = &*party.no;
        let rule = settings.success_pointer.clone();
        let rule = rule.map(|pointer| BodyRule::new(pointer, settings.success_values.clone()));
        Ok(Self {
            key: Key::Callee(no.into()),
            url: party.url.clone(),
            limits,
            paused: settings.paused,
            schedule: match &*settings.schedule {
                [] => Arc::clone(&policy.schedule),
                own => Arc::new(schedule(&format!("callees.{no}.schedule"), own)?),
            },
            timeout: settings.timeout.unwrap_or(policy.timeout),
            line,
            manner: Arc::new(Manner {
                headers: headers(no, settings)?,
                rule,
                retrying: retrying(no, settings)?,
            }),
            signing: signing::read(&format!("callees.{no}"), &settings.signing_secrets)?,
        })
    }
}

/// The only places where a callee may be, if the settings name some.
///
/// # Errors
/// A text that is no entry, or a URL that leads elsewhere by itself.
pub(crate) fn only(
    no: &str,
    settings: &CalleeSettings,
) -> Result<Option<Arc<AllowList>>, SettingsError> {
    let read = |text: &String| text.parse().map_err(|error| refused(no, "only", error));
    let entries: Vec<Entry> = settings.only.iter().map(read).collect::<Result<_, _>>()?;
    if entries.is_empty() {
        return Ok(None);
    }
    let list = AllowList::new(entries);
    let url = settings.url.as_deref();
    // A URL that is none is refused where parties are registered.
    if let Some(Ok(url)) = url.map(TargetUrl::parse)
        && list.admit_url(&url).is_err()
    {
        return Err(refused(
            no,
            "url",
            "its host is not on the list of its `only`",
        ));
    }
    Ok(Some(Arc::new(list)))
}

fn retrying(no: &str, settings: &CalleeSettings) -> Result<Retrying, SettingsError> {
    let ends = |name: &str, texts: &[String]| -> Result<Vec<End>, SettingsError> {
        let read = |text: &String| text.parse().map_err(|error| refused(no, name, error));
        texts.iter().map(read).collect()
    };
    let retry_on = ends("retry_on", &settings.retry_on)?;
    let never_retry = ends("never_retry", &settings.never_retry)?;
    Retrying::new(retry_on, never_retry).map_err(|both| {
        refused(
            no,
            "never_retry",
            format!("{both} stands in retry_on as well"),
        )
    })
}

fn headers(no: &str, settings: &CalleeSettings) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::with_capacity(settings.headers.len() + 1);
    for (name, value) in &settings.headers {
        let key = format!("headers.{name}");
        let name = HeaderName::try_from(name)
            .map_err(|_| refused(no, &key, "it is no name of a header"))?;
        headers.insert(name, sensitive(no, &key, &read(no, &key, value)?)?);
    }
    if let (Some(auth), Some(secret)) = (settings.auth, &settings.secret) {
        let secret = read(no, "secret", secret)?;
        let value = match (auth, &settings.user) {
            (Auth::Basic, Some(user)) => basic(&read(no, "user", user)?, &secret),
            (Auth::Basic | Auth::Bearer, _) => format!("Bearer {}", secret.expose_secret()).into(),
        };
        headers.insert(AUTHORIZATION, sensitive(no, "secret", &value)?);
    }
    Ok(headers)
}

fn read(no: &str, name: &str, reference: &Reference) -> Result<SecretString, SettingsError> {
    reference.read().map_err(|reason| refused(no, name, reason))
}

fn sensitive(no: &str, name: &str, value: &SecretString) -> Result<HeaderValue, SettingsError> {
    let mut value = HeaderValue::from_str(value.expose_secret())
        .map_err(|_| refused(no, name, "its value holds something that no header can"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7617, section 2.
fn basic(user: &SecretString, secret: &SecretString) -> SecretString {
    let pair = format!("{}:{}", user.expose_secret(), secret.expose_secret());
    format!("Basic {}", STANDARD.encode(pair)).into()
}
