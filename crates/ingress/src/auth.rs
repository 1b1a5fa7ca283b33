//! Authenticates callers and enforces their limits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use contract::{Answer, unix_seconds};
use delivery::auth::{
    AuthError, AuthMode, CallerRegistry, RegisteredApp, ReplayCache, ReplayError, SignatureHeaders,
};
use delivery::limits::Gcra;
use runtime::text::one_line;
use runtime::{FailureLog, Reloadable};

use crate::metrics::{AppLimit, IngressMetrics};
use crate::origin::{is_foreign_page, is_of_origin};
use crate::quota::{InFlightQuota, Quota, RateQuota};
use crate::rejection::Rejection;

/// The app of a signed request, percent-encoded as in requests to targets.
const APP_ID_HEADER: &str = "x-callback-app-id";

/// How many signed requests of one app are remembered: about 3,300 a second for five minutes.
const MAX_REMEMBERED_REQUESTS: usize = 1_000_000;

/// `Retry-After` for an app at its in-flight limit: a request takes about this long.
const IN_FLIGHT_RETRY_SECONDS: u32 = 1;

/// The registered apps as currently configured, and the recent usage of each.
pub(crate) struct Authenticator {
    callers: Reloadable<CallerRegistry>,
    /// Registered apps only, so callers cannot make it grow.
    usage: RwLock<HashMap<String, Arc<CallerUsage>>>,
    started_at: Instant,
    metrics: Arc<IngressMetrics>,
    /// The origins whose web pages may call, as a caller without a credential may.
    allowed_origins: Vec<String>,
    failures: FailureLog,
}

/// The current usage of one app in this process. It survives reloads.
struct CallerUsage {
    rate_limiter: Mutex<Gcra>,
    in_flight: AtomicU32,
    replay_cache: Mutex<ReplayCache>,
}

/// Counts one request as in flight until it is dropped.
struct RequestPermit {
    usage: Option<Arc<CallerUsage>>,
    /// What its app had left after it.
    quota: Option<Quota>,
}

/// The sender of a request. Hold it until the request is answered.
pub(crate) struct Caller {
    /// The authenticated app. `None` in the mode `open`.
    app_id: Option<String>,
    peer: Peer,
    permit: RequestPermit,
}

/// The address that a request came from: the caller's, or its proxy's.
type Peer = Option<IpAddr>;

/// The result of the checks before the body is read.
pub(crate) enum Credentials {
    Verified(Caller),
    /// The signature covers the body and is checked later, with this registry: a reload in between
    /// has no effect.
    SignedBody(Arc<CallerRegistry>),
}

impl Authenticator {
    pub(crate) fn new(
        callers: Reloadable<CallerRegistry>,
        metrics: Arc<IngressMetrics>,
        allowed_origins: Vec<String>,
    ) -> Self {
        Self {
            callers,
            usage: RwLock::default(),
            started_at: Instant::now(),
            metrics,
            allowed_origins,
            failures: FailureLog::new(),
        }
    }

    /// Checks the credentials that need no body, so that an unauthenticated body is not read.
    pub(crate) fn check_headers(
        &self,
        http_request: &HttpRequest,
    ) -> Result<Credentials, Rejection> {
        let callers = self.callers.get();
        match callers.mode() {
            AuthMode::Open => self.anonymous(http_request).map(Credentials::Verified),
            AuthMode::Bearer => self
                .verify_bearer(&callers, http_request)
                .map(Credentials::Verified),
            AuthMode::Hmac => Ok(Credentials::SignedBody(callers)),
        }
    }

    /// Checks the signature over the body, in the mode `hmac`.
    pub(crate) fn check_body(
        &self,
        credentials: Credentials,
        http_request: &HttpRequest,
        body: &[u8],
    ) -> Result<Caller, Rejection> {
        match credentials {
            Credentials::Verified(caller) => Ok(caller),
            Credentials::SignedBody(callers) => self.verify_signature(&callers, http_request, body),
        }
    }

    /// Authenticates a request without a body. Callers sign method and path instead, so that the
    /// signature of a query is valid neither for a cancellation nor for another callback.
    pub(crate) fn authenticate_bodyless(
        &self,
        http_request: &HttpRequest,
    ) -> Result<Caller, Rejection> {
        let callers = self.callers.get();
        match callers.mode() {
            AuthMode::Open => self.anonymous(http_request),
            AuthMode::Bearer => self.verify_bearer(&callers, http_request),
            AuthMode::Hmac => {
                let signed = format!("{} {}", http_request.method(), http_request.path());
                self.verify_signature(&callers, http_request, signed.as_bytes())
            }
        }
    }

