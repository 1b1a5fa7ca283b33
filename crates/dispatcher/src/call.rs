//! How is a target called, and what is made of its answer?

use crate::classify::classify;
use crate::headers::headers;
use crate::plan::{Plan, Way};
use crate::resolve::Names;
use crate::rule::BodyRule;
use contract::Message;
use delivery::{Outcome, retry_after};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Request, Response};
use std::time::SystemTime;
use url::Host;

/// What is read of an answer's body, for its callee's rule and so that the connection can be used
/// again. More is cut off.
const MOST_BODY: usize = 16 * 1024;

/// Makes the calls.
pub(crate) struct Calls {
    pub(crate) names: Names,
}

impl Calls {
    /// Calls the target of `message` once.
    pub(crate) async fn call(&self, message: &Message, plan: &Plan) -> Outcome {
        let Way { url, line } = match &plan.way {
            Ok(way) => way,
            Err(outcome) => return outcome.clone(),
        };
        // Before the target's time begins to run: a slow resolver is not the target's fault. It
        // also vets the name again where a pooled connection would not.
        if let Some(Host::Domain(name)) = url.url().host()
            && let Err(undialled) = Box::pin(self.names.addresses(name, &line.policy)).await
        {
            return undialled.into();
        }
        let manner = plan.manner.as_deref();
        let operators = manner.map(|manner| &manner.headers);
        let signing = plan.signing.as_deref();
        let now = SystemTime::now();
        // Not by reqwest's builder, which puts each header into a second map.
        let mut request = Request::new(Method::POST, url.url().clone());
        *request.headers_mut() = headers(message, operators, signing, now, fastrand::u64(..));
        *request.timeout_mut() = Some(plan.timeout);
        *request.body_mut() = Some(message.request_message.clone().into());
        match line.client.execute(request).await {
            Ok(response) => answered(response, manner.and_then(|it| it.rule.as_ref())).await,
            Err(error) => classify(&error),
        }
    }
}

/// The status decides, and for a 2xx the callee's rule, if it has one. The rest of the answer is
/// read to free the connection, within the same deadline.
async fn answered(mut response: Response, rule: Option<&BodyRule>) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, SystemTime::now()));
    let rule = rule.filter(|_| (200..=299).contains(&status));
    let (mut read, mut body) = (0, Vec::new());
    let whole = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                read += chunk.len();
                if read > MOST_BODY {
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
        Some(rule) if !(whole && rule.accepts(&body)) => Outcome::BodyRefused { status },
        Some(_) | None => Outcome::Answered {
            status,
            retry_after,
        },
    }
}
