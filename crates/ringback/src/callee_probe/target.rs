//! What is probed: where it is, how it is called, and by which rules its answers are judged.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use admin::GuardQuestion;
use admin::cli::http::{client, shown_url};
use delivery::retry::RetryOverrides;
use delivery::signature::Signer;
use delivery::{AddressRule, Schedule};
use dispatcher::{CalleeAuth, CalleeConfig};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity};
use runtime::SecretRef;
use secrecy::ExposeSecret;
use url::{Host, Url};

use crate::app::config_check::{ValidatedConfig, schedule};
use crate::app::settings::Settings;
use crate::error::CommandError;

/// What the command line says of the target.
pub(crate) struct TargetOptions<'a> {
    /// A URL, or the number of a registered callee.
    pub(crate) target: &'a str,
    /// The app whose rules and secrets apply.
    pub(crate) app: Option<&'a str>,
    /// Signs the messages, in place of the secrets of the settings.
    pub(crate) secret: Option<SecretRef>,
    /// What may be called in addition to the settings.
    pub(crate) allow: &'a [AddressRule],
    /// The body of the messages, in place of a practice body.
    pub(crate) message: Option<Vec<u8>>,
    /// The type of the messages.
    pub(crate) message_type: &'a str,
}

/// A callee to be probed.
pub(crate) struct ProbeTarget {
    pub(super) url: Url,
    pub(super) callee_no: Option<String>,
    /// Addresses that the guard admits.
    pub(super) addresses: Vec<IpAddr>,
    /// By which rule it admits the first.
    pub(super) admitted_by: String,
    pub(super) client: Client,
    pub(super) headers: HeaderMap,
    pub(super) signer: Option<Signer>,
    pub(super) schedule: Schedule,
    pub(super) retry_overrides: RetryOverrides,
    pub(super) timeout: Duration,
    /// The largest body that the gateway accepts from callers.
    pub(super) body_limit: usize,
    pub(super) message: Option<Vec<u8>>,
    pub(super) message_type: String,
    /// Whether the callee reads the headers of CloudEvents.
    pub(super) cloud_events: bool,
}

impl ProbeTarget {
    /// Finds the target, and asks the address guard.
    ///
    /// # Errors
    /// Settings that cannot be used, no such callee, or the guard's refusal.
    pub(crate) async fn find(
        options: TargetOptions<'_>,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        let callee = settings.callees.get(options.target);
        let url = match callee.map(|callee| callee.url.as_deref()) {
            Some(Some(url)) => url,
            Some(None) => {
                let key = format!("callees.{}.url", options.target);
                return Err(failed(format!("the callee has no URL: set {key}")));
            }
            None => options.target,
        };
        let url = Url::parse(url).map_err(|_| {
            failed("neither a URL (https://host/path) nor the number of a registered callee")
        })?;
        let (addresses, admitted_by) = admitted(&options, settings).await?;
        let defaults = CalleeConfig::default();
        let config = callee.unwrap_or(&defaults);
        let overrides = config.retry_overrides();
        let overrides = overrides.map_err(|(key, reason)| failed(format!("{key}: {reason}")))?;
        let own_schedule = match config.schedule.as_slice() {
            [] => schedule(settings)?,
            waits => Schedule::new(waits.to_vec()).map_err(|error| failed(error.to_string()))?,
        };
        let timeout = config
            .timeout
            .unwrap_or(settings.dispatcher.attempt_timeout);
        Ok(Self {
            client: http_client(&url, &addresses, config, settings, timeout)?,
            callee_no: callee.map(|_| options.target.to_owned()),
            headers: headers(config)?,
            signer: signer(&options, config, settings)?,
            schedule: own_schedule,
            retry_overrides: overrides,
            timeout,
            body_limit: settings.ingress.body_limit_bytes,
            message: options.message,
            message_type: options.message_type.to_owned(),
            cloud_events: config.cloud_events,
            url,
            addresses,
            admitted_by,
        })
    }

    /// Whether all of its addresses are of this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.addresses.iter().all(IpAddr::is_loopback)
    }

    /// Its URL without what may be secret.
    pub(crate) fn shown(&self) -> String {
        shown_url(&self.url)
    }

    /// Whether messages are signed.
    pub(super) fn is_signed(&self) -> bool {
        self.signer.is_some()
    }
}

fn failed(sentence: impl Into<String>) -> CommandError {
    CommandError::Failed(sentence.into())
}

