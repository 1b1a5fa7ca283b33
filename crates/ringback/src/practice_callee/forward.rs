//! Forwards what arrives to a developer's process, and shows it: the server of `ringback listen`.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse};
use delivery::signature::Signer;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use runtime::clock::now_ms;
use runtime::http::{self, HttpLimits, hold_body};
use runtime::text::one_line;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{MAX_BODY_BYTES, options, run_until};

/// How many messages can be replayed: the last ones.
const MAX_KEPT: usize = 200;
/// How many bytes of bodies they may have.
const MAX_KEPT_BYTES: usize = 32 * 1024 * 1024;
/// How long the process may take to answer: as long as an attempt may last.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is handed on.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How much of an answer that is no 2xx is shown.
const SHOWN_CHARS: usize = 200;
/// How far the time of a signature may be from now, as Standard Webhooks recommends.
const TOLERANCE_SECONDS: u64 = 5 * 60;
/// Headers of one connection, and those that the client sets itself.
const NOT_FORWARDED: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of an answer that are handed on: what the body is, and when to come again.
const HANDED_ON: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, RETRY_AFTER];

/// Forwards messages and keeps the last ones for a replay.
#[derive(Debug)]
pub struct Forwarder {
    client: Client,
    to: Url,
    signer: Option<Signer>,
    /// Whether what is not signed properly is refused.
    verifies: bool,
    kept: Mutex<Kept>,
    show: fn(&Shown),
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<Arc<KeptMessage>>,
    bytes: usize,
    count: u64,
}

#[derive(Debug)]
struct KeptMessage {
    number: u64,
    method: Method,
    /// Path and query, as sent.
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A message and the answer to it, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    number: u64,
    id: String,
    message_type: String,
    signature: SignatureState,
    is_replay: bool,
    /// The status, or why there is none.
    answer: Result<u16, String>,
    /// The beginning of an answer that is no 2xx.
    said: String,
    millis: u128,
}

/// What is known of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// There is none.
    Absent,
    /// No secret was given.
    Unchecked,
    /// It is right.
    Good,
    /// It is wrong.
    Wrong,
    /// It is right, and more than five minutes old or early.
    Old,
}

impl fmt::Display for SignatureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "not signed",
            Self::Unchecked => "signature not checked",
            Self::Good => "signature ok",
            Self::Wrong => "signature WRONG",
            Self::Old => "signature ok, but OLD",
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            id,
            message_type,
            signature,
            millis,
            ..
        } = self;
        let replayed = if self.is_replay { " replayed" } else { "" };
        write!(
            f,
            "#{number}{replayed} {id} {message_type}: {signature} -> "
        )?;
        match &self.answer {
            Ok(status) => write!(f, "{status} in {millis} ms")?,
            Err(reason) => write!(f, "{reason}")?,
        }
        match self.said.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.said),
        }
    }
}

