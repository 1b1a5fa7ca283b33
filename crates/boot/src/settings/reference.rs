//! Where does a secret come from that the settings only name?

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

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
            false => "***",
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
