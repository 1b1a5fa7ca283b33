//! Whose request is this, and may it come in now?

use crate::body;
use crate::reply::Turned;
use crate::server::Door;
use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Payload;
use boot::{Live, Metrics};
use bytes::Bytes;
use contract::Answer;
use delivery::callers::{App, Callers, Mode, Refused, Seen, SeenFlaw, Signed};
use delivery::limits::Bucket;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Names the app of a signed request, percent-encoded as in what targets get.
const APP_ID: &str = "x-callback-app-id";
/// The most signed requests of one app that are remembered: about 3,300 a second for five minutes.
const MOST_SEEN: usize = 1_000_000;
/// Who is over its quota may come again after this: a request takes about as long.
const QUOTA_WAIT_SECONDS: u32 = 1;

/// The registered apps as they are now, and what each of them has done lately.
pub(crate) struct Register {
    callers: Live<Callers>,
    /// Registered apps alone, so it does not grow with what anybody sends.
    doing: RwLock<HashMap<String, Arc<Doing>>>,
    began: Instant,
    metrics: Arc<Metrics>,
}

/// What one app does here. It outlives a change of its settings.
struct Doing {
    bucket: Mutex<Bucket>,
    in_hand: AtomicU32,
    seen: Mutex<Seen>,
}

/// One request in hand, until it is dropped: when its answer is there, or its caller gone.
pub(crate) struct Pass(Option<Arc<Doing>>);

/// Who sends a request.
pub(crate) struct Caller {
    /// The app that is proven. None: nobody is asked.
    app_id: Option<String>,
    _pass: Pass,
}

impl Register {
    pub(crate) fn new(callers: Live<Callers>, metrics: Arc<Metrics>) -> Self {
        Self {
            callers,
            doing: RwLock::default(),
            began: Instant::now(),
            metrics,
        }
    }

    /// How a caller is to prove itself, as the answer 401 names it (RFC 9110, 11.6.1).
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self.callers.get().mode() {
            Mode::Open => None,
            Mode::Bearer => Some("Bearer"),
            Mode::Hmac => Some("Standard-Webhooks"),
        }
    }

    /// Lets an app's request in, or says how long it has to wait.
    fn enter(&self, app: &App) -> Result<Pass, Turned> {
        if app.rate.is_none() && app.quota.is_none() {
            return Ok(Pass(None));
        }
        let doing = self.doing(&app.id);
        let before = doing.in_hand.fetch_add(1, Ordering::AcqRel);
        let pass = Pass(Some(Arc::clone(&doing))); // From here on it is given back.
        if app.quota.is_some_and(|quota| before >= quota) {
            return Err(self.limited("quota", QUOTA_WAIT_SECONDS));
        }
        if let Some(rate) = app.rate {
            let now = self.began.elapsed();
            let mut bucket = doing.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = bucket.wait(rate, now);
            if !wait.is_zero() {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                return Err(self.limited("rate", seconds.try_into().unwrap_or(u32::MAX)));
            }
            bucket.take(rate, now);
        }
        Ok(pass)
    }

    fn limited(&self, limit: &'static str, retry_after: u32) -> Turned {
        self.metrics.limited(limit);
        Answer::TooManyRequests { retry_after }.into()
    }

    fn refuse(&self, refused: Refused, app: &str) -> Turned {
        self.metrics.unauthenticated(refused.as_str());
        tracing::info!(reason = refused.as_str(), app = ?shown(app), "a caller is turned away");
        match refused.is_proven() {
            true => Answer::Forbidden.into(),
            false => Answer::Unauthorized.into(),
        }
    }

    fn doing(&self, app_id: &str) -> Arc<Doing> {
        let known = self.doing.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(doing) = known.get(app_id) {
            return Arc::clone(doing);
        }
        drop(known);
        let mut known = self.doing.write().unwrap_or_else(PoisonError::into_inner);
        let doing = known.entry(app_id.to_owned()).or_insert_with(|| {
            Arc::new(Doing {
                bucket: Mutex::default(),
                in_hand: AtomicU32::new(0),
                seen: Mutex::new(Seen::new(MOST_SEEN)),
            })
        });
        Arc::clone(doing)
    }

    fn bearer(&self, callers: &Callers, headers: &HeaderMap) -> Result<Caller, Turned> {
        let shown = text(headers, AUTHORIZATION.as_str());
        let app = callers.bearer(shown);
        let app = app.map_err(|refused| self.refuse(refused, ""))?;
        self.proven(app)
    }

    fn signed(
        &self,
        callers: &Callers,
        headers: &HeaderMap,
        payload: &[u8],
    ) -> Result<Caller, Turned> {
        let of = |name| text(headers, name);
        let app_id = of(APP_ID).and_then(decoded).unwrap_or_default();
        let signed = Signed::read(
            of("webhook-id"),
            of("webhook-timestamp"),
            of("webhook-signature"),
        );
        let signed = signed.ok_or_else(|| self.refuse(Refused::Missing, &app_id))?;
        let now = unix_seconds();
        let app = callers.signature(&app_id, &signed, payload, now);
        let app = app.map_err(|refused| self.refuse(refused, &app_id))?;
        self.first_time(app, &signed, callers.window(), now)?;
        self.proven(app)
    }

    fn first_time(
        &self,
        app: &App,
        signed: &Signed<'_>,
        window: Duration,
        now: u64,
    ) -> Result<(), Turned> {
        let until = signed.timestamp().saturating_add(window.as_secs());
        let doing = self.doing(&app.id);
        let mut seen = doing.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.enter(signed.id(), until, now)
            .map_err(|flaw| match flaw {
                SeenFlaw::Known => self.refuse(Refused::Replayed, &app.id),
                SeenFlaw::Full { wait } => {
                    self.limited("seen", wait.try_into().unwrap_or(u32::MAX))
                }
            })
    }

    fn proven(&self, app: &App) -> Result<Caller, Turned> {
        Ok(Caller {
            app_id: Some(app.id.clone()),
            _pass: self.enter(app)?,
        })
    }
}

