//! Makes one call to a target and turns the response into an outcome.

use crate::http::answer::{MAX_ANSWER, kept_answer};
use crate::http::cloud_event::add_cloud_event;
use crate::http::connector::CutOff;
use crate::http::dns::Resolver;
use crate::http::error::{cause_text, classify};
use crate::http::headers::headers;
use crate::http::pool::UsedConnection;
use crate::policy::route::{DeliveryRoute, Destination};
use crate::policy::success_rule::{AnswerBody, Judgement, SuccessRule};
use contract::Message;
use delivery::{Outcome, retry_after};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::ext::on_informational;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Method, Request, Response, Uri};
use journal::TargetAnswer;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::Notify;
use tokio::time::Instant;
use url::Host;

/// How much of a response body is read so that the connection can be reused. The rest is cut off.
const MAX_DRAINED_BODY: usize = 16 * 1024;

/// How much of a response body is read for a callee's success rule.
const MAX_JUDGED_BODY: usize = 64 * 1024;

/// How many interim responses (1xx) a target may send before its answer: a hint, or a sign of life
/// every few seconds.
const MAX_INTERIM_RESPONSES: usize = 32;

/// How a call ended, and what is recorded of it for operators.
pub(crate) struct CallResult {
    pub(crate) outcome: Outcome,
    /// In the words of what reported a failure.
    pub(crate) cause: Option<String>,
    /// What the target answered, if that was no success and answers are kept.
    pub(crate) answer: Option<TargetAnswer>,
}

impl From<Outcome> for CallResult {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            cause: None,
            answer: None,
        }
    }
}

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

    /// Calls the target of `message` once. `keep_answers`: unless the callee's settings say otherwise.
    pub(crate) async fn send(
        &self,
        message: &Message,
        route: &DeliveryRoute,
        traceparent: &str,
        keep_answers: bool,
    ) -> CallResult {
        #[cfg(test)]
        if let Some(outcome_of) = self.replaced {
            return outcome_of(message).into();
        }
        let Destination { url, client } = match &route.destination {
            Ok(destination) => destination,
            Err(outcome) => return outcome.clone().into(),
        };
        // Resolved before the timeout of the call starts: a slow resolver is not the target's fault.
        // A pooled connection would not check the name again.
        if let Some(Host::Domain(name)) = url.url().host() {
            let addresses = self.resolver.addresses(name, &client.address_policy);
            if let Err(error) = Box::pin(addresses).await {
                return CallResult {
                    cause: cause_text(&error),
                    ..Outcome::from(&error).into()
                };
            }
        }
        let profile = route.profile.as_deref();
        let callee_headers = profile.map(|profile| &profile.headers);
        let signing = route.signing.as_deref();
        let now = SystemTime::now();
        let Ok(target) = url.url().as_str().parse::<Uri>() else {
            // An internal error, not the target's fault.
            tracing::error!("request could not be built");
            return Outcome::Failed.into();
        };
        let body = Full::new(message.request_message.clone());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target;
        *request.headers_mut() = headers(message, callee_headers, signing, now, traceparent);
        if profile.is_some_and(|profile| profile.cloud_events) {
            add_cloud_event(request.headers_mut(), message);
        }
        let flood = InterimCount::of(&mut request);
        let deadline = Instant::now() + route.timeout;
        let answer = tokio::time::timeout_at(
            deadline,
            client.request(request, |cut_off| flood.watch_over(cut_off)),
        );
        let answer = tokio::select! {
            // First: too many interim responses also end the connection.
            biased;
            status = flood.exceeded() => {
                return Outcome::Answered { status, retry_after: None }.into();
            }
            answer = answer => answer,
        };
        match answer {
            Ok(Ok((response, connection))) => {
                let rule = profile.and_then(|profile| profile.success_rule.as_ref());
                let of_callee = profile.is_none_or(|profile| profile.keep_answers);
                let keep = keep_answers && of_callee;
                read_response(response, connection, rule, deadline, keep).await
            }
            Ok(Err(error)) => {
                let (outcome, cause) = classify(&error);
                CallResult {
                    cause,
                    ..outcome.into()
                }
            }
            Err(_) => Outcome::Timeout.into(),
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
    /// Of the connection that the request is sent on.
    connection: Mutex<CutOff>,
}

impl InterimCount {
    fn of<B>(request: &mut Request<B>) -> Arc<Self> {
        let count = Arc::new(Self::default());
        let counter = Arc::clone(&count);
        on_informational(request, move |response| {
            if counter.seen.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM_RESPONSES {
                let status = response.status().as_u16();
                counter.status.store(status, Ordering::Release);
                counter.exceeded.notify_one();
                counter.connection().now();
            }
        });
        count
    }

    /// Ends this connection when there are too many.
    fn watch_over(&self, connection: CutOff) {
        *self.connection() = connection;
    }

    fn connection(&self) -> MutexGuard<'_, CutOff> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are too many, and returns the status of the last one.
    async fn exceeded(&self) -> u16 {
        self.exceeded.notified().await;
        self.status.load(Ordering::Acquire)
    }
}

/// How the reading of a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Complete,
    /// It is longer than what is read of it.
    TooLong,
    /// The connection was lost.
    Lost,
    /// It was not complete by the deadline.
    TimedOut,
}

