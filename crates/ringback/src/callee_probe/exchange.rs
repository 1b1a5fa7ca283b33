//! One practice message, and what the callee answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use contract::{rfc3339, unix_ms, unix_seconds};
use delivery::signature::Signer;
use delivery::{Outcome, retry_after};
use hyper_util::client::legacy::connect::HttpInfo;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::tls::TlsInfo;
use reqwest::{Body, Response};
use uuid::Uuid;

use super::target::ProbeTarget;
use crate::lang::Lang;

/// Names the check, so that nobody takes a practice message for a real one.
const PROBE_HEADER: &str = "x-ringback-probe";
/// The app of practice messages.
const APP_ID: &str = "ringback-probe";
/// How much older than allowed an old message is.
const HOUR: u64 = 60 * 60;
/// The pieces of a body that is sent slowly, and the time between two of them.
const SLOW_PIECES: usize = 10;
const SLOW_PAUSE: Duration = Duration::from_millis(200);
/// What the envelope of a callers' request leaves of the limit.
const ENVELOPE_BYTES: usize = 1_024;
/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// What the dispatcher encodes in headers: everything outside 0x21..0x7E, and `%`.
const NOT_VISIBLE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// The same in those of CloudEvents.
const NOT_IN_EVENT: &AsciiSet = &NOT_VISIBLE.add(b'"');

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    Properly,
    /// By somebody else.
    Forged,
    /// Properly, an hour ago.
    HourAgo,
}

/// A practice message.
#[derive(Clone, Debug)]
pub(super) struct Practice {
    check: &'static str,
    id: Uuid,
    attempt: u32,
    signed: Signed,
    is_slow: bool,
    /// How many bytes its body has at least.
    size: usize,
    unknown_type: bool,
}

/// A practice message and what became of it.
pub(super) struct Exchange {
    id: Uuid,
    /// How long it took.
    pub(super) took: Duration,
    pub(super) answer: Result<CalleeAnswer, NoAnswer>,
}

/// What the callee answered.
pub(super) struct CalleeAnswer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// Whether it closes the connection.
    pub(super) closes: bool,
    /// Whether its body was too long to be read to its end.
    pub(super) is_cut: bool,
    /// This end of the connection.
    pub(super) local: Option<SocketAddr>,
    /// The callee's certificate, DER.
    pub(super) certificate: Option<Vec<u8>>,
}

/// Why there is no answer.
pub(super) struct NoAnswer {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
}

impl Practice {
    pub(super) fn plain(check: &'static str) -> Self {
        Self {
            check,
            id: Uuid::now_v7(),
            attempt: 1,
            signed: Signed::Properly,
            is_slow: false,
            size: 0,
            unknown_type: false,
        }
    }

    /// The same message once more, as after a lost answer.
    pub(super) fn again(check: &'static str, first: &Exchange) -> Self {
        Self {
            id: first.id,
            attempt: 2,
            ..Self::plain(check)
        }
    }

    pub(super) fn signed(check: &'static str, signed: Signed) -> Self {
        Self {
            signed,
            ..Self::plain(check)
        }
    }

    pub(super) fn of_unknown_type(check: &'static str) -> Self {
        Self {
            unknown_type: true,
            ..Self::plain(check)
        }
    }

    /// As large as a callback can be.
    pub(super) fn large(check: &'static str, body_limit: usize) -> Self {
        Self {
            size: body_limit.saturating_sub(ENVELOPE_BYTES),
            ..Self::plain(check)
        }
    }

    pub(super) fn slow(check: &'static str) -> Self {
        Self {
            is_slow: true,
            ..Self::plain(check)
        }
    }

    fn body(&self, target: &ProbeTarget) -> Vec<u8> {
        if let Some(message) = &target.message
            && self.size == 0
        {
            return message.clone();
        }
        let mut body = serde_json::json!({
            "ringback_probe": self.check,
            "note": "A practice message of `ringback probe`: do nothing. 这是 ringback probe 的练习消息，请忽略。",
        });
        let size = body.to_string().len();
        if self.size > size {
            body["padding"] = "x".repeat(self.size - size).into();
        }
        body.to_string().into_bytes()
    }
}

