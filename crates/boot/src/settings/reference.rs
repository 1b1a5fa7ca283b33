//! Where does a secret come from that the settings only name?

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use super::show::MASK;

/// A value, or where it is: `env:NAME`, `file:/path`. Never shown but for where it is.
#[derive(Clone)]
pub struct Reference(SecretString);

impl Reference {
    pub(super) fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The file that it is in, if it is in one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.0.expose_secret().strip_prefix("file:").map(Path::new)
    }

    /// Whether two stand for the same, as far as the settings tell: those that were printed do not.
    pub(super) fn same(&self, other: &Self) -> bool {
        let [own, other] = [self, other].map(|it| it.0.expose_secret());
        own == other && own != MASK
    }

    /// Whether it only says where the value is.
    pub(super) fn is_elsewhere(&self) -> bool {
        let text = self.0.expose_secret();
        text.starts_with("env:") || text.starts_with("file:")
    }

    /// The value as it is now, without the line's end that editors put behind it.
    ///
    /// # Errors
    /// Why it is not to be had, without any of it.
    pub fn read(&self) -> Result<SecretString, String> {
        let text = self.0.expose_secret();
        let value = if let Some(name) = text.strip_prefix("env:") {
            let value =
                std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?;
            (value, format!("the variable {name}"))
        } else if let Some(path) = self.file() {
            let shown = path.display();
            let content = std::fs::read_to_string(path)
                .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
            (content, format!("the file {shown}"))
        } else {
            return Ok(self.0.clone());
        };
        let (value, place) = value;
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(format!("{place} is empty"));
        }
        Ok(SecretString::from(value))
    }

    fn shown(&self) -> &str {
        match self.is_elsewhere() {
            true => self.0.expose_secret(),
            false => MASK,
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shown())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_where_the_settings_say() {
        let of = |text: &str| {
            let found = Reference::new(text.to_owned()).read();
            found.map(|it| it.expose_secret().to_owned())
        };
        assert_eq!(of("whsec_abc"), Ok("whsec_abc".to_owned()));
        let path = std::env::temp_dir().join(format!("ringback-secret-{}", std::process::id()));
        let named = format!("file:{}", path.display());
        assert!(of(&named).unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "whsec_def\r\n").unwrap();
        assert_eq!(of(&named), Ok("whsec_def".to_owned()));
        std::fs::write(&path, "\n").unwrap();
        assert!(of(&named).unwrap_err().ends_with("is empty"));
        std::fs::remove_file(path).unwrap();
        let missing = of("env:RINGBACK_NO_SUCH_VARIABLE").unwrap_err();
        assert!(missing.contains("RINGBACK_NO_SUCH_VARIABLE"), "{missing}");
        assert!(of("env:CARGO_MANIFEST_DIR").is_ok());
    }
}
