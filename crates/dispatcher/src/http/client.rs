//! Makes one call to a target and turns the response into an outcome.

use crate::http::dns::Resolver;
use crate::http::error::classify;
use crate::http::headers::headers;
use crate::policy::route::{DeliveryRoute, Destination};
use crate::policy::success_rule::SuccessRule;
use contract::Message;
use delivery::{Outcome, retry_after};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::ext::on_informational;
use hyper::header::RETRY_AFTER;
use hyper::{Method, Request, Response, Uri};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio::sync::Notify;
use tokio::time::Instant;
use url::Host;

/// How much of a response body is read, for the callee's success rule and so that the connection
/// can be reused. The rest is cut off.
const MAX_RESPONSE_BODY: usize = 16 * 1024;

/// How many interim responses (1xx) a target may send before its answer: a hint, or a sign of life
/// every few seconds.
const MAX_INTERIM_RESPONSES: usize = 32;

/// Makes calls.
pub(crate) struct HttpSender {
    resolver: Resolver,
    /// Called in place of the target.
    #[cfg(test)]
    replaced: Option<fn(&Message) -> Outcome>,
}

impl HttpSender {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            #[cfg(test)]
            replaced: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn replace_calls(&mut self, outcome_of: fn(&Message) -> Outcome) {
        self.replaced = Some(outcome_of);
    }

    /// Calls the target of `message` once.
    pub(crate) async fn send(&self, message: &Message, route: &DeliveryRoute) -> Outcome {
        #[cfg(test)]
        if let Some(outcome_of) = self.replaced {
            return outcome_of(message);
        }
        let Destination { url, client } = match &route.destination {
            Ok(destination) => destination,
            Err(outcome) => return outcome.clone(),
        };
        // Resolved before the timeout of the call starts: a slow resolver is not the target's fault.
        // A pooled connection would not check the name again.
        if let Some(Host::Domain(name)) = url.url().host() {
            let addresses = self.resolver.addresses(name, &client.address_policy);
            if let Err(error) = Box::pin(addresses).await {
                return error.into();
            }
        }
        let profile = route.profile.as_deref();
        let callee_headers = profile.map(|profile| &profile.headers);
        let signing = route.signing.as_deref();
        let now = SystemTime::now();
        let Ok(target) = url.url().as_str().parse::<Uri>() else {
            // An internal error, not the target's fault.
            tracing::error!("request could not be built");
            return Outcome::Failed;
        };
        let body = Full::new(message.request_message.clone());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target;
        *request.headers_mut() = headers(message, callee_headers, signing, now, fastrand::u64(..));
        let flood = InterimCount::watch(&mut request);
        let deadline = Instant::now() + route.timeout;
        let answer = tokio::time::timeout_at(deadline, client.inner.request(request));
        let answer = tokio::select! {
            answer = answer => answer,
            status = flood.exceeded() => {
                // The connection is closed with the request, which is dropped here.
                return Outcome::Answered { status, retry_after: None };
            }
        };
        match answer {
            Ok(Ok(response)) => {
                let rule = profile.and_then(|profile| profile.success_rule.as_ref());
                read_response(response, rule, deadline).await
            }
            Ok(Err(error)) => classify(&error),
            Err(_) => Outcome::Timeout,
        }
    }
}

/// Counts the interim responses (1xx) to a request. A target that sends them without end would cost
/// a core until the timeout.
#[derive(Default)]
struct InterimCount {
    seen: AtomicUsize,
    exceeded: Notify,
    status: AtomicU16,
}

impl InterimCount {
    fn watch<B>(request: &mut Request<B>) -> Arc<Self> {
        let count = Arc::new(Self::default());
        let counter = Arc::clone(&count);
        on_informational(request, move |response| {
            if counter.seen.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM_RESPONSES {
                let status = response.status().as_u16();
                counter.status.store(status, Ordering::Release);
                counter.exceeded.notify_one();
            }
        });
        count
    }

    /// Waits until there are too many, and returns the status of the last one.
    async fn exceeded(&self) -> u16 {
        self.exceeded.notified().await;
        self.status.load(Ordering::Acquire)
    }
}

/// The outcome is that of the status and, for a 2xx, of the callee's success rule. The body is read in
/// any case, until the same deadline, so that the connection can be reused.
async fn read_response(
    response: Response<Incoming>,
    rule: Option<&SuccessRule>,
    deadline: Instant,
) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, SystemTime::now()));
    let rule = rule.filter(|_| (200..=299).contains(&status));
    let mut incoming = response.into_body();
    let (mut length, mut body) = (0, Vec::new());
    let complete = loop {
        match tokio::time::timeout_at(deadline, incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                let Ok(chunk) = frame.into_data() else {
                    continue; // Trailers.
                };
                length += chunk.len();
                if length > MAX_RESPONSE_BODY {
                    break false;
                }
                if rule.is_some() {
                    body.extend_from_slice(&chunk);
                }
            }
            Ok(None) => break true,
            Ok(Some(Err(_))) | Err(_) => break false,
        }
    };
    match rule {
        Some(rule) if !(complete && rule.accepts(&body)) => Outcome::SuccessRuleFailed { status },
        Some(_) | None => Outcome::Answered {
            status,
            retry_after,
        },
    }
}
