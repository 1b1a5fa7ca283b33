//! Trusted roots and client certificates of an HTTP client.

use crate::config::{CalleeConfig, DispatcherConfig};
use crate::http::certificates::{CertificateExpiries, NotingVerifier};
use runtime::ConfigError;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;
use std::path::Path;
use std::sync::Arc;

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
                if identity_of(&pem).is_none() {
                    let reason = "cert_file and key_file hold no certificate with its key (PEM)";
                    return Err(ConfigError::refused(&key("cert_file"), reason));
                }
                Some(pem)
            }
            _ => None,
        };
        Ok(Self { roots, identity })
    }

    /// The configuration of the client's TLS: versions 1.2 and 1.3, every certificate verified.
    ///
    /// # Errors
    /// When there is no root, or a certificate and its key do not belong together.
    pub(crate) fn client_config(
        &self,
        expiries: &CertificateExpiries,
    ) -> Result<ClientConfig, rustls::Error> {
        let provider = CryptoProvider::get_default().map_or_else(
            || Arc::new(rustls::crypto::ring::default_provider()),
            Arc::clone,
        );
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let verifier: Arc<dyn ServerCertVerifier> = match &self.roots {
            TrustedRoots::System => Arc::new(Verifier::new(provider)?),
            TrustedRoots::SystemAnd(pem) => {
                let extra = certificates_of(pem);
                Arc::new(Verifier::new_with_extra_roots(extra, provider)?)
            }
            TrustedRoots::Only(pem) => {
                let mut roots = RootCertStore::empty();
                for root in certificates_of(pem) {
                    roots.add(root)?;
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| rustls::Error::General(error.to_string()))?
            }
        };
        let builder = verified_by(builder, NotingVerifier::new(verifier, expiries.clone()));
        let mut config = match self.identity.as_deref().and_then(identity_of) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "inside is the system's own verifier or rustls's, with all their checks; only the roots \
              differ, and expiries are noted"
)]
fn verified_by(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    verifier: NotingVerifier,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
}

fn certificates_of(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

fn identity_of(pem: &[u8]) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = certificates_of(pem);
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    (!chain.is_empty()).then_some((chain, key))
}

fn file(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        let reason = format!("{} cannot be read: {error}", path.display());
        ConfigError::refused(key, reason)
    })
}

fn certificates(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let pem = file(key, path)?;
    let is_usable = |certificate: Result<_, _>| certificate.is_ok();
    let mut found = CertificateDer::pem_slice_iter(&pem).peekable();
    if found.peek().is_some() && found.all(is_usable) {
        return Ok(pem);
    }
    let reason = "it holds no certificate (PEM)";
    Err(ConfigError::refused(key, reason))
}
