//! A secret in the settings, or a reference to the variable or file that holds it.

use std::env::VarError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use super::redact::MASK;

/// The largest file of a secret. A device or a log named by mistake must not fill the memory.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A secret value, or its location: `env:NAME`, `file:/path`. Only a location is ever shown.
#[derive(Clone)]
pub struct SecretRef(SecretString);

impl SecretRef {
    /// The secret of this text in the settings.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim()))
    }

    /// The file that holds it, if one does.
    pub fn file(&self) -> Option<&Path> {
        self.0.expose_secret().strip_prefix("file:").map(Path::new)
    }

    /// Whether both are the same in the settings. Masked secrets never are.
    pub fn is_same(&self, other: &Self) -> bool {
        let [own, other] = [self, other].map(|secret| secret.0.expose_secret());
        own == other && own != MASK
    }

    /// Whether the settings only name the variable or file that holds the value.
    pub fn is_indirect(&self) -> bool {
        let text = self.0.expose_secret();
        text.starts_with("env:") || text.starts_with("file:")
    }

    /// The current value, without the newline that editors append.
    ///
    /// # Errors
    /// Why it cannot be read. The sentence shows no part of it.
    pub fn read(&self) -> Result<SecretString, String> {
        match self.is_indirect() {
            true => self.read_text().map(SecretString::from),
            false => Ok(self.0.clone()),
        }
    }

    pub(super) fn read_text(&self) -> Result<String, String> {
        let text = self.0.expose_secret();
        let (value, place) = if let Some(name) = text.strip_prefix("env:") {
            let place = format!("the variable {name}");
            let value = std::env::var(name).map_err(|error| match error {
                VarError::NotPresent => format!("{place} is not set"),
                VarError::NotUnicode(_) => format!("{place} is not UTF-8"),
            })?;
            (value, place)
        } else if let Some(path) = self.file() {
            let place = format!("the file {}", path.display());
            let content = read_file(path)
                .map_err(|error| format!("{place} cannot be read: {error}"))?
                .ok_or_else(|| format!("{place} is larger than {MAX_FILE_BYTES} bytes"))?;
            (content, place)
        } else {
            return Ok(text.to_owned());
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.trim().is_empty() {
            return Err(format!("{place} is empty"));
        }
        Ok(value.to_owned())
    }

    fn shown(&self) -> &str {
        match self.is_indirect() {
            true => self.0.expose_secret(),
            false => MASK,
        }
    }
}

/// The content of a file; `None`: it is too large.
fn read_file(path: &Path) -> io::Result<Option<String>> {
    let mut content = String::new();
    let file = File::open(path)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut content)?;
    let fits = u64::try_from(content.len()).is_ok_and(|bytes| bytes <= MAX_FILE_BYTES);
    Ok(fits.then_some(content))
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shown())
    }
}

impl<'de> serde::Deserialize<'de> for SecretRef {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self::new(&text))
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_variable_or_file() {
        let read = |text: &str| {
            let found = SecretRef::new(text).read();
            found.map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(read("whsec_abc"), Ok("whsec_abc".to_owned()));
        assert!(read("env:CARGO_MANIFEST_DIR").is_ok());
        let path = std::env::temp_dir().join(format!("ringback-secret-{}", std::process::id()));
        std::fs::write(&path, "whsec_def\r\n").unwrap();
        let file = format!("file:{}", path.display());
        assert_eq!(read(&file), Ok("whsec_def".to_owned()));
        std::fs::write(&path, " \n").unwrap();
        let reason = format!("the file {} is empty", path.display());
        assert_eq!(read(&file), Err(reason));
        std::fs::remove_file(path).unwrap();
        for (text, reason) in [
            (
                "env:RINGBACK_NOT_THERE",
                "the variable RINGBACK_NOT_THERE is not set",
            ),
            ("file:/dev/null", "the file /dev/null is empty"),
            (
                "file:/dev/zero",
                "the file /dev/zero is larger than 65536 bytes",
            ),
            (
                "file:/nowhere/secret",
                "the file /nowhere/secret cannot be read: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(read(text), Err(reason.to_owned()));
        }
    }

    #[test]
    fn only_the_place_of_a_secret_is_shown() {
        for (text, shown) in [
            ("env:A", "env:A"),
            ("file:/a", "file:/a"),
            ("secret", "***"),
        ] {
            let secret = SecretRef::new(text);
            assert_eq!(format!("{secret:?}"), shown);
            assert_eq!(serde_json::to_value(&secret).unwrap(), shown);
        }
    }
}
