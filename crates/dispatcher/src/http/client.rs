//! Makes one call to a target and turns the response into an outcome.

use crate::http::dns::Resolver;
use crate::http::error::classify;
use crate::http::headers::headers;
use crate::policy::route::{DeliveryRoute, Destination};
use crate::policy::success_rule::SuccessRule;
use contract::Message;
use delivery::{Outcome, retry_after};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Request, Response};
use std::time::SystemTime;
use url::Host;

/// How much of a response body is read, for the callee's success rule and so that the connection
/// can be reused. The rest is cut off.
const MAX_RESPONSE_BODY: usize = 16 * 1024;

/// Makes calls.
pub(crate) struct HttpSender {
    pub(crate) resolver: Resolver,
}

impl HttpSender {
    /// Calls the target of `message` once.
    pub(crate) async fn send(&self, message: &Message, route: &DeliveryRoute) -> Outcome {
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
        // Not with reqwest's builder, which copies each header into a second map.
        let mut request = Request::new(Method::POST, url.url().clone());
        *request.headers_mut() = headers(message, callee_headers, signing, now, fastrand::u64(..));
        *request.timeout_mut() = Some(route.timeout);
        *request.body_mut() = Some(message.request_message.clone().into());
        match client.inner.execute(request).await {
            Ok(response) => {
                let rule = profile.and_then(|profile| profile.success_rule.as_ref());
                read_response(response, rule).await
            }
            Err(error) => classify(&error),
        }
    }
}

/// The outcome is that of the status and, for a 2xx, of the callee's success rule. The body is read in
/// any case, within the same timeout, so that the connection can be reused.
async fn read_response(mut response: Response, rule: Option<&SuccessRule>) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, SystemTime::now()));
    let rule = rule.filter(|_| (200..=299).contains(&status));
    let (mut length, mut body) = (0, Vec::new());
    let complete = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                length += chunk.len();
                if length > MAX_RESPONSE_BODY {
                    break false;
                }
                if rule.is_some() {
                    body.extend_from_slice(&chunk);
                }
            }
            Ok(None) => break true,
            Err(_) => break false,
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