impl Forwarder {
    /// Forwards to this URL: to its path, or if it has none to that of each message. `show` is called
    /// with each of them.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(
        to: Url,
        signer: Option<Signer>,
        verifies: bool,
        show: fn(&Shown),
    ) -> io::Result<Self> {
        let client = Client::builder()
            .timeout(FORWARD_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy();
        let client = match to.scheme() {
            "https" => client,
            _ => client.tls_certs_only([]),
        };
        Ok(Self {
            client: client.build().map_err(io::Error::other)?,
            to,
            signer,
            verifies,
            kept: Mutex::default(),
            show,
        })
    }

    /// The number of the last message; 0: there was none.
    pub fn last(&self) -> u64 {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count
    }

    /// Forwards a message once more, signed anew if there is a secret. Returns whether it is kept.
    pub async fn replay(&self, number: u64) -> bool {
        let found = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.messages
                .iter()
                .find(|kept| kept.number == number)
                .cloned()
        };
        let Some(message) = found else {
            return false;
        };
        let mut headers = message.headers.clone();
        let id = text(&headers, "webhook-id").to_owned();
        if let Some(signer) = &self.signer {
            let now = now_ms() / 1_000;
            headers.insert("webhook-timestamp", HeaderValue::from(now));
            if let Ok(signature) = HeaderValue::try_from(signer.sign(&id, now, &message.body)) {
                headers.insert("webhook-signature", signature);
            }
        }
        let again = KeptMessage {
            number,
            method: message.method.clone(),
            path: message.path.clone(),
            headers,
            body: message.body.clone(),
        };
        let signature = self.check(&again);
        self.forward(&again, signature, true).await;
        true
    }

    async fn receive(&self, request: &HttpRequest, body: Bytes) -> HttpResponse {
        let message = self.keep(request, body);
        let signature = self.check(&message);
        if self.verifies && signature != SignatureState::Good {
            let said = String::new();
            self.show(&message, signature, false, (Ok(401), said, 0));
            return HttpResponse::Unauthorized().finish();
        }
        self.forward(&message, signature, false).await
    }

    fn keep(&self, request: &HttpRequest, body: Bytes) -> Arc<KeptMessage> {
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers() {
            let name = HeaderName::from_bytes(name.as_str().as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value)
                && !NOT_FORWARDED.contains(&name.as_str())
            {
                headers.append(name, value);
            }
        }
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str()).to_owned();
        let method = Method::from_bytes(request.method().as_str().as_bytes());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.count += 1;
        let message = Arc::new(KeptMessage {
            number: kept.count,
            method: method.unwrap_or(Method::POST),
            path,
            headers,
            body,
        });
        kept.bytes += message.body.len();
        kept.messages.push_back(Arc::clone(&message));
        while kept.messages.len() > MAX_KEPT || kept.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = kept.messages.pop_front() else {
                break;
            };
            kept.bytes -= oldest.body.len();
        }
        message
    }

    fn check(&self, message: &KeptMessage) -> SignatureState {
        let value = |name| text(&message.headers, name);
        let given = value("webhook-signature");
        let Some(signer) = &self.signer else {
            return match given {
                "" => SignatureState::Absent,
                _ => SignatureState::Unchecked,
            };
        };
        if given.is_empty() {
            return SignatureState::Absent;
        }
        let Ok(timestamp) = value("webhook-timestamp").parse::<u64>() else {
            return SignatureState::Wrong;
        };
        let expected = signer.sign(value("webhook-id"), timestamp, &message.body);
        let is_good = expected
            .split(' ')
            .any(|one| given.split(' ').any(|other| one == other));
        let is_old = timestamp.abs_diff(now_ms() / 1_000) > TOLERANCE_SECONDS;
        match (is_good, is_old) {
            (false, _) => SignatureState::Wrong,
            (true, true) => SignatureState::Old,
            (true, false) => SignatureState::Good,
        }
    }

    /// Forwards the message, shows the answer, and hands it on.
    async fn forward(
        &self,
        message: &KeptMessage,
        signature: SignatureState,
        is_replay: bool,
    ) -> HttpResponse {
        let begun = Instant::now();
        let request = self
            .client
            .request(message.method.clone(), self.url_of(message))
            .headers(message.headers.clone())
            .body(message.body.clone());
        let answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Err(admin::cli::http::error_reason(&error)),
        };
        let millis = begun.elapsed().as_millis();
        match answer {
            Ok((status, headers, body)) => {
                let said = match status {
                    200..=299 => String::new(),
                    _ => beginning(&body),
                };
                self.show(message, signature, is_replay, (Ok(status), said, millis));
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                let mut response = HttpResponse::build(status);
                for name in HANDED_ON {
                    if let Some(value) = headers.get(&name) {
                        response.insert_header((name.as_str(), value.as_bytes()));
                    }
                }
                response.body(body)
            }
            Err(reason) => {
                let said = String::new();
                self.show(message, signature, is_replay, (Err(reason), said, millis));
                HttpResponse::BadGateway().finish()
            }
        }
    }

    /// The path and query alone are the message's. It is not joined to the URL: `//host/` is a reference
    /// to another host.
    fn url_of(&self, message: &KeptMessage) -> Url {
        let mut url = self.to.clone();
        if matches!(url.path(), "" | "/") {
            let (path, query) = match message.path.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (&*message.path, None),
            };
            url.set_path(path);
            url.set_query(query);
        }
        url
    }

    fn show(
        &self,
        message: &KeptMessage,
        signature: SignatureState,
        is_replay: bool,
        (answer, said, millis): (Result<u16, String>, String, u128),
    ) {
        let shown = |name, absent: &str| match text(&message.headers, name) {
            "" => absent.to_owned(),
            value => one_line(value).into_owned(),
        };
        (self.show)(&Shown {
            number: message.number,
            id: shown("webhook-id", "no webhook-id"),
            message_type: shown("x-callback-message-type", "no type"),
            signature,
            is_replay,
            answer,
            said,
            millis,
        });
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Status, headers and body of an answer; or why there is none that is handed on.
async fn read(mut response: Response) -> Result<(u16, HeaderMap, Vec<u8>), String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER_BYTES => {
                return Err(format!(
                    "its answer is larger than {MAX_ANSWER_BYTES} bytes"
                ));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(admin::cli::http::error_reason(&error)),
        }
    }
    let status = response.status().as_u16();
    Ok((status, std::mem::take(response.headers_mut()), body))
}

