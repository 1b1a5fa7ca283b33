//! Certificates of an `amqps://` connection: trusted roots and the client's own.
//!
//! The files are read again for each connection: certificates that are renewed in place take effect
//! with the next connection, without a restart. Verification cannot be turned off.

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::io;
use std::path::{Path, PathBuf};

/// The files that TLS is configured from, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerTls {
    /// The only roots trusted for the broker's certificate. None: the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, for a broker that requests one.
    pub identity: Option<ClientIdentity>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, with its chain.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct BrokerTlsError {
    /// The field that names the file: `ca_file`, `cert_file` or `key_file`.
    pub file: &'static str,
    /// Why. Never shows any content of the file.
    pub reason: String,
}

/// A certificate with its chain, and its private key.
type CertifiedPair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl BrokerTls {
    /// Checks the named files as they are now.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn check(&self) -> Result<(), BrokerTlsError> {
        self.read().map(drop)
    }

    /// Builds a connector from the files as they are now.
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

    fn read(
        &self,
    ) -> Result<(Option<Vec<CertificateDer<'static>>>, Option<CertifiedPair>), BrokerTlsError> {
        let roots = self.ca_file.as_deref().map(roots).transpose()?;
        let pair = self.identity.as_ref().map(pair).transpose()?;
        Ok((roots, pair))
    }
}

/// Prefixes the error with `TLS: `: its own text does not always say what failed.
pub(super) fn with_prefix(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("TLS: {error}"))
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerTlsError> {
    const FILE: &str = "ca_file";
    let roots = certificates(FILE, path)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        // The connector would skip it silently, and the broker would be untrusted without a visible
        // reason.
        let added = store.add(root.clone());
        added.map_err(|error| {
            refused(
                FILE,
                format!("a certificate in it is not a usable root: {error}"),
            )
        })?;
    }
    Ok(roots)
}

fn pair(identity: &ClientIdentity) -> Result<CertifiedPair, BrokerTlsError> {
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

fn certificates(
    file: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, BrokerTlsError> {
    let pem = read(file, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(refused(file, "there is no certificate in it (PEM)")),
    }
}

fn read(file: &'static str, path: &Path) -> Result<Vec<u8>, BrokerTlsError> {
    let read = std::fs::read(path);
    read.map_err(|error| refused(file, format!("{} cannot be read: {error}", path.display())))
}

fn refused(file: &'static str, reason: impl Into<String>) -> BrokerTlsError {
    let reason = reason.into();
    BrokerTlsError { file, reason }
}

#[cfg(test)]
mod tests;