impl Exchange {
    /// The status, if there is an answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.answer.as_ref().ok().map(|answered| answered.status)
    }

    /// How an attempt that ended so would have ended. Success rules are not looked at.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.answer {
            Ok(answered) => Outcome::Answered {
                status: answered.status,
                retry_after: answered.retry_after,
            },
            Err(none) => none.outcome.clone(),
        }
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.status(), Some(200..=299))
    }
}

impl ProbeTarget {
    /// What is going to be sent, at most so many messages, for people.
    pub(crate) fn messages(&self, most: usize, lang: Lang) -> String {
        let (url, message_type) = (self.shown(), &self.message_type);
        let body = match self.message {
            Some(_) => lang.say("the body of --message", "--message 的内容"),
            None => lang.say(
                "a practice body that says so (--message sends yours)",
                "注明为练习的内容（--message 可指定内容）",
            ),
        };
        match lang {
            Lang::En => format!(
                "sends to {url} at most {most} POST requests of the type {message_type}, of the app \
                 {APP_ID}, each with the header {PROBE_HEADER} and {body}"
            ),
            Lang::Zh => format!(
                "将向 {url} 发送最多 {most} 个 POST 请求：类型 {message_type}，应用 {APP_ID}，\
                 均带请求头 {PROBE_HEADER}，正文为{body}"
            ),
        }
    }

    /// Sends a practice message.
    pub(super) async fn send(&self, practice: &Practice) -> Exchange {
        let body = practice.body(self);
        let mut timestamp = unix_seconds(SystemTime::now());
        if practice.signed == Signed::HourAgo {
            timestamp = timestamp.saturating_sub(HOUR);
        }
        let id = practice.id.hyphenated().to_string();
        let message_type = match practice.unknown_type {
            true => "ringback.probe.unknown-type",
            false => &self.message_type,
        };
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, body.len())
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header("x-callback-app-id", APP_ID)
            .header(
                "x-callback-message-type",
                encoded(message_type, NOT_VISIBLE),
            )
            .header("x-callback-attempt", practice.attempt)
            .header(PROBE_HEADER, practice.check);
        if let Some(no) = &self.callee_no {
            request = request.header("x-callback-callee-no", encoded(no, NOT_VISIBLE));
        }
        if self.cloud_events {
            let accepted_at = unix_ms(SystemTime::now());
            request = request.headers(cloud_event(&id, message_type, accepted_at));
        }
        if let Some(signer) = &self.signer {
            let signature = signature(signer, practice.signed, (&id, timestamp, &body));
            request = request.header("webhook-signature", signature);
        }
        let begun = Instant::now();
        let sent = request.body(pieces(body, practice.is_slow)).send().await;
        let answer = match sent {
            Ok(response) => read(response).await,
            Err(error) => Err(no_answer(&error)),
        };
        Exchange {
            id: practice.id,
            took: begun.elapsed(),
            answer,
        }
    }
}

/// The signature of a message: id, time and body.
fn signature(signer: &Signer, signed: Signed, (id, timestamp, body): (&str, u64, &[u8])) -> String {
    match signed {
        Signed::Properly | Signed::HourAgo => signer.sign(id, timestamp, body),
        // Well formed, and wrong for any body.
        Signed::Forged => signer.sign(id, timestamp, &[body, b"x"].concat()),
    }
}

/// Visible ASCII, which is always a header value.
fn encoded(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}

/// The headers of CloudEvents, as the dispatcher sends them.
fn cloud_event(id: &str, message_type: &str, accepted_at: u64) -> HeaderMap {
    let message_type = match message_type.trim() {
        "" => "unspecified",
        _ => message_type,
    };
    let pairs = [
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", id.to_owned()),
        ("ce-source", format!("/apps/{APP_ID}")),
        ("ce-type", encoded(message_type, NOT_IN_EVENT)),
        ("ce-time", rfc3339(accepted_at)),
    ];
    let header = |(name, value)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    pairs.into_iter().filter_map(header).collect()
}

/// The body: at once, or in pieces.
fn pieces(body: Vec<u8>, is_slow: bool) -> Body {
    if !is_slow {
        return body.into();
    }
    let length = body.len().div_ceil(SLOW_PIECES).max(1);
    let pieces: Vec<Bytes> = body.chunks(length).map(Bytes::copy_from_slice).collect();
    let pieces = futures_util::stream::iter(pieces);
    let slowly = futures_util::StreamExt::then(pieces, |piece| async {
        tokio::time::sleep(SLOW_PAUSE).await;
        Ok::<_, Infallible>(piece)
    });
    Body::wrap_stream(slowly)
}

