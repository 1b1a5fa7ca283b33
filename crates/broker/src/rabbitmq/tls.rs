//! Whom does an `amqps://` connection trust, and how does it show who it is?
//!
//! The files are read anew for each connection: papers that are renewed in place are good from the
//! next connection on, without a restart. There is no way to connect without verification.

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::io;
use std::path::{Path, PathBuf};

/// The files that TLS is made from, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The only roots that vouch for the broker. None: the system's.
    pub ca_file: Option<PathBuf>,
    /// What the broker is shown when it asks.
    pub identity: Option<Identity>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with its chain.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// One of the files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TlsError {
    /// The field that names the file: `ca_file`, `cert_file` or `key_file`.
    pub file: &'static str,
    /// Why. Nothing that stands in the file is shown.
    pub reason: String,
}

/// A certificate with its chain, and the key.
type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Tls {
    /// Checks the files that are named, as they stand now.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn check(&self) -> Result<(), TlsError> {
        self.read().map(drop)
    }

    /// What makes connections, of the files as they stand now.
    pub(super) fn connector(&self) -> io::Result<RustlsConnector> {
        let (roots, pair) = self.read().map_err(io::Error::other)?;
        let config = match roots {
            Some(roots) => RustlsConnectorConfig::default().with_parsable_certificates(roots),
            None => RustlsConnectorConfig::new_with_native_certs()?,
        };
        match pair {
            Some((chain, key)) => config.connector_with_single_cert(chain, key),
            None => config.connector_with_no_client_auth(),
        }
    }

    fn read(&self) -> Result<(Option<Vec<CertificateDer<'static>>>, Option<Pair>), TlsError> {
        let roots = self.ca_file.as_deref().map(roots).transpose()?;
        let pair = self.identity.as_ref().map(pair).transpose()?;
        Ok((roots, pair))
    }
}

/// The error, with the word for what failed: by itself it does not always say so.
pub(super) fn named(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("TLS: {error}"))
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const FILE: &str = "ca_file";
    let roots = certificates(FILE, path)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        // The connector would pass over it, and nobody would know why the broker is not trusted.
        let added = store.add(root.clone());
        added.map_err(|error| refused(FILE, format!("a certificate in it is no root: {error}")))?;
    }
    Ok(roots)
}

fn pair(identity: &Identity) -> Result<Pair, TlsError> {
    let chain = certificates("cert_file", &identity.cert_file)?;
    let pem = read("key_file", &identity.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        refused(
            "key_file",
            "there is no private key in it (PEM, not encrypted)",
        )
    })?;
    let matched = CertifiedKey::from_der(chain.clone(), key.clone_key(), &ring::default_provider());
    matched.map_err(|error| {
        let reason = format!("it cannot be used with the key in key_file: {error}");
        refused("cert_file", reason)
    })?;
    Ok((chain, key))
}

fn certificates(file: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(file, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(refused(file, "there is no certificate in it (PEM)")),
    }
}

fn read(file: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = std::fs::read(path);
    read.map_err(|error| refused(file, format!("{} cannot be read: {error}", path.display())))
}

fn refused(file: &'static str, reason: impl Into<String>) -> TlsError {
    let reason = reason.into();
    TlsError { file, reason }
}

#[cfg(test)]
mod tests;
