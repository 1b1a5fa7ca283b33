//! Certificate authorities and certificates for tests.

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

/// A certificate authority that no system trusts.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    /// A new authority of this name.
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

    /// Issues a valid certificate for this host.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issue(&self, host: &str) -> Certificate {
        self.sign(&CertificateParams::new(vec![host.to_owned()]).unwrap())
    }

    /// Issues a certificate for this host that is valid until this year, month and day (UTC).
    pub fn issue_until(&self, host: &str, (year, month, day): (i32, u8, u8)) -> Certificate {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        self.sign(&params)
    }

    /// Issues an expired certificate for this host.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issue_expired(&self, host: &str) -> Certificate {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    /// Issues a certificate for this host that is not valid yet.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issue_not_yet_valid(&self, host: &str) -> Certificate {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        Certificate {
            certificate: params.signed_by(&key, &self.0).unwrap(),
            key,
        }
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its certificate.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        write_file(directory, name, &self.pem())
    }
}

impl Certificate {
    /// A self-signed certificate.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn self_signed(host: &str) -> Self {
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
    /// When the file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> [PathBuf; 2] {
        let certificate = write_file(directory, &format!("{name}.crt"), &self.certificate.pem());
        let key = write_file(directory, &format!("{name}.key"), &self.key.serialize_pem());
        [certificate, key]
    }

    /// A server's configuration with it. With `clients`, clients need a certificate of that
    /// authority.
    ///
    /// # Panics
    /// When it cannot be used.
    pub fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = ServerConfig::builder();
        let builder = match clients {
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

fn write_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}
