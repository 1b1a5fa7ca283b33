//! Classifies errors of the HTTP client as outcomes, and puts their cause into words.
//!
//! The client's own predicates are coarse (refused, unknown name and TLS failure are all "connect"),
//! so the chain of sources decides. The words are those of the source that decides: of rustls, the
//! resolver or the socket. A source above it might quote the whole URL.

use crate::http::answer::{mask, truncated};
use crate::http::connections::NoConnectionLeft;
use crate::http::connector::ConnectTimeout;
use crate::http::dns::ResolveError;
use crate::http::pool::RequestError;
use delivery::{MalformedPart, Outcome};
use runtime::LogLimit;
use runtime::text::one_line;
use std::error::Error;
use std::fmt::Display;
use std::io;

/// At most one line a second: thousands of calls fail together.
static OUT_OF_RESOURCES: LogLimit = LogLimit::new();

/// Linux's ENFILE, EMFILE, ENOBUFS, ENOMEM and EADDRNOTAVAIL (`errno.h`): this machine is out of
/// descriptors, buffers or local ports. The target is not at fault.
const LOCAL_RESOURCE_ERRNOS: [i32; 5] = [23, 24, 105, 12, 99];

/// The maximum bytes of a cause.
const MAX_CAUSE: usize = 256;

/// The outcome, and its cause for operators.
pub(crate) fn classify(error: &RequestError) -> (Outcome, Option<String>) {
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    let timed_out = |cause: &(dyn Error + 'static)| {
        let error = cause.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    if let Some(cause) = causes().find(|cause| timed_out(*cause)) {
        let outcome = match error {
            RequestError::Connect(_) => Outcome::ConnectTimeout,
            RequestError::Exchange(_) => Outcome::Timeout,
        };
        return (outcome, cause_text(cause));
    }
    let decided = causes().find_map(|cause| Some((from_cause(cause)?, cause)));
    match (decided, causes().last()) {
        (Some((outcome, cause)), _) => (outcome, cause_text(innermost(cause))),
        (None, last) => (Outcome::ConnectionReset, last.and_then(cause_text)),
    }
}

/// An error that is wrapped in an `io::Error`, but is not its source.
fn innermost<'a>(cause: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let wrapped = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => innermost(wrapped),
        None => cause,
    }
}

/// One line without a URL, and without what looks like a secret. `None`: there is nothing to say.
pub(crate) fn cause_text(cause: impl Display) -> Option<String> {
    let text = cause.to_string();
    let words = text.split_whitespace().map(|word| match is_of_url(word) {
        true => "(URL)",
        false => word,
    });
    let text = mask(&words.collect::<Vec<_>>().join(" "));
    let text = truncated(&one_line(&text), MAX_CAUSE).to_owned();
    (!text.is_empty()).then_some(text)
}

/// Whether the word has a scheme, user information or a query.
fn is_of_url(word: &str) -> bool {
    let query = word.split_once('?').map(|(_, query)| query);
    word.contains("://") || word.contains('@') || query.is_some_and(|query| query.contains('='))
}

fn from_cause(cause: &(dyn Error + 'static)) -> Option<Outcome> {
    if let Some(error) = cause.downcast_ref::<ResolveError>() {
        return Some(error.into());
    }
    if cause.is::<ConnectTimeout>() {
        return Some(Outcome::ConnectTimeout);
    }
    if cause.is::<NoConnectionLeft>() {
        return Some(out_of_resources(cause));
    }
    if cause.is::<rustls::Error>() {
        return Some(Outcome::Tls);
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        if error.is_parse() {
            return Some(Outcome::MalformedAnswer(malformed_part(error)));
        }
        if error.is_incomplete_message() {
            return Some(Outcome::ConnectionReset);
        }
    }
    cause.downcast_ref::<io::Error>().and_then(from_io)
}

fn from_io(error: &io::Error) -> Option<Outcome> {
    // rustls's error is wrapped in an io::Error, or in two of them, and is not their source.
    if let Some(wrapped) = error.get_ref() {
        if wrapped.is::<rustls::Error>() {
            return Some(Outcome::Tls);
        }
        if let Some(inner) = wrapped.downcast_ref::<io::Error>() {
            return from_io(inner);
        }
    }
    if error
        .raw_os_error()
        .is_some_and(|code| LOCAL_RESOURCE_ERRNOS.contains(&code))
    {
        return Some(out_of_resources(error));
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Outcome::ConnectionRefused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Outcome::ConnectionReset),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => Some(Outcome::Unreachable),
        io::ErrorKind::TimedOut => Some(Outcome::ConnectTimeout),
        _ => None,
    }
}