async fn read(mut response: Response) -> Result<CalleeAnswer, NoAnswer> {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let closes = text(CONNECTION).is_some_and(|value| value.to_ascii_lowercase().contains("close"));
    let wait = text(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
    let extensions = response.extensions();
    let local = extensions.get::<HttpInfo>().map(HttpInfo::local_addr);
    let tls = extensions.get::<TlsInfo>();
    let certificate = tls.and_then(TlsInfo::peer_certificate).map(<[u8]>::to_vec);
    let status = response.status().as_u16();
    // Read to its end, so that the connection is free for the next message.
    let (mut length, mut is_cut) = (0, false);
    while !is_cut {
        match response.chunk().await {
            Ok(Some(chunk)) => length += chunk.len(),
            Ok(None) => break,
            Err(error) => return Err(no_answer(&error)),
        }
        is_cut = length > MAX_ANSWER_BYTES;
    }
    Ok(CalleeAnswer {
        status,
        retry_after: wait,
        closes,
        is_cut,
        local,
        certificate,
    })
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    let reason = admin::cli::http::error_reason(error);
    let is_tls = ["certificate", "TLS", "handshake", "tls"]
        .iter()
        .any(|word| reason.contains(word));
    let outcome = match (error.is_timeout(), error.is_connect(), is_tls) {
        (true, true, _) => Outcome::ConnectTimeout,
        (true, false, _) => Outcome::Timeout,
        (false, _, true) => Outcome::Tls,
        (false, true, false) => Outcome::ConnectionRefused,
        (false, false, false) => Outcome::ConnectionReset,
    };
    NoAnswer { outcome, reason }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_forged_signature_is_wrong_for_any_body() {
        let signer = Signer::parse(["whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"]).unwrap();
        for body in ["", "{}", "{}x", r#"{"a":1}"#] {
            let message = ("id", 7, body.as_bytes());
            let right = signer.sign("id", 7, body.as_bytes());
            assert_eq!(signature(&signer, Signed::Properly, message), right);
            let forged = signature(&signer, Signed::Forged, message);
            assert_ne!(forged, right, "{body}");
        }
    }

    #[test]
    fn a_type_of_any_characters_is_encoded_as_the_dispatcher_does() {
        assert_eq!(encoded("订 1%\n\"", NOT_VISIBLE), "%E8%AE%A2%201%25%0A\"");
        let event = cloud_event("id", "订 \"\r\n", 1_763_900_000_000);
        assert_eq!(event["ce-type"], "%E8%AE%A2%20%22%0D%0A");
        assert_eq!(event["ce-source"], "/apps/ringback-probe");
        assert_eq!(event["ce-time"], "2025-11-23T12:13:20.000Z");
        assert_eq!(event.len(), 5);
        assert_eq!(cloud_event("id", " ", 0)["ce-type"], "unspecified");
    }

    /// What is known of an answer with so many bytes, or of one that never ends.
    async fn answer_of(bytes: Option<usize>) -> CalleeAnswer {
        runtime::telemetry::install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let callee = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let length = bytes.map_or(String::new(), |bytes| {
                format!("content-length: {bytes}\r\n")
            });
            let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            match bytes {
                Some(bytes) => stream.write_all(&vec![b'x'; bytes]).await.unwrap(),
                None => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
            }
        };
        let client = admin::cli::http::client(Duration::from_secs(30));
        let client = client.tls_certs_only([]).build().unwrap();
        let asking = async {
            let response = client.get(url).send().await.unwrap();
            let Ok(answer) = read(response).await else {
                panic!("no answer");
            };
            answer
        };
        tokio::join!(callee, asking).1
    }

    #[tokio::test]
    async fn an_answer_is_read_to_a_limit() {
        assert!(!answer_of(Some(MAX_ANSWER_BYTES)).await.is_cut);
        let endless = answer_of(None).await;
        assert!(endless.is_cut);
        assert_eq!(endless.status, 200);
    }
}