impl Caller {
    fn anybody() -> Self {
        Self {
            app_id: None,
            _pass: Pass(None),
        }
    }

    /// The app whose callbacks it may see. None: everybody's.
    pub(crate) fn app_id(&self) -> Option<&str> {
        self.app_id.as_deref()
    }

    /// Checks that the app which the body names is the one proven. Where nobody is asked, a
    /// registered app's limits hold for whoever names it.
    pub(crate) fn speaks_for(self, door: &Door, app_id: &str) -> Result<Self, Turned> {
        match &self.app_id {
            Some(own) if own == app_id => Ok(self),
            Some(own) => Err(door.register.refuse(Refused::OtherApp, own)),
            None => match door.register.callers.get().find(app_id) {
                None => Ok(self),
                Some(app) if app.disabled => Err(door.register.refuse(Refused::Disabled, app_id)),
                Some(app) => Ok(Self {
                    app_id: None,
                    _pass: door.register.enter(app)?,
                }),
            },
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(doing) = &self.0 {
            doing.in_hand.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Who sends this body. What is shown in a header is looked at before the body is read.
pub(crate) async fn authenticate(
    door: &Door,
    http: &HttpRequest,
    payload: Payload,
) -> Result<(Caller, Bytes), Turned> {
    let callers = door.register.callers.get();
    let early = match callers.mode() {
        Mode::Open => Some(Caller::anybody()),
        Mode::Bearer => Some(door.register.bearer(&callers, http.headers())?),
        Mode::Hmac => None,
    };
    let body = body::read(http, payload, &door.limits).await?;
    let caller = match early {
        Some(caller) => caller,
        None => door.register.signed(&callers, http.headers(), &body)?,
    };
    Ok((caller, body))
}

/// Who asks for a callback. There is no body; what is signed instead is method and path, so that a
/// question cannot be turned into a withdrawal, nor into one for another callback.
pub(crate) fn authenticate_question(door: &Door, http: &HttpRequest) -> Result<Caller, Turned> {
    let callers = door.register.callers.get();
    match callers.mode() {
        Mode::Open => Ok(Caller::anybody()),
        Mode::Bearer => door.register.bearer(&callers, http.headers()),
        Mode::Hmac => {
            let signed = format!("{} {}", http.method(), http.path());
            door.register
                .signed(&callers, http.headers(), signed.as_bytes())
        }
    }
}

/// The value of a header that is there once; one that is there twice proves nothing.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn decoded(text: &str) -> Option<String> {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// As much of a caller's text as a log line bears.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
