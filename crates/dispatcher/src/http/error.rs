//! Classifies errors of the HTTP client as outcomes.
//!
//! The client's own predicates are coarse (refused, unknown name and TLS failure are all "connect"),
//! so the chain of sources decides. No error text is ever shown.

use crate::http::connections::NoConnectionLeft;
use crate::http::connector::ConnectTimeout;
use crate::http::dns::ResolveError;
use crate::http::pool::RequestError;
use delivery::{MalformedPart, Outcome};
use runtime::LogLimit;
use std::error::Error;
use std::fmt::Display;
use std::io;

/// At most one line a second: thousands of calls fail together.
static OUT_OF_RESOURCES: LogLimit = LogLimit::new();

/// Linux's ENFILE, EMFILE, ENOBUFS, ENOMEM and EADDRNOTAVAIL (`errno.h`): this machine is out of
/// descriptors, buffers or local ports. The target is not at fault.
const LOCAL_RESOURCE_ERRNOS: [i32; 5] = [23, 24, 105, 12, 99];

pub(crate) fn classify(error: &RequestError) -> Outcome {
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    let timed_out = |cause: &(dyn Error + 'static)| {
        let error = cause.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    if causes().any(timed_out) {
        return match error {
            RequestError::Connect(_) => Outcome::ConnectTimeout,
            RequestError::Exchange(_) => Outcome::Timeout,
        };
    }
    let outcome = causes().find_map(from_cause);
    outcome.unwrap_or(Outcome::ConnectionReset)
}

fn from_cause(cause: &(dyn Error + 'static)) -> Option<Outcome> {
    if let Some(error) = cause.downcast_ref::<ResolveError>() {
        return Some((*error).into());
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
