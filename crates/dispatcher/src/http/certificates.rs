//! When the certificates of registered callees expire, as seen in handshakes.
//!
//! Only the hosts of callees are remembered, so strangers' URLs take no room and push nothing out. What
//! is seen is remembered before it is verified: an expired certificate is one to tell of.

use contract::control::CertificateSeen;
use runtime::clock::now_ms;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The certificates of callees' hosts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateExpiries(Arc<Mutex<BTreeMap<String, Option<Seen>>>>);

/// The last certificate of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// The end of its validity, Unix ms.
    not_after: u64,
    /// When it was seen, Unix ms.
    at: u64,
}

impl CertificateExpiries {
    fn by_host(&self) -> MutexGuard<'_, BTreeMap<String, Option<Seen>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts that are watched from now on; what is known of them stays.
    pub(crate) fn watch(&self, hosts: impl IntoIterator<Item = String>) {
        let mut by_host = self.by_host();
        let known = std::mem::take(&mut *by_host);
        *by_host = hosts
            .into_iter()
            .map(|host| {
                let seen = known.get(&host).copied().flatten();
                (host, seen)
            })
            .collect();
    }

    /// At most so many watched hosts: those whose certificates expire first, then those that were not
    /// seen.
    pub(crate) fn seen(&self, max: usize) -> Vec<CertificateSeen> {
        let by_host = self.by_host();
        let all = by_host.iter().map(|(host, seen)| CertificateSeen {
            host: host.clone(),
            not_after: seen.map(|seen| seen.not_after),
            seen_at: seen.map(|seen| seen.at),
        });
        let mut all: Vec<CertificateSeen> = all.collect();
        all.sort_by_key(|certificate| certificate.not_after.unwrap_or(u64::MAX));
        all.truncate(max);
        all
    }

    fn note(&self, host: &str, certificate: &CertificateDer<'_>) {
        if !self.by_host().contains_key(host) {
            return;
        }
        let not_after = not_after(certificate);
        if let (Some(not_after), Some(seen)) = (not_after, self.by_host().get_mut(host)) {
            let at = now_ms();
            *seen = Some(Seen { not_after, at });
        }
    }
}

/// The end of its validity, Unix ms.
fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    u64::try_from(seconds).ok()?.checked_mul(1_000)
}

/// Notes when certificates expire; the verifier inside decides.
#[derive(Debug)]
pub(crate) struct NotingVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    expiries: CertificateExpiries,
}

impl NotingVerifier {
    pub(crate) fn new(inner: Arc<dyn ServerCertVerifier>, expiries: CertificateExpiries) -> Self {
        Self { inner, expiries }
    }
}

impl ServerCertVerifier for NotingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.expiries.note(&server_name.to_str(), end_entity);
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses every certificate.
    #[derive(Debug)]
    struct Refusing;

    impl ServerCertVerifier for Refusing {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Err(Error::General("refused".to_owned()))
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("refused".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("refused".to_owned()))
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            Vec::new()
        }
    }

    fn certificate(host: &str, year: i32) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    /// Hosts with the ends of validity.
    fn expiries_of(expiries: &CertificateExpiries, max: usize) -> Vec<(String, Option<u64>)> {
        let seen = expiries.seen(max).into_iter();
        seen.map(|it| {
            assert_eq!(it.seen_at.is_some(), it.not_after.is_some());
            (it.host, it.not_after)
        })
        .collect()
    }

    #[test]
    fn the_expiry_of_a_callees_certificate_is_noted_even_if_it_is_refused() {
        let expiries = CertificateExpiries::default();
        expiries.watch(["crm.example".to_owned(), "10.0.0.1".to_owned()]);
        let verifier = NotingVerifier::new(Arc::new(Refusing), expiries.clone());
        for (host, year) in [
            ("crm.example", 2027),
            ("crm.example", 2026),
            ("stranger.example", 2026),
        ] {
            let name = ServerName::try_from(host).unwrap();
            let certificate = certificate(host, year);
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
            let verified = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
            verified.unwrap_err();
        }
        let expected = [
            ("crm.example".to_owned(), Some(1_767_225_600_000)),
            ("10.0.0.1".to_owned(), None),
        ];
        assert_eq!(expiries_of(&expiries, 2), expected);
        assert_eq!(expiries_of(&expiries, 1), expected[..1], "the most urgent");
        // A reload keeps what is known of the hosts that stay.
        expiries.watch(["crm.example".to_owned(), "new.example".to_owned()]);
        let expected = [
            ("crm.example".to_owned(), Some(1_767_225_600_000)),
            ("new.example".to_owned(), None),
        ];
        assert_eq!(expiries_of(&expiries, 9), expected);
    }
}
