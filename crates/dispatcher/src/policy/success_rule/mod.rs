//! Decides whether a 2xx answer is a success, by its body.
//!
//! The body is read leniently: a target that accepted a callback and says so in a foreign charset, or
//! in JSON that is not quite valid, must not get it again.
//!
//! - `charset.rs`: the body as text
//! - `scanner.rs`: the value in the text

pub(crate) mod charset;
mod scanner;

use charset::readings;
use delivery::UnreadableAnswer;
use scanner::{Found, Missing, Pointer};

/// A callee's rule: where the result code is in its answers, and which codes mean success.
pub(crate) struct SuccessRule {
    pointer: Pointer,
    values: Vec<String>,
}

/// The body of an answer, as far as it was read.
#[derive(Clone, Copy)]
pub(crate) struct AnswerBody<'a> {
    pub(crate) bytes: &'a [u8],
    /// The header `Content-Type`.
    pub(crate) content_type: Option<&'a str>,
    /// Whether it is compressed.
    pub(crate) is_compressed: bool,
    /// Whether more was sent than is read.
    pub(crate) is_too_long: bool,
}

/// What a rule says about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Success,
    /// The value is not one of those that mean success.
    Failure,
    /// No value was found.
    Unreadable(UnreadableAnswer),
}

impl SuccessRule {
    /// `pointer`: RFC 6901.
    pub(crate) fn new(pointer: &str, values: Vec<String>) -> Self {
        let pointer = Pointer::new(pointer);
        Self { pointer, values }
    }

    /// Judges a body: `0` and `"0"` are the same. Where the charset is in doubt, the reading counts
    /// in which the value means success.
    pub(crate) fn judge(&self, body: &AnswerBody<'_>) -> Judgement {
        let (mut is_found, mut reason) = (false, None);
        for text in readings(body.bytes, body.content_type) {
            match self.pointer.find(&text) {
                Ok(Found::Scalar(value)) if self.values.contains(&value) => {
                    return Judgement::Success;
                }
                Ok(Found::Scalar(_)) => is_found = true,
                Ok(Found::Container) => _ = reason.get_or_insert(UnreadableAnswer::NotScalar),
                Err(missing) => _ = reason.get_or_insert(unreadable(missing, body)),
            }
        }
        match reason {
            Some(reason) if !is_found => Judgement::Unreadable(reason),
            Some(_) | None => Judgement::Failure,
        }
    }
}

fn unreadable(missing: Missing, body: &AnswerBody<'_>) -> UnreadableAnswer {
    match missing {
        _ if body.is_compressed => UnreadableAnswer::Compressed,
        Missing::Empty => UnreadableAnswer::Empty,
        Missing::NotJson => UnreadableAnswer::NotJson,
        Missing::Broken if body.is_too_long => UnreadableAnswer::TooLong,
        Missing::Broken => UnreadableAnswer::Broken,
        Missing::NoValue => UnreadableAnswer::NoValue,
    }
}

#[cfg(test)]
mod tests;
