//! Whom does an operator's word mean?

use super::Key;
use crate::target::{TargetUrl, UrlFlaw};

impl Key {
    /// The target of a URL, any URL of it, where the text is one; else the callee of this number.
    ///
    /// # Errors
    /// The flaw of a text that can only be meant as a URL.
    pub fn named(text: &str) -> Result<Self, UrlFlaw> {
        match text.contains("://") {
            true => Ok(Self::Target(TargetUrl::parse(text)?.target())),
            false => Ok(Self::Callee(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_url_of_a_target_means_it_and_all_else_is_a_callee() {
        for (text, expected) in [
            ("https://Host.example/a?b=c", "https://host.example:443"),
            ("http://host.example.:8080", "http://host.example:8080"),
            ("EO001", "EO001"),
            ("host.example", "host.example"),
        ] {
            let key = Key::named(text).unwrap();
            assert_eq!(key.to_string(), expected);
            assert_eq!(Key::named(&key.to_string()), Ok(key), "its name means it");
        }
        assert_eq!(Key::named("ftp://host/"), Err(UrlFlaw::Scheme));
    }
}