/// The outcome is that of the status and, for a 2xx, of the callee's success rule. The body is read in
/// any case, until the same deadline, so that the connection can be reused.
async fn read_response(
    response: Response<Incoming>,
    connection: UsedConnection,
    rule: Option<&SuccessRule>,
    deadline: Instant,
    keep_answer: bool,
) -> CallResult {
    let (head, mut incoming) = response.into_parts();
    let status = head.status.as_u16();
    let retry_after = text_of(&head.headers, &RETRY_AFTER)
        .and_then(|value| retry_after(value, SystemTime::now()));
    let is_success = (200..=299).contains(&status);
    let rule = rule.filter(|_| is_success);
    let mut body = Vec::new();
    let (max, kept) = match rule {
        Some(_) => (MAX_JUDGED_BODY, MAX_JUDGED_BODY),
        None if keep_answer && !is_success => (MAX_DRAINED_BODY, MAX_ANSWER),
        None => (MAX_DRAINED_BODY, 0),
    };
    let end = read_body(&mut incoming, max, (&mut body, kept), deadline).await;
    if end == BodyEnd::Complete {
        connection.put_back();
    }
    let content_type = text_of(&head.headers, &CONTENT_TYPE);
    let encoding = text_of(&head.headers, &CONTENT_ENCODING);
    let is_compressed = encoding.is_some_and(|it| !it.eq_ignore_ascii_case("identity"));
    let judgement = rule.map(|rule| {
        rule.judge(&AnswerBody {
            bytes: &body,
            content_type,
            is_compressed,
            is_too_long: end == BodyEnd::TooLong,
        })
    });
    let delivered = is_success && matches!(judgement, None | Some(Judgement::Success));
    let answer = match keep_answer && !delivered {
        true => kept_answer(&body, content_type, is_compressed),
        false => None,
    };
    let outcome = match (judgement, end) {
        (None | Some(Judgement::Success), _) => Outcome::Answered {
            status,
            retry_after,
        },
        (Some(Judgement::Failure), _) => Outcome::SuccessRuleFailed { status },
        // The answer did not arrive, so it says nothing about the rule.
        (Some(Judgement::Unreadable(_)), BodyEnd::Lost) => Outcome::ConnectionReset,
        (Some(Judgement::Unreadable(_)), BodyEnd::TimedOut) => Outcome::Timeout,
        (Some(Judgement::Unreadable(reason)), BodyEnd::Complete | BodyEnd::TooLong) => {
            Outcome::SuccessRuleUnreadable { status, reason }
        }
    };
    CallResult {
        outcome,
        cause: None,
        answer,
    }
}

/// Reads at most `max` bytes, and keeps so many of the first.
async fn read_body(
    incoming: &mut Incoming,
    max: usize,
    (kept, most): (&mut Vec<u8>, usize),
    deadline: Instant,
) -> BodyEnd {
    let mut left = max;
    loop {
        match tokio::time::timeout_at(deadline, incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                let Ok(mut chunk) = frame.into_data() else {
                    continue; // Trailers.
                };
                let is_too_long = chunk.len() > left;
                chunk.truncate(left);
                left -= chunk.len();
                let room = most.saturating_sub(kept.len()).min(chunk.len());
                kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
                if is_too_long {
                    return BodyEnd::TooLong;
                }
            }
            Ok(None) => return BodyEnd::Complete,
            Ok(Some(Err(_))) => return BodyEnd::Lost,
            Err(_) => return BodyEnd::TimedOut,
        }
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