/// The addresses that the guard admits, and by which rule it admits the first.
async fn admitted(
    options: &TargetOptions<'_>,
    settings: &Settings,
) -> Result<(Vec<IpAddr>, String), CommandError> {
    let rules = ValidatedConfig::check(settings)?.guard_rules(options.allow);
    let question = GuardQuestion {
        target: options.target.to_owned(),
        app: options.app.map(str::to_owned),
        addresses: Vec::new(),
    };
    let report = rules.judge(&question).await.map_err(CommandError::Failed)?;
    if let Some(refusal) = report.refused {
        return Err(failed(format!(
            "the address guard refuses it: {refusal} (--allow ADDRESS allows one for this probe alone)"
        )));
    }
    let mut decided = report.addresses.into_iter();
    let mut decided = decided
        .by_ref()
        .filter(|one| !one.decision.starts_with("refused"));
    let Some(first) = decided.next() else {
        return Err(failed("its name has no address"));
    };
    let admitted_by = first.decision;
    let rest = decided.map(|one| one.address);
    Ok((
        std::iter::once(first.address).chain(rest).collect(),
        admitted_by,
    ))
}

/// A client that calls these addresses alone, and as the dispatcher does: HTTP/1.1, no redirects, no proxy.
fn http_client(
    url: &Url,
    addresses: &[IpAddr],
    config: &CalleeConfig,
    settings: &Settings,
    timeout: Duration,
) -> Result<Client, CommandError> {
    let mut builder = client(timeout)
        .connect_timeout(settings.dispatcher.connect_timeout)
        .http1_only()
        .tls_info(true)
        .user_agent(concat!("ringback/", env!("CARGO_PKG_VERSION")));
    if let Some(Host::Domain(name)) = url.host() {
        // The port of the URL is used.
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        builder = builder.resolve_to_addrs(name, &addresses);
    }
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))
    };
    let certificates = |path: &std::path::Path| {
        Certificate::from_pem_bundle(&read(path)?)
            .map_err(|_| failed(format!("{} holds no certificates", path.display())))
    };
    match (&config.ca_file, &settings.dispatcher.ca_file) {
        (Some(own), _) => builder = builder.tls_certs_only(certificates(own)?),
        (None, Some(more)) => builder = builder.tls_certs_merge(certificates(more)?),
        (None, None) if url.scheme() == "http" => builder = builder.tls_certs_only([]),
        (None, None) => {}
    }
    if let (Some(chain), Some(key)) = (&config.cert_file, &config.key_file) {
        let pem = [read(chain)?, read(key)?].concat();
        let identity = Identity::from_pem(&pem)
            .map_err(|_| failed("cert_file and key_file are no client certificate"))?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|error| failed(format!("the HTTP client cannot be built: {error}")))
}

/// The headers of every call to the callee.
fn headers(config: &CalleeConfig) -> Result<HeaderMap, CommandError> {
    let read = |secret: &SecretRef| secret.read().map_err(failed);
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: &str| {
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            failed(format!(
                "the header {name} of the callee is not a header value"
            ))
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok::<_, CommandError>(())
    };
    for (name, value) in &config.headers {
        let name = HeaderName::try_from(name)
            .map_err(|_| failed("a header of the callee has no valid name"))?;
        insert(name, read(value)?.expose_secret())?;
    }
    if let (Some(auth), Some(secret)) = (config.auth, &config.secret) {
        let secret = read(secret)?;
        let value = match (auth, &config.user) {
            (CalleeAuth::Basic, Some(user)) => {
                use base64::Engine as _;
                let pair = format!("{}:{}", read(user)?.expose_secret(), secret.expose_secret());
                format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
            }
            _ => format!("Bearer {}", secret.expose_secret()),
        };
        insert(AUTHORIZATION, &value)?;
    }
    Ok(headers)
}

/// Who signs: the given secret, those of the callee, or those of the app.
fn signer(
    options: &TargetOptions<'_>,
    config: &CalleeConfig,
    settings: &Settings,
) -> Result<Option<Signer>, CommandError> {
    let of_app = options.app.and_then(|app| settings.apps.get(app));
    let secrets: Vec<&SecretRef> = match (&options.secret, config.signing_secrets.as_slice()) {
        (Some(secret), _) => vec![secret],
        (None, []) => of_app.iter().flat_map(|app| &app.signing_secrets).collect(),
        (None, own) => own.iter().collect(),
    };
    if secrets.is_empty() {
        return Ok(None);
    }
    let texts = secrets.iter().map(|secret| secret.read().map_err(failed));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let signer = Signer::parse(texts.iter().map(ExposeSecret::expose_secret));
    signer.map(Some).map_err(|error| failed(error.to_string()))
}