/// The beginning of a body as one line.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN_CHARS)]);
    let text: String = text.chars().take(SHOWN_CHARS).collect();
    one_line(text.trim()).into_owned()
}

/// Starts to forward. Returns the bound address and a future that serves until `stop`.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve_forwarding(
    forwarder: Arc<Forwarder>,
    listen: SocketAddr,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + use<>,
)> {
    let forwarder = Data::from(forwarder);
    let receive = |forwarder: Data<Forwarder>, request: HttpRequest, body: Bytes| async move {
        forwarder.receive(&request, body).await
    };
    let app = move || {
        App::new()
            .wrap(from_fn(hold_body))
            .app_data(forwarder.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .default_service(web::to(receive))
    };
    let (listener, address) = http::listen(listen)?;
    let never = CancellationToken::new();
    let server = http::serve(listener, options(), &HttpLimits::uncounted(), never, app)?;
    Ok((address, run_until(server, stop)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(
        forwarder: &Forwarder,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> Arc<KeptMessage> {
        let mut request = actix_web::test::TestRequest::post().uri("/orders?a=1");
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        forwarder.keep(
            &request.to_http_request(),
            Bytes::from_static(body.as_bytes()),
        )
    }

    fn forwarder(to: &str, secret: Option<&str>) -> Forwarder {
        runtime::telemetry::install_crypto();
        let signer = secret.map(|secret| Signer::parse([secret]).unwrap());
        Forwarder::new(to.parse().unwrap(), signer, false, |_| ()).unwrap()
    }

    fn unchecking() -> Forwarder {
        forwarder("http://localhost:1", None)
    }

    const SECRET: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    #[test]
    fn a_signature_is_told_from_a_wrong_an_old_and_none() {
        let forwarder = forwarder("http://localhost:1", Some(SECRET));
        let signer = Signer::parse([SECRET]).unwrap();
        let now = now_ms() / 1_000;
        let check = |timestamp: u64, signed: &[u8]| {
            let signature = signer.sign("id", timestamp, signed);
            let timestamp = timestamp.to_string();
            let headers = [
                ("webhook-id", "id"),
                ("webhook-timestamp", &timestamp),
                ("webhook-signature", &signature),
            ];
            forwarder.check(&message(&forwarder, &headers, "{}"))
        };
        assert_eq!(check(now, b"{}"), SignatureState::Good);
        assert_eq!(check(now, b"{ }"), SignatureState::Wrong);
        assert_eq!(check(now - 3_600, b"{}"), SignatureState::Old);
        let unsigned = message(&forwarder, &[("webhook-id", "id")], "{}");
        assert_eq!(forwarder.check(&unsigned), SignatureState::Absent);
        let unchecked = unchecking();
        let signed = message(&unchecked, &[("webhook-signature", "v1,x")], "{}");
        assert_eq!(unchecked.check(&signed), SignatureState::Unchecked);
    }

    #[test]
    fn a_url_without_a_path_keeps_that_of_the_message() {
        for (to, url) in [
            ("http://localhost:1", "http://localhost:1/orders?a=1"),
            ("http://localhost:1/", "http://localhost:1/orders?a=1"),
            ("http://localhost:1/in", "http://localhost:1/in"),
        ] {
            let forwarder = forwarder(to, None);
            let message = message(&forwarder, &[], "{}");
            assert_eq!(forwarder.url_of(&message).as_str(), url);
        }
    }

    #[test]
    fn a_path_that_looks_like_a_host_names_no_other_host() {
        for to in ["http://localhost:1", "http://localhost:1/"] {
            let forwarder = forwarder(to, None);
            for (path, url) in [
                (
                    "//169.254.169.254/x",
                    "http://localhost:1//169.254.169.254/x",
                ),
                (r"/\evil/x", "http://localhost:1//evil/x"),
                (r"\\evil/x", "http://localhost:1//evil/x"),
                (
                    "http://evil/x?a=//b",
                    "http://localhost:1/http://evil/x?a=//b",
                ),
                ("*", "http://localhost:1/*"),
            ] {
                let message = KeptMessage {
                    number: 1,
                    method: Method::POST,
                    path: path.to_owned(),
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                };
                assert_eq!(forwarder.url_of(&message).as_str(), url, "{path}");
            }
        }
    }

    /// The answer of a forwarder to a message, whose process answers with these headers and so many bytes.
    async fn answer_of(headers: &str, bytes: usize) -> HttpResponse {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = format!("http://{}", listener.local_addr().unwrap());
        let head = format!("HTTP/1.1 503 No\r\n{headers}content-length: {bytes}\r\n\r\n");
        let process = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            // The other side may hang up before it has all.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&vec![b'x'; bytes]).await;
        };
        let forwarder = forwarder(&to, None);
        let message = message(&forwarder, &[], "{}");
        let forwarding = forwarder.forward(&message, SignatureState::Absent, false);
        let ((), answer) = tokio::join!(process, forwarding);
        answer
    }

    #[tokio::test]
    async fn the_answer_is_handed_on_with_what_its_body_is_and_when_to_come_again() {
        let headers = "content-type: text/x\r\ncontent-encoding: gzip\r\nretry-after: 7\r\n\
                       keep-alive: timeout=1\r\n";
        let answer = answer_of(headers, 3).await;
        assert_eq!(answer.status().as_u16(), 503);
        let header = |name| answer.headers().get(name).and_then(|it| it.to_str().ok());
        assert_eq!(header("content-type"), Some("text/x"));
        assert_eq!(header("content-encoding"), Some("gzip"));
        assert_eq!(header("retry-after"), Some("7"));
        assert_eq!(header("keep-alive"), None);
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_a_502() {
        assert_eq!(answer_of("", MAX_ANSWER_BYTES).await.status(), 503);
        assert_eq!(answer_of("", MAX_ANSWER_BYTES + 1).await.status(), 502);
    }

    #[test]
    fn the_messages_that_are_kept_are_bounded() {
        let forwarder = forwarder("http://localhost:1", None);
        for _ in 0..MAX_KEPT + 5 {
            message(&forwarder, &[("connection", "close"), ("x-a", "b")], "{}");
        }
        let kept = forwarder.kept.lock().unwrap();
        assert_eq!(kept.messages.len(), MAX_KEPT);
        assert_eq!(kept.bytes, 2 * MAX_KEPT);
        assert_eq!(kept.messages[0].number, 6);
        assert!(!kept.messages[0].headers.contains_key("connection"));
        assert!(kept.messages[0].headers.contains_key("x-a"));
    }
}
