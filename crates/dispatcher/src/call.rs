//! How is a target called, and how is it made sure that only an admitted address is?
//!
//! Two clients, one for each guard policy: a pooled connection that was opened to an operator's
//! internal callee must never serve a caller's URL to the same host.

use crate::classify::classify;
use crate::headers::headers;
use crate::resolve::{Names, Policy};
use boot::settings::DispatcherSettings;
use bytes::Bytes;
use contract::Message;
use delivery::{Guard, Outcome, Parties, TargetUrl, retry_after};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Host;

/// What is read of an answer's body, so that the connection can be used again. More is cut off.
const MOST_BODY: usize = 16 * 1024;
const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// A client and the policy under which all its connections were opened.
struct Line {
    client: Client,
    policy: Policy,
}

/// Makes the calls.
pub(crate) struct Calls {
    /// For callers' URLs: every address is vetted.
    guarded: Line,
    /// For registered callees: the operator's word.
    registered: Line,
    names: Names,
    guard: Arc<Guard>,
    parties: Arc<Parties>,
    timeout: Duration,
}

impl Calls {
    pub(crate) fn new(
        settings: &DispatcherSettings,
        guard: Arc<Guard>,
        parties: Arc<Parties>,
        names: Names,
    ) -> reqwest::Result<Self> {
        let idle = usize::from(settings.first_slots) + usize::from(settings.retry_slots);
        let line = |policy: Policy| {
            let client = Client::builder()
                .dns_resolver(Arc::new(names.under(policy.clone())))
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(IDLE_WITHIN)
                .pool_max_idle_per_host(idle)
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                // A silent second request would be a repeat that nobody has counted.
                .retry(reqwest::retry::never())
                .build()?;
            Ok::<_, reqwest::Error>(Line { client, policy })
        };
        Ok(Self {
            guarded: line(Policy::Guarded(Arc::clone(&guard)))?,
            registered: line(Policy::Registered)?,
            names,
            guard,
            parties,
            timeout: settings.attempt_timeout,
        })
    }

    /// Calls the target of `message` once.
    pub(crate) async fn call(&self, message: &Message) -> Outcome {
        let (line, url) = match &message.callback_url {
            Some(url) => match self.admit(url) {
                Ok(url) => (&self.guarded, Cow::Owned(url)),
                Err(refused) => return refused,
            },
            None => match self.registered_url(message) {
                Some(url) => (&self.registered, Cow::Borrowed(url)),
                None => return Outcome::CalleeWithoutUrl,
            },
        };
        // Before the target's time begins to run: a slow resolver is not the target's fault. It
        // also vets the name again where a pooled connection would not.
        if let Some(Host::Domain(name)) = url.url().host()
            && let Err(undialled) = self.names.addresses(name, &line.policy).await
        {
            return undialled.into();
        }
        let timeout = message
            .options
            .timeout_seconds
            .map_or(self.timeout, |seconds| Duration::from_secs(seconds.into()));
        let now = SystemTime::now();
        let request = line
            .client
            .post(url.url().clone())
            .headers(headers(message, now, fastrand::u64(..)))
            .timeout(timeout)
            .body(message.request_message.clone());
        match request.send().await {
            Ok(response) => answered(response).await,
            Err(error) => classify(&error),
        }
    }

    /// The client never asks its resolver about a literal address, so that is judged here.
    fn admit(&self, url: &str) -> Result<TargetUrl, Outcome> {
        // Parsed at the door already: what fails here was never written by it.
        let url = TargetUrl::parse(url).map_err(|_| Outcome::Failed)?;
        self.guard
            .admit_literal(&url)
            .map_err(Outcome::AddressRefused)?;
        Ok(url)
    }

    fn registered_url(&self, message: &Message) -> Option<&TargetUrl> {
        self.parties
            .find(message.callee_no.as_deref()?)?
            .url
            .as_ref()
    }

    /// The target for logs: scheme, host and port.
    pub(crate) fn target_name(&self, message: &Message) -> String {
        let target = match &message.callback_url {
            Some(url) => TargetUrl::parse(url).ok().map(|url| url.target()),
            None => self.registered_url(message).map(TargetUrl::target),
        };
        target.map(|target| target.to_string()).unwrap_or_default()
    }
}

/// The status decides; the rest of the answer is read only to free the connection, within the same
/// deadline.
async fn answered(mut response: Response) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, SystemTime::now()));
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += Bytes::len(&chunk);
        if read > MOST_BODY {
            break;
        }
    }
    Outcome::Answered {
        status,
        retry_after,
    }
}
