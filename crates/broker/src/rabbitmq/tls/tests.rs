//! Usable certificate files are accepted; each unusable one is named.

use super::*;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;

/// A directory of one test, removed when dropped.
struct TestFiles(PathBuf);

impl TestFiles {
    fn new(name: &str) -> Self {
        let name = format!("ringback-tls-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for TestFiles {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The error text for these files.
fn refusal(ca_file: Option<PathBuf>, identity: Option<[&PathBuf; 2]>) -> String {
    let identity = identity.map(|[cert_file, key_file]| ClientIdentity {
        cert_file: cert_file.clone(),
        key_file: key_file.clone(),
    });
    let tls = BrokerTls { ca_file, identity };
    assert!(
        tls.connector().is_err(),
        "refused files must give no connector"
    );
    tls.check().unwrap_err().to_string()
}

#[test]
fn usable_files_are_accepted() {
    assert_eq!(BrokerTls::default().check(), Ok(()));
    let files = TestFiles::new("good");
    let (one, two) = (root(), root());
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["ringback".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &one).unwrap();
    let tls = BrokerTls {
        ca_file: Some(files.write("ca.pem", format!("for people\n{}{}", one.pem(), two.pem()))),
        identity: Some(ClientIdentity {
            cert_file: files.write("cert.pem", certificate.pem() + &one.pem()),
            key_file: files.write("key.pem", key.serialize_pem()),
        }),
    };
    assert_eq!(tls.check(), Ok(()));
    assert!(tls.connector().is_ok());
    // The files are read again: the next connection would fail and say why.
    files.write("ca.pem", "");
    let error = tls.connector().unwrap_err();
    let text = with_prefix(&error).to_string();
    assert_eq!(text, "TLS: ca_file: there is no certificate in it (PEM)");
}

#[test]
fn unusable_roots_are_refused() {
    let files = TestFiles::new("roots");
    let pem = root().pem();
    let none = "ca_file: there is no certificate in it (PEM)";
    for text in [
        String::new(),
        "no PEM".to_owned(),
        KeyPair::generate().unwrap().serialize_pem(),
        pem.replace("END", "FIN"),
        pem.replacen("MII", "M*I", 1),
        // A usable root does not make up for an unusable one.
        format!("{pem}{}", pem.replacen("MII", "M*I", 1)),
    ] {
        let path = files.write("ca.pem", &text);
        assert_eq!(refusal(Some(path), None), none, "{text}");
    }
    let other = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let refused = refusal(Some(files.write("ca.pem", format!("{pem}{other}"))), None);
    let begin = "ca_file: a certificate in it is not a usable root: ";
    assert!(refused.starts_with(begin), "{refused}");
    let missing = files.0.join("nowhere.pem");
    let refused = refusal(Some(missing.clone()), None);
    let begin = format!("ca_file: {} cannot be read: ", missing.display());
    assert!(refused.starts_with(&begin), "{refused}");
    let refused = refusal(Some(files.0.clone()), None);
    assert!(refused.contains("cannot be read"), "{refused}");
}

#[test]
fn an_unusable_identity_is_refused_without_showing_its_key() {
    let files = TestFiles::new("identity");
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["ringback".to_owned()]).unwrap();
    let pem = certificate.self_signed(&key).unwrap().pem();
    let cert = files.write("cert.pem", &pem);
    let good = files.write("key.pem", key.serialize_pem());
    let foreign = files.write("other.pem", other.serialize_pem());
    let blank = files.write("blank.pem", "");
    let missing = files.0.join("nowhere.pem");
    for (pair, begin) in [
        ([&blank, &good], "cert_file: there is no certificate in it"),
        ([&good, &good], "cert_file: there is no certificate in it"),
        ([&cert, &cert], "key_file: there is no private key in it"),
        ([&cert, &blank], "key_file: there is no private key in it"),
        (
            [&cert, &foreign],
            "cert_file: it cannot be used with the key in key_file: ",
        ),
        ([&missing, &good], "cert_file: "),
        ([&cert, &missing], "key_file: "),
    ] {
        let refused = refusal(None, Some(pair));
        assert!(refused.starts_with(begin), "{refused}");
        assert!(!refused.contains("-----"), "{refused}");
    }
}