    /// Checks that the body names the authenticated app. In the mode `open`, the limits of a
    /// registered app apply to every request that names it.
    pub(crate) fn authorize_app(&self, caller: Caller, app_id: &str) -> Result<Caller, Rejection> {
        match &caller.app_id {
            Some(own) if own == app_id => Ok(caller),
            Some(own) => Err(self.fail(AuthError::OtherApp, own, caller.peer)),
            None => match self.callers.get().find(app_id) {
                None => Ok(caller),
                Some(app) if app.disabled => {
                    Err(self.fail(AuthError::Disabled, app_id, caller.peer))
                }
                Some(app) => Ok(Caller {
                    app_id: None,
                    peer: caller.peer,
                    permit: self.acquire_permit(app)?,
                }),
            },
        }
    }

    /// How callers must authenticate, for `WWW-Authenticate` (RFC 9110, 11.6.1).
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self.callers.get().mode() {
            AuthMode::Open => None,
            AuthMode::Bearer => Some("Bearer"),
            AuthMode::Hmac => Some("Standard-Webhooks"),
        }
    }

    /// In the mode `open` a web page could send requests from the browser of anybody who reaches the
    /// port. A page of another origin may not; it can read nothing, so it may ask.
    fn anonymous(&self, http_request: &HttpRequest) -> Result<Caller, Rejection> {
        let peer = peer(http_request);
        let changes = !http_request.method().is_safe();
        let headers = http_request.headers();
        if changes && is_foreign_page(headers) && !is_of_origin(headers, &self.allowed_origins) {
            return Err(self.fail(AuthError::ForeignOrigin, "", peer));
        }
        Ok(Caller {
            app_id: None,
            peer,
            permit: RequestPermit::unlimited(),
        })
    }

    fn verify_bearer(
        &self,
        callers: &CallerRegistry,
        http_request: &HttpRequest,
    ) -> Result<Caller, Rejection> {
        let peer = peer(http_request);
        let authorization = given(http_request.headers(), AUTHORIZATION.as_str());
        let app = callers.verify_bearer(authorization);
        let app = app.map_err(|reason| self.fail(reason, "", peer))?;
        self.admit(app, peer)
    }

    fn verify_signature(
        &self,
        callers: &CallerRegistry,
        http_request: &HttpRequest,
        payload: &[u8],
    ) -> Result<Caller, Rejection> {
        let peer = peer(http_request);
        let value = |name| given(http_request.headers(), name);
        let app_id = value(APP_ID_HEADER)
            .and_then(percent_decoded)
            .unwrap_or_default();
        let signature = SignatureHeaders::parse(
            value("webhook-id"),
            value("webhook-timestamp"),
            value("webhook-signature"),
        );
        let signature = signature.map_err(|reason| self.fail(reason, &app_id, peer))?;
        let now = unix_seconds(SystemTime::now());
        let app = callers.verify_signature(&app_id, &signature, payload, now);
        let app = app.map_err(|reason| self.fail(reason, &app_id, peer))?;
        let replayed = self.check_replay(app, &signature, callers.timestamp_tolerance(), now);
        replayed.map_err(|error| match error {
            ReplayError::Replayed => self.fail(AuthError::Replayed, &app.id, peer),
            ReplayError::Full { wait } => self.limit(
                AppLimit::ReplayCache,
                wait.try_into().unwrap_or(u32::MAX),
                app,
            ),
        })?;
        self.admit(app, peer)
    }

    fn check_replay(
        &self,
        app: &RegisteredApp,
        signature: &SignatureHeaders<'_>,
        tolerance: Duration,
        now: u64,
    ) -> Result<(), ReplayError> {
        let until = signature.timestamp().saturating_add(tolerance.as_secs());
        let usage = self.usage_of(&app.id);
        let mut cache = usage
            .replay_cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cache.insert(signature.id(), until, now)
    }

    fn admit(&self, app: &RegisteredApp, peer: Peer) -> Result<Caller, Rejection> {
        Ok(Caller {
            app_id: Some(app.id.clone()),
            peer,
            permit: self.acquire_permit(app)?,
        })
    }

    /// Counts a request against its app's limits.
    fn acquire_permit(&self, app: &RegisteredApp) -> Result<RequestPermit, Rejection> {
        if app.rate.is_none() && app.max_in_flight.is_none() {
            return Ok(RequestPermit::unlimited());
        }
        let usage = self.usage_of(&app.id);
        let in_flight = usage.in_flight.fetch_add(1, Ordering::AcqRel);
        // Dropped on every early return, which decrements the count.
        let mut permit = RequestPermit {
            usage: Some(Arc::clone(&usage)),
            quota: None,
        };
        let now = self.started_at.elapsed();
        let mut limiter = usage
            .rate_limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let quota = |limiter: Gcra| {
            let rate = app.rate.map(|rate| RateQuota::of(limiter, rate, now));
            let in_flight = app.max_in_flight.map(|max| InFlightQuota {
                max,
                left: max.saturating_sub(in_flight.saturating_add(1)),
            });
            Some(Quota { rate, in_flight })
        };
        if app.max_in_flight.is_some_and(|max| in_flight >= max) {
            let rejection = self.limit(AppLimit::MaxInFlight, IN_FLIGHT_RETRY_SECONDS, app);
            return Err(rejection.with_quota(quota(*limiter)));
        }
        if let Some(rate) = app.rate {
            let wait = limiter.wait(rate, now);
            if !wait.is_zero() {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let seconds = seconds.try_into().unwrap_or(u32::MAX);
                let rejection = self.limit(AppLimit::Rate, seconds, app);
                return Err(rejection.with_quota(quota(*limiter)));
            }
            limiter.take(rate, now);
        }
        permit.quota = quota(*limiter);
        drop(limiter);
        Ok(permit)
    }

    fn usage_of(&self, app_id: &str) -> Arc<CallerUsage> {
        let known = self.usage.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = known.get(app_id) {
            return Arc::clone(usage);
        }
        drop(known);
        let mut known = self.usage.write().unwrap_or_else(PoisonError::into_inner);
        let usage = known.entry(app_id.to_owned()).or_insert_with(|| {
            Arc::new(CallerUsage {
                rate_limiter: Mutex::default(),
                in_flight: AtomicU32::new(0),
                replay_cache: Mutex::new(ReplayCache::new(MAX_REMEMBERED_REQUESTS)),
            })
        });
        Arc::clone(usage)
    }

    fn limit(&self, limit: AppLimit, retry_after: u32, app: &RegisteredApp) -> Rejection {
        self.metrics.rate_limited(limit);
        Rejection::from(Answer::TooManyRequests { retry_after }).of_app(Some(&app.id))
    }

    fn fail(&self, reason: AuthError, app_id: &str, peer: Peer) -> Rejection {
        self.metrics.auth_failure(reason);
        let counted = self.failures.count(reason.as_str(), peer);
        if let Some(suppressed) = counted.log {
            tracing::info!(
                reason = reason.as_str(),
                app = %excerpt(app_id),
                peer = peer.map(tracing::field::display),
                peer_failures = counted.peer_failures,
                suppressed,
                "authentication failed"
            );
        }
        match reason.is_forbidden() {
            // An app that is forbidden something is known; a failed authentication proves no app.
            true => {
                let app_id = Some(app_id).filter(|app_id| !app_id.is_empty());
                Rejection::from(Answer::Forbidden).of_app(app_id)
            }
            false => Answer::Unauthorized.into(),
        }
    }
}

