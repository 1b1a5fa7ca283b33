//! Why an attempt ended as it did, where the outcome alone does not say it: sentences for people,
//! without a word of the target's.

use std::fmt;

/// Which addresses of a name could not be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedLookup {
    /// The IPv4 addresses (A).
    Ipv4,
    /// The IPv6 addresses (AAAA).
    Ipv6,
    /// Neither.
    Both,
}

impl fmt::Display for FailedLookup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ipv4 => "the question for the IPv4 addresses failed",
            Self::Ipv6 => "the question for the IPv6 addresses failed",
            Self::Both => "the questions for the IPv4 and the IPv6 addresses failed",
        })
    }
}

/// What is wrong with an answer that is not HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MalformedPart {
    /// The status line has no HTTP/1 version.
    Version,
    /// The status is not a number of three digits.
    Status,
    /// A header line, even for a lenient reader.
    Header,
    /// The head has too many lines, or too many bytes.
    HeadTooLarge,
    /// `Content-Length` or `Transfer-Encoding` is invalid or given twice with different values: where
    /// the answer ends would be a guess.
    Framing,
    /// Something else.
    Other,
}

impl fmt::Display for MalformedPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Version => "the answer does not begin with an HTTP/1 version",
            Self::Status => "the answer has no valid status",
            Self::Header => "the answer has an invalid header line",
            Self::HeadTooLarge => "the answer's head is over 400 lines or 64 KiB",
            Self::Framing => {
                "the answer's Content-Length or Transfer-Encoding is invalid or contradicts another"
            }
            Self::Other => "the answer is not HTTP",
        })
    }
}

/// Why a success rule finds no value in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreadableAnswer {
    /// The body is empty.
    Empty,
    /// The body does not begin like JSON.
    NotJson,
    /// The body is compressed, although the request forbids it.
    Compressed,
    /// The body is JSON at first, but breaks off or becomes something else before the value.
    Broken,
    /// The body is longer than what is read of it, and the value is not in the part that was read.
    TooLong,
    /// The body is JSON without a value at the pointer.
    NoValue,
    /// There is an object or an array at the pointer.
    NotScalar,
}

impl fmt::Display for UnreadableAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "the answer has no body, so the success rule finds no value",
            Self::NotJson => "the answer's body is not JSON, so the success rule finds no value",
            Self::Compressed => {
                "the answer's body is compressed, although the request forbids it, so the success \
                 rule finds no value"
            }
            Self::Broken => "the answer's JSON breaks off before the success rule's value",
            Self::TooLong => "the success rule's value is not within the first 64 KiB of the body",
            Self::NoValue => "the answer's JSON has no value at success_pointer",
            Self::NotScalar => "the answer's JSON has an object or an array at success_pointer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cause_is_one_sentence_of_its_own() {
        let texts = [
            FailedLookup::Ipv4.to_string(),
            FailedLookup::Ipv6.to_string(),
            FailedLookup::Both.to_string(),
            MalformedPart::Version.to_string(),
            MalformedPart::Status.to_string(),
            MalformedPart::Header.to_string(),
            MalformedPart::HeadTooLarge.to_string(),
            MalformedPart::Framing.to_string(),
            MalformedPart::Other.to_string(),
            UnreadableAnswer::Empty.to_string(),
            UnreadableAnswer::NotJson.to_string(),
            UnreadableAnswer::Compressed.to_string(),
            UnreadableAnswer::Broken.to_string(),
            UnreadableAnswer::TooLong.to_string(),
            UnreadableAnswer::NoValue.to_string(),
            UnreadableAnswer::NotScalar.to_string(),
        ];
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
        for text in texts {
            assert!(text.starts_with("the ") && !text.ends_with('.'), "{text}");
            assert!(!text.contains("  "), "{text}");
        }
    }
}
