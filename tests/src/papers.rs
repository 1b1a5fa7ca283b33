//! Who vouches for whom in a test? An authority of its own, and the certificates that it signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, slice};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A certificate authority that no system knows.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub struct Papers {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    /// A new one of this name.
    ///
    /// # Panics
    /// When no certificate can be made.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Papers for this host, good now.
    ///
    /// # Panics
    /// When none can be made.
    pub fn papers(&self, host: &str) -> Papers {
        self.sign(&CertificateParams::new(vec![host.to_owned()]).unwrap())
    }

    /// Papers for this host that were good once.
    ///
    /// # Panics
    /// When none can be made.
    pub fn old_papers(&self, host: &str) -> Papers {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    /// Papers for this host that are not good yet.
    ///
    /// # Panics
    /// When none can be made.
    pub fn young_papers(&self, host: &str) -> Papers {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Papers {
        let key = KeyPair::generate().unwrap();
        Papers {
            certificate: params.signed_by(&key, &self.0).unwrap(),
            key,
        }
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its certificate.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        written(directory, name, &self.pem())
    }
}

impl Papers {
    /// Papers that nobody vouches for but their bearer.
    ///
    /// # Panics
    /// When none can be made.
    pub fn of_nobody(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            key,
        }
    }

    /// Writes the certificate and the key.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, directory: &Path, name: &str) -> [PathBuf; 2] {
        let certificate = written(directory, &format!("{name}.crt"), &self.certificate.pem());
        let key = written(directory, &format!("{name}.key"), &self.key.serialize_pem());
        [certificate, key]
    }

    /// How a server shows them; it asks for papers of `visitors`' if that is given.
    ///
    /// # Panics
    /// When it cannot show them.
    pub fn server(&self, visitors: Option<&Authority>) -> ServerConfig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = ServerConfig::builder();
        let builder = match visitors {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let chain = slice::from_ref(self.certificate.der()).to_vec();
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        builder.with_single_cert(chain, key).unwrap()
    }
}

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}