fn peer(http_request: &HttpRequest) -> Peer {
    http_request.peer_addr().map(|peer| peer.ip())
}

impl Caller {
    /// Whether it may see callbacks of this app. In the mode `open` every caller sees all.
    pub(crate) fn may_see(&self, app_id: &str) -> bool {
        self.app_id.as_deref().is_none_or(|own| own == app_id)
    }

    /// What its app had left of its limits after this request.
    pub(crate) fn quota(&self) -> Option<Quota> {
        self.permit.quota
    }

    /// The app whose callbacks it may see. `None`: all.
    pub(crate) fn app_id(&self) -> Option<&str> {
        self.app_id.as_deref()
    }
}

impl RequestPermit {
    /// Of an app without limits.
    const fn unlimited() -> Self {
        Self {
            usage: None,
            quota: None,
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        if let Some(usage) = &self.usage {
            usage.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The value of a header that is present exactly once. Duplicates are ambiguous.
fn single_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A header's value. Empty if it is given, but not as one line of text: that is no credential, and not
/// an absent one either.
fn given<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let is_given = headers.contains_key(name);
    is_given.then(|| single_value(headers, name).unwrap_or_default())
}

/// The beginning of a caller's text, short enough and safe for a log line.
pub(crate) fn excerpt(text: &str) -> String {
    let end = text.char_indices().nth(64).map_or(text.len(), |(at, _)| at);
    one_line(&text[..end]).into_owned()
}
