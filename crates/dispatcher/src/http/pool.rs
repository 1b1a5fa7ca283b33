//! HTTP clients: they open connections, and use them again.
//!
//! Connections are shared only under one address policy and one TLS profile: a connection to an
//! operator's internal callee must never serve a caller's URL at the same host, and one with a
//! client certificate must never serve a callee without it.

use crate::config::DispatcherConfig;
use crate::http::certificates::CertificateExpiries;
use crate::http::connections::{NoConnectionLeft, PoolKey, Sender, TargetConnections};
use crate::http::connector::{BoxError, Connector, CutOff};
use crate::http::dns::{AddressPolicy, Resolver};
use crate::http::tls::TlsProfile;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::{Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The largest head of a response. It is also what is read at a time: a connection parses up to 128
/// times as much before it notices that its request was given up.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How many header lines a response may have.
const MAX_HEADER_LINES: usize = 400;
/// How long a connection may take to become ready for the next request after an answer.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// A client, and the address policy and TLS profile under which all its connections are opened.
pub(crate) struct HttpClient {
    /// Tells its connections from those of other clients.
    id: u64,
    connector: Connector,
    connections: TargetConnections,
    pub(crate) address_policy: AddressPolicy,
    pub(crate) tls: TlsProfile,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is no connection.
    #[error("no connection: {0}")]
    Connect(#[source] BoxError),
    /// The request was not sent, or the answer did not arrive.
    #[error("no answer: {0}")]
    Exchange(#[from] hyper::Error),
}

/// A connection whose answer is being read.
pub(crate) struct UsedConnection {
    key: PoolKey,
    sender: Sender,
    connections: TargetConnections,
    /// Whether the answer says only once where it ends. Otherwise the next answer might be read from
    /// the wrong place.
    is_framing_clear: bool,
}

/// Builds clients.
pub(crate) struct ClientFactory {
    resolver: Resolver,
    connections: TargetConnections,
    connect_timeout: Duration,
    next_id: AtomicU64,
    /// Of the registered callees.
    pub(crate) expiries: CertificateExpiries,
}

impl ClientFactory {
    pub(crate) fn new(
        config: &DispatcherConfig,
        resolver: Resolver,
        connections: TargetConnections,
    ) -> Self {
        Self {
            resolver,
            connections,
            connect_timeout: config.connect_timeout,
            next_id: AtomicU64::new(0),
            expiries: CertificateExpiries::default(),
        }
    }

    /// A new client without connections. It follows no redirect and uses no proxy.
    ///
    /// # Errors
    /// When the TLS profile cannot be used.
    pub(crate) fn build(
        &self,
        address_policy: AddressPolicy,
        tls: TlsProfile,
    ) -> Result<Arc<HttpClient>, rustls::Error> {
        let resolver = self.resolver.guarded(address_policy.clone());
        let config = tls.client_config(&self.expiries)?;
        Ok(Arc::new(HttpClient {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            connector: Connector::new(resolver, config, self.connect_timeout),
            connections: self.connections.clone(),
            address_policy,
            tls,
        }))
    }
}

impl HttpClient {
    /// Sends a request to an absolute URL, on an idle connection if there is one. A request that could
    /// not be written to an idle connection, because it was just being closed, takes another one.
    ///
    /// `on_connection` is told how to end the connection that is used.
    ///
    /// # Errors
    /// [`RequestError`].
    pub(crate) async fn request(
        &self,
        mut request: Request<Full<Bytes>>,
        on_connection: impl Fn(CutOff),
    ) -> Result<(Response<Incoming>, UsedConnection), RequestError> {
        let target = request.uri().clone();
        let parts = target.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(RequestError::Connect("the URL is not absolute".into()));
        };
        if let Ok(host) = HeaderValue::try_from(authority.as_str()) {
            request.headers_mut().entry(HOST).or_insert(host);
        }
        let path = parts.path_and_query;
        *request.uri_mut() = path
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
            .into();
        let key = PoolKey {
            client: self.id,
            scheme,
            authority,
        };
        loop {
            let (mut sender, is_reused) = match self.connections.take(&key) {
                Some(sender) => (sender, true),
                None => (self.connect(target.clone()).await?, false),
            };
            on_connection(sender.cut_off.clone());
            let mut error = match sender.requests.try_send_request(request).await {
                Ok(response) => {
                    let used = UsedConnection {
                        key,
                        sender,
                        connections: self.connections.clone(),
                        is_framing_clear: is_framing_clear(response.headers()),
                    };
                    return Ok((response, used));
                }
                Err(error) => error,
            };
            request = match error.take_message() {
                Some(unsent) if is_reused => unsent,
                Some(_) | None => return Err(error.into_error().into()),
            };
        }
    }

    async fn connect(&self, target: Uri) -> Result<Sender, RequestError> {
        let slot = self.connections.slot().await;
        let slot = slot.map_err(|error: NoConnectionLeft| RequestError::Connect(error.into()))?;
        let stream = self.connector.connect(target).await;
        let stream = stream.map_err(RequestError::Connect)?;
        let cut_off = stream.cut_off();
        let (requests, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_header_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADER_LINES)
            // As lenient as curl: folded lines, spaces before the colon, and lines that are no header,
            // which are ignored. Where a body ends stays strict.
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(stream)
            .await?;
        tokio::spawn(async move {
            // The caller of the request hears of an error.
            let _ = connection.await;
            drop(slot);
        });
        Ok(Sender { requests, cut_off })
    }
}

impl UsedConnection {
    /// Keeps it for the next request. Call it when the whole answer has been read.
    pub(crate) fn put_back(self) {
        let Self {
            key,
            mut sender,
            connections,
            is_framing_clear,
        } = self;
        if !is_framing_clear || sender.requests.is_closed() {
            return;
        }
        if sender.requests.is_ready() {
            return connections.put(key, sender);
        }
        tokio::spawn(async move {
            let ready = tokio::time::timeout(READY_TIMEOUT, sender.requests.ready()).await;
            if let Ok(Ok(())) = ready {
                connections.put(key, sender);
            }
        });
    }
}

/// hyper refuses different lengths, and prefers `Transfer-Encoding` to a length. Some other reader on
/// the way may prefer the length.
fn is_framing_clear(headers: &HeaderMap) -> bool {
    let lines = |name| headers.get_all(name).iter().count();
    lines(CONTENT_LENGTH) + lines(TRANSFER_ENCODING) <= 1
}