/// The target is not at fault, and the callback is deferred.
fn out_of_resources(error: impl Display) -> Outcome {
    if let Some(suppressed) = OUT_OF_RESOURCES.permit() {
        tracing::error!(
            %error,
            suppressed,
            "call failed: this machine is out of descriptors, memory or local ports"
        );
    }
    Outcome::Failed
}

/// hyper names the part in its text alone.
fn malformed_part(error: &hyper::Error) -> MalformedPart {
    if error.is_parse_status() {
        return MalformedPart::Status;
    }
    let text = error.to_string();
    if text.contains("too large") {
        MalformedPart::HeadTooLarge
    } else if text.contains("version") {
        MalformedPart::Version
    } else if text.contains("content-length") || text.contains("transfer-encoding") {
        MalformedPart::Framing
    } else if text.contains("header") {
        MalformedPart::Header
    } else {
        MalformedPart::Other
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use rustls::pki_types::UnixTime;

    use super::*;

    fn of(error: io::Error) -> (Outcome, Option<String>) {
        classify(&RequestError::Connect(Box::new(error)))
    }

    #[test]
    fn a_cause_has_the_words_of_the_socket_or_of_rustls() {
        let refused = io::Error::from_raw_os_error(111);
        let words = "Connection refused (os error 111)".to_owned();
        assert_eq!(of(refused), (Outcome::ConnectionRefused, Some(words)));
        let expired = rustls::CertificateError::ExpiredContext {
            time: UnixTime::since_unix_epoch(Duration::from_secs(1_763_900_000)),
            not_after: UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000)),
        };
        let expired = rustls::Error::InvalidCertificate(expired);
        let expired = io::Error::new(io::ErrorKind::InvalidData, expired);
        // rustls's error is wrapped in two of them.
        let (outcome, cause) = of(io::Error::other(expired));
        assert_eq!(outcome, Outcome::Tls);
        let words = "invalid peer certificate: certificate expired";
        assert!(cause.as_ref().unwrap().starts_with(words), "{cause:?}");
    }

    #[test]
    fn a_cause_is_one_bounded_line_without_a_url() {
        let text = "no answer from\nhttps://h.example/?token=s3cr3t\u{1b}[2J in time";
        let cause = cause_text(text).unwrap();
        assert_eq!(cause, "no answer from (URL) in time");
        let long = cause_text("文".repeat(300)).unwrap();
        assert_eq!(long.len(), MAX_CAUSE / 3 * 3);
        assert_eq!(cause_text(" "), None);
        let rustls = "certificate expired: verification time 1763900000 (UNIX), but certificate is \
                      not valid after 1700000000 (63900000 seconds ago)";
        assert_eq!(cause_text(rustls).as_deref(), Some(rustls));
    }

    /// Any text of up to 10 kB, in which the secret stands as errors quote it.
    fn hostile_text() -> impl Strategy<Value = String> {
        let quoted = prop_oneof![
            Just("https://user:S3CR3T@h.example:8443/in"),
            Just("(http://h.example/in?a=1&x=S3CR3T)"),
            Just("url:\u{1b}[31mHTTPS://h.example/S3CR3T\u{202e}"),
            Just("user:S3CR3T@h.example"),
            Just("/in?x=S3CR3T"),
            Just("\"token\":\"S3CR3T\""),
            Just("authorization: Bearer S3CR3T-0"),
            Just("password=S3CR3T"),
        ];
        let noise = prop_oneof![
            ".{0,40}",
            "[\u{0}-\u{9f} ]{0,40}",
            " {0,9}",
            "文{3000}",
            "a{9000}"
        ];
        let part = (noise, quoted).prop_map(|(noise, quoted)| format!("{noise} {quoted} "));
        vec(part, 1..4).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_hostile_text_puts_a_url_a_secret_or_a_control_character_into_a_cause(
            text in hostile_text(),
        ) {
            let error = io::Error::other(text);
            let (_, cause) = of(error);
            let cause = cause.unwrap_or_default();
            prop_assert!(cause.len() <= MAX_CAUSE, "{cause}");
            prop_assert!(!cause.contains("S3CR3T") && !cause.contains("://"), "{cause}");
            prop_assert!(!cause.chars().any(runtime::text::is_unsafe), "{cause:?}");
        }
    }
}
