//! Trusted roots and client certificates of an HTTP client.

use crate::config::{CalleeConfig, DispatcherConfig};
use reqwest::{Certificate, ClientBuilder, Identity};
use runtime::ConfigError;
use std::path::Path;

/// Trusted roots and the client certificate, as read from the files. It holds a private key, so it
/// has no `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsProfile {
    roots: TrustedRoots,
    /// Certificate chain and private key.
    identity: Option<Vec<u8>>,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum TrustedRoots {
    /// The system's.
    #[default]
    System,
    /// The system's and these (PEM).
    SystemAnd(Vec<u8>),
    /// Only these (PEM).
    Only(Vec<u8>),
}

impl TlsProfile {
    /// The profile for all targets: reads `dispatcher.ca_file`, if it is set.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no certificate.
    pub(crate) fn for_all(config: &DispatcherConfig) -> Result<Self, ConfigError> {
        let ca = config.ca_file.as_deref();
        let ca = ca.map(|path| certificates("dispatcher.ca_file", path));
        Ok(Self {
            roots: ca
                .transpose()?
                .map_or(TrustedRoots::System, TrustedRoots::SystemAnd),
            identity: None,
        })
    }

    /// The profile for one callee: reads the files that it names.
    ///
    /// # Errors
    /// When a file cannot be read, or does not hold what it should.
    pub(crate) fn for_callee(&self, no: &str, config: &CalleeConfig) -> Result<Self, ConfigError> {
        let key = |name: &str| format!("callees.{no}.{name}");
        let roots = match config.ca_file.as_deref() {
            Some(path) => TrustedRoots::Only(certificates(&key("ca_file"), path)?),
            None => self.roots.clone(),
        };
        let identity = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(private_key)) => {
                let mut pem = file(&key("cert_file"), cert)?;
                pem.push(b'\n');
                pem.extend(file(&key("key_file"), private_key)?);
                Identity::from_pem(&pem).map_err(|_| {
                    let reason = "cert_file and key_file hold no certificate with its key (PEM)";
                    ConfigError::refused(&key("cert_file"), reason)
                })?;
                Some(pem)
            }
            _ => None,
        };
        Ok(Self { roots, identity })
    }

    pub(crate) fn apply(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let builder = match &self.roots {
            TrustedRoots::System => builder,
            TrustedRoots::SystemAnd(pem) => {
                builder.tls_certs_merge(Certificate::from_pem_bundle(pem)?)
            }
            TrustedRoots::Only(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem)?),
        };
        Ok(match &self.identity {
            Some(pem) => builder.identity(Identity::from_pem(pem)?),
            None => builder,
        })
    }
}

fn file(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        let reason = format!("{} cannot be read: {error}", path.display());
        ConfigError::refused(key, reason)
    })
}

fn certificates(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let pem = file(key, path)?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(pem),
        Ok(_) | Err(_) => {
            let reason = "it holds no certificate (PEM)";
            Err(ConfigError::refused(key, reason))
        }
    }
}
