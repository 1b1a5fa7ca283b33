//! Which outcome is an error of the HTTP client?
//!
//! reqwest's own predicates are coarse (refused, unknown name and TLS failure are all "connect"), so
//! the chain of sources decides. No text of an error is ever shown: it holds the whole URL.

use crate::resolve::Undialled;
use delivery::Outcome;
use std::error::Error;
use std::io;

/// Linux's ENFILE, EMFILE, ENOBUFS, ENOMEM and EADDRNOTAVAIL (`errno.h`): too few descriptors,
/// buffers or local ports. No fault of the target's.
const OURS: [i32; 5] = [23, 24, 105, 12, 99];

pub(crate) fn classify(error: &reqwest::Error) -> Outcome {
    if error.is_timeout() {
        return if error.is_connect() {
            Outcome::ConnectTimeout
        } else {
            Outcome::Timeout
        };
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(outcome) = from_cause(cause) {
            return outcome;
        }
        source = cause.source();
    }
    if error.is_builder() {
        // We built it: not the target's fault, and loud.
        tracing::error!("a request could not be built");
        return Outcome::Failed;
    }
    Outcome::ConnectionReset
}

fn from_cause(cause: &(dyn Error + 'static)) -> Option<Outcome> {
    if let Some(undialled) = cause.downcast_ref::<Undialled>() {
        return Some((*undialled).into());
    }
    if cause.is::<rustls::Error>() {
        return Some(Outcome::Tls);
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        if error.is_parse() {
            return Some(Outcome::MalformedAnswer);
        }
        if error.is_incomplete_message() {
            return Some(Outcome::ConnectionReset);
        }
    }
    cause.downcast_ref::<io::Error>().and_then(from_io)
}

fn from_io(error: &io::Error) -> Option<Outcome> {
    // rustls hides inside an io::Error, or inside one within another: none of them names what it
    // holds as its source.
    if let Some(held) = error.get_ref() {
        if held.is::<rustls::Error>() {
            return Some(Outcome::Tls);
        }
        if let Some(inner) = held.downcast_ref::<io::Error>() {
            return from_io(inner);
        }
    }
    if error
        .raw_os_error()
        .is_some_and(|code| OURS.contains(&code))
    {
        tracing::error!(%error, "no call can be made: this machine is short of something");
        return Some(Outcome::Failed);
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
