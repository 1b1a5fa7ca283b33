//! Counts, logs and slows requests that have no access.
//!
//! The answer to a wrong token is delayed once a peer has sent several, and a peer with many such
//! answers outstanding is refused before its token is looked at: that bounds how fast tokens can be
//! tried. A valid token is never delayed. It is refused only while its own address tries many wrong
//! ones at a time, and not at all if that address is a trusted proxy.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use delivery::auth::KeyHash;
use runtime::clock::now_ms;
use runtime::http::HttpLimits;
use runtime::{FailureLog, Reloadable, peer_network};

use super::auth::{AdminTokens, Operator, TokenName};
use super::error::{ApiError, ProblemCode};
use super::metrics::AdminMetrics;
use super::session;
use crate::config::Role;
use crate::doctor::said::say;

/// How many failures of a peer are answered at once: typing errors, an old script.
const FREE_FAILURES: u64 = 10;

/// The first delay. Each further one is twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(100);

const MAX_DELAY: Duration = Duration::from_secs(2);

/// How many answers to one peer are delayed at a time. With the delay this allows 8 tokens a second.
const MAX_DELAYED: usize = 16;

/// Decides who has access, and slows those who have not.
pub(crate) struct OperatorAccess {
    tokens: Reloadable<AdminTokens>,
    limits: HttpLimits,
    metrics: AdminMetrics,
    failures: FailureLog,
    /// How many answers to each network of peers are delayed now: at most as many as connections.
    delayed: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts an answer as delayed until it is dropped.
struct DelayedAnswer<'a> {
    access: &'a OperatorAccess,
    network: IpAddr,
}

impl OperatorAccess {
    pub(super) fn new(
        tokens: Reloadable<AdminTokens>,
        limits: HttpLimits,
        metrics: AdminMetrics,
    ) -> Self {
        Self {
            tokens,
            limits,
            metrics,
            failures: FailureLog::new(),
            delayed: Mutex::default(),
        }
    }

    /// Checks that a request has the needed role. Returns the name of its token. A failure may take a
    /// while.
    ///
    /// # Errors
    /// Why the request is rejected.
    pub(super) async fn authorize(
        &self,
        method: &Method,
        headers: &HeaderMap,
        needed: Role,
        peer: Option<IpAddr>,
    ) -> Result<Option<TokenName>, ApiError> {
        let peer = peer.map(|peer| peer.to_canonical());
        let checked = match peer {
            Some(peer) if self.must_wait(peer) => Err(ApiError::rejected(
                ProblemCode::TooManyFailures,
                say!(
                    "your address has sent too many wrong tokens at a time; try again soon",
                    "来自您地址的错误令牌过多，请稍后再试"
                ),
            )),
            Some(_) | None => self.tokens.get().authorize(method, headers, needed),
        };
        let Err(error) = &checked else {
            return checked;
        };
        let failures = self.record(error, peer);
        let is_wrong_token =
            *error == ApiError::Unauthenticated && AdminTokens::shows_token(headers);
        if let (true, Some(peer)) = (is_wrong_token, peer) {
            let delay = delay_after(failures);
            if !delay.is_zero() {
                let _delayed = self.delay(peer);
                tokio::time::sleep(delay).await;
            }
        }
        checked
    }

    /// The operator of a request for a page: whom a proxy names, or whose session is valid now.
    ///
    /// # Errors
    /// Why the request may be another site's.
    pub(crate) fn operator(
        &self,
        headers: &HeaderMap,
        session: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Option<Operator>, ApiError> {
        let now = now_ms() / 1_000;
        let found = self.tokens.get().operator(headers, session, peer, now);
        found.map_err(|error| self.reject(error, peer))
    }

    /// Whether an operator who signed in earlier has this role still: a reload may have removed the token.
    pub(crate) fn still_grants(&self, operator: &Operator, needed: Role) -> bool {
        self.tokens.get().still_grant(operator, needed)
    }

    /// A session for the holder of this token. A wrong one is answered as late as by the API.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn sign_in(
        &self,
        token: &str,
        peer: Option<IpAddr>,
    ) -> Result<String, ApiError> {
        let token = token.trim();
        let hash = KeyHash::of(token.as_bytes());
        // What cannot stand in a header is no token either, and is slowed alike.
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let bearer = bearer.or_else(|_| HeaderValue::from_str(&format!("Bearer {hash}")));
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            bearer.map_err(|_| ApiError::Unauthenticated)?,
        );
        self.authorize(&Method::GET, &headers, Role::Read, peer)
            .await?;
        let expires_at = now_ms() / 1_000 + session::LIFETIME.as_secs();
        session::issue(&hash, expires_at).ok_or(ApiError::Internal)
    }

    /// Whether no token is required.
    pub(crate) fn is_open(&self) -> bool {
        self.tokens.get().is_open()
    }

    /// Counts and logs why a request is rejected.
    pub(crate) fn reject(&self, error: ApiError, peer: Option<IpAddr>) -> ApiError {
        self.record(&error, peer.map(|peer| peer.to_canonical()));
        error
    }

    /// Counts and logs a failure. Returns how many the peer has had.
    fn record(&self, error: &ApiError, peer: Option<IpAddr>) -> u64 {
        let code = error.code();
        match code {
            ProblemCode::Unauthenticated
            | ProblemCode::InsufficientRole
            | ProblemCode::ForeignOrigin
            | ProblemCode::TooManyFailures => self.metrics.auth_failure(code),
            _ => return 0, // Authenticated.
        }
        let counted = self.failures.count(code.as_str(), peer);
        if let Some(suppressed) = counted.log {
            tracing::warn!(
                reason = code.as_str(),
                peer = peer.map(tracing::field::display),
                peer_failures = counted.peer_failures,
                suppressed,
                "operator request rejected"
            );
        }
        counted.peer_failures
    }

    fn must_wait(&self, peer: IpAddr) -> bool {
        let delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = delayed
            .get(&peer_network(peer))
            .copied()
            .unwrap_or_default();
        count >= MAX_DELAYED && !self.limits.trusts(peer)
    }

    fn delay(&self, peer: IpAddr) -> DelayedAnswer<'_> {
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        let network = peer_network(peer);
        *delayed.entry(network).or_default() += 1;
        DelayedAnswer {
            access: self,
            network,
        }
    }
}

