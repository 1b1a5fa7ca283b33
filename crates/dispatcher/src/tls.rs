//! From what is a client's TLS made?

use boot::SettingsError;
use boot::settings::{CalleeSettings, Settings};
use reqwest::{Certificate, ClientBuilder, Identity};
use std::path::Path;

/// Whom a client trusts and what it shows, as it stands in the files. Never shown: a key is in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    roots: Roots,
    /// Certificate chain and private key.
    identity: Option<Vec<u8>>,
}

/// Who vouches for targets.
#[derive(Clone, Default, PartialEq, Eq)]
enum Roots {
    /// Whom the system trusts.
    #[default]
    System,
    /// These (PEM) as well.
    SystemAnd(Vec<u8>),
    /// These (PEM) alone.
    Only(Vec<u8>),
}

impl Tls {
    /// As it is for all: reads `dispatcher.ca_file`, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no certificate.
    pub(crate) fn of_all(settings: &Settings) -> Result<Self, SettingsError> {
        let ca = settings.dispatcher.ca_file.as_deref();
        let ca = ca.map(|path| certificates("dispatcher.ca_file", path));
        Ok(Self {
            roots: ca.transpose()?.map_or(Roots::System, Roots::SystemAnd),
            identity: None,
        })
    }

    /// As it is for one callee: reads the files that it names.
    ///
    /// # Errors
    /// When a file cannot be read, or does not hold what it should.
    pub(crate) fn of_callee(
        &self,
        no: &str,
        settings: &CalleeSettings,
    ) -> Result<Self, SettingsError> {
        let key = |name: &str| format!("callees.{no}.{name}");
        let roots = match settings.ca_file.as_deref() {
            Some(path) => Roots::Only(certificates(&key("ca_file"), path)?),
            None => self.roots.clone(),
        };
        let identity = match (&settings.cert_file, &settings.key_file) {
            (Some(cert), Some(secret)) => {
                let mut pem = file(&key("cert_file"), cert)?;
                pem.push(b'\n');
                pem.extend(file(&key("key_file"), secret)?);
                Identity::from_pem(&pem).map_err(|_| {
                    let reason = "cert_file and key_file hold no certificate with its key (PEM)";
                    SettingsError::refused(&key("cert_file"), reason)
                })?;
                Some(pem)
            }
            _ => None,
        };
        Ok(Self { roots, identity })
    }

    pub(crate) fn apply(&self, to: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let to = match &self.roots {
            Roots::System => to,
            Roots::SystemAnd(pem) => to.tls_certs_merge(Certificate::from_pem_bundle(pem)?),
            Roots::Only(pem) => to.tls_certs_only(Certificate::from_pem_bundle(pem)?),
        };
        Ok(match &self.identity {
            Some(pem) => to.identity(Identity::from_pem(pem)?),
            None => to,
        })
    }
}

fn file(key: &str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|error| {
        let reason = format!("{} cannot be read: {error}", path.display());
        SettingsError::refused(key, reason)
    })
}

fn certificates(key: &str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    let pem = file(key, path)?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(pem),
        Ok(_) | Err(_) => {
            let reason = "there is no certificate in it (PEM)";
            Err(SettingsError::refused(key, reason))
        }
    }
}
