//! What a set of limits applies to: a registered callee, or the target of a caller's URL.

use std::fmt;
use std::sync::Arc;

use crate::target_url::{Target, TargetUrl, UrlError};

/// What a set of limits applies to. A caller's URL never shares limits with a callee, even on the
/// same host: a caller's failing URLs would open the breaker of the operator's callee.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKey {
    /// A registered callee, by its number as registered.
    Callee(Arc<str>),
    /// The target of a caller's URL.
    Target(Target),
}

impl LimitKey {
    /// Parses what an operator writes: any URL of a target, or the number of a callee.
    ///
    /// # Errors
    /// [`UrlError`] of a text that contains `://` but is not a URL that may be called.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        match text.contains("://") {
            true => Ok(Self::Target(TargetUrl::parse(text)?.target())),
            false => Ok(Self::Callee(text.into())),
        }
    }
}

impl fmt::Display for LimitKey {
    /// As operators write it: `EO001`, or `https://host:443`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callee(no) => formatter.write_str(no),
            Self::Target(target) => target.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_url_of_a_target_means_the_target_and_all_else_is_a_callee() {
        for (text, expected) in [
            ("https://Host.example/a?b=c", "https://host.example:443"),
            ("http://host.example.:8080", "http://host.example:8080"),
            ("EO001", "EO001"),
            ("host.example", "host.example"),
        ] {
            let key = LimitKey::parse(text).unwrap();
            assert_eq!(key.to_string(), expected);
            assert_eq!(LimitKey::parse(&key.to_string()), Ok(key));
        }
        assert_eq!(LimitKey::parse("ftp://host/"), Err(UrlError::Scheme));
    }
}