impl Drop for DelayedAnswer<'_> {
    fn drop(&mut self) {
        let delayed = &self.access.delayed;
        let mut delayed = delayed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = delayed.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                delayed.remove(&self.network);
            }
        }
    }
}

/// How long the answer to a wrong token is delayed, after so many failures of its peer.
fn delay_after(failures: u64) -> Duration {
    let Some(further) = failures.checked_sub(FREE_FAILURES + 1) else {
        return Duration::ZERO;
    };
    let factor = u32::try_from(further)
        .ok()
        .and_then(|further| 2_u32.checked_pow(further));
    let delay = factor.and_then(|factor| FIRST_DELAY.checked_mul(factor));
    delay.map_or(MAX_DELAY, |delay| delay.min(MAX_DELAY))
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use runtime::MetricsRegistry;
    use runtime::http::HttpConfig;

    use super::*;
    use crate::config::AdminConfig;

    const TOKEN: &str = "the-token-0123456789";

    fn access(trusted: &[&str]) -> OperatorAccess {
        let config = AdminConfig {
            token: Some(TOKEN.into()),
            ..AdminConfig::default()
        };
        let registry = MetricsRegistry::new();
        let trusted = trusted
            .iter()
            .map(|one| (*one).to_owned().try_into().unwrap());
        let http = HttpConfig {
            trusted_proxies: trusted.collect(),
            ..HttpConfig::default()
        };
        OperatorAccess::new(
            Reloadable::new(AdminTokens::new(&config).unwrap()),
            HttpLimits::new(&http, u64::MAX, &registry),
            registry.add(AdminMetrics::register),
        )
    }

    async fn ask(access: &OperatorAccess, token: &str, last: u8) -> Result<(), ProblemCode> {
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.insert(AUTHORIZATION, bearer);
        let peer = Some(IpAddr::from([10, 0, 0, last]));
        let asked = access.authorize(&Method::GET, &headers, Role::Read, peer);
        asked.await.map(drop).map_err(|error| error.code())
    }

    #[test]
    fn delays_grow_after_some_failures_up_to_two_seconds() {
        let millis = [0, 10, 11, 12, 15, 16, 17, 1_000_000]
            .map(|failures| delay_after(failures).as_millis());
        assert_eq!(millis, [0, 0, 100, 200, 1_600, 2_000, 2_000, 2_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_are_slowed_and_valid_ones_are_not() {
        let (access, begun) = (access(&[]), tokio::time::Instant::now());
        for _ in 0..FREE_FAILURES {
            assert_eq!(
                ask(&access, "wrong", 1).await,
                Err(ProblemCode::Unauthenticated)
            );
        }
        assert!(begun.elapsed().is_zero());
        for _ in 0..100 {
            assert_eq!(
                ask(&access, "wrong", 1).await,
                Err(ProblemCode::Unauthenticated)
            );
            let before = begun.elapsed();
            assert_eq!(ask(&access, TOKEN, 1).await, Ok(()));
            assert_eq!(begun.elapsed(), before);
        }
        assert!(
            begun.elapsed() > Duration::from_secs(190),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_guesses_at_a_time_try_few_tokens_and_stop_only_their_own_address() {
        let access = access(&["10.0.0.9"]);
        for last in [1, 9] {
            join_all((0..20).map(|_| ask(&access, "wrong", last))).await;
        }
        let guesses = |last| {
            join_all(
                (0..10_000)
                    .map(move |_| (last, "wrong"))
                    .map(|(last, token)| ask(&access, token, last)),
            )
        };
        let others = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(ask(&access, TOKEN, 2).await, Ok(()));
            assert_eq!(
                ask(&access, TOKEN, 1).await,
                Err(ProblemCode::TooManyFailures)
            );
        };
        let (answers, ()) = tokio::join!(guesses(1), others);
        let tried = |answers: &[Result<(), ProblemCode>]| {
            let tried = Err(ProblemCode::Unauthenticated);
            answers.iter().filter(|answer| **answer == tried).count()
        };
        assert_eq!(tried(&answers), MAX_DELAYED);
        assert_eq!(ask(&access, TOKEN, 1).await, Ok(()));
        // Behind a trusted proxy all are one peer: none is refused unseen.
        let valid = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(ask(&access, TOKEN, 9).await, Ok(()));
        };
        let (answers, ()) = tokio::join!(guesses(9), valid);
        assert_eq!(tried(&answers), 10_000);
        assert!(access.delayed.lock().unwrap().is_empty());
    }
}
