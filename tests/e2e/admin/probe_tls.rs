//! `ringback probe` against targets with TLS: whom it trusts, and what it says of their certificates.

use std::path::Path;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::tls_certs::{Authority, Certificate};
use tests::{Process, on_shared_runtime};

use crate::security::tls::server::Server;

const SOON: Duration = Duration::from_secs(60);
const HOST: &str = "127.0.0.1";
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Probes a callee at this server whose certificates this authority signs: the exit code, and the output.
async fn probe(server: &Server, ca: &Path) -> (Option<i32>, String) {
    let (url, ca) = (server.url(), ca.display().to_string());
    let variables = [
        ("RINGBACK__CALLEES__EO001__URL", &*url),
        ("RINGBACK__CALLEES__EO001__CA_FILE", &*ca),
    ];
    let mut process = Process::ringback(&["probe", "EO001"], variables);
    let ended = process.wait_exit(SOON).await;
    (ended.code(), process.log())
}

#[test]
fn a_trusted_chain_is_said_with_the_days_that_are_left() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("probe-tls");
        let authority = Authority::new("ours");
        let ca = authority.write(temp.path(), "ours.crt");
        let server = Server::start(authority.issue(HOST).server(None)).await;
        let (code, output) = probe(&server, &ca).await;
        assert_eq!(code, Some(0), "{output}");
        let line = "[ok] TLS: the chain is trusted; the certificate expires in ";
        assert!(output.contains(line), "{output}");
        // It is not signed, which is not checked; that is no warning.
        assert!(output.contains("[skipped] signature: "), "{output}");
        assert!(output.contains("grade: ready\n"), "{output}");
        assert!(server.bytes() > 0);

        // At midnight, at least ten days and less than eleven from now.
        let until = contract::rfc3339(crate::fixtures::unix_ms() + 11 * DAY_MS);
        let mut parts = until[..10].split('-').map(|part| part.parse().unwrap());
        let [year, month, day]: [u16; 3] = std::array::from_fn(|_| parts.next().unwrap());
        let [month, day] = [month, day].map(|it| u8::try_from(it).unwrap());
        let soon = (i32::from(year), month, day);
        let expiring = Server::start(authority.issue_until(HOST, soon).server(None)).await;
        let (code, output) = probe(&expiring, &ca).await;
        assert_eq!(code, Some(0), "{output}");
        let line = "[warning] TLS: the chain is trusted; the certificate expires in 10 days";
        assert!(output.contains(line), "{output}");
        assert!(output.contains("grade: ready, with warnings\n"), "{output}");
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_named_and_nothing_is_sent() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("probe-tls");
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        let ca = ours.write(temp.path(), "ours.crt");
        for (certificate, reason) in [
            (ours.issue_expired(HOST), "expired"),
            (ours.issue_not_yet_valid(HOST), "not valid yet"),
            (ours.issue("elsewhere.test"), "not valid for name"),
            (other.issue(HOST), "UnknownIssuer"),
            (Certificate::self_signed(HOST), "UnknownIssuer"),
        ] {
            let server = Server::start(certificate.server(None)).await;
            let (code, output) = probe(&server, &ca).await;
            assert_eq!(code, Some(1), "{reason}: {output}");
            assert!(
                output.contains("[BAD] accepts a message: no answer: "),
                "{reason}: {output}"
            );
            assert!(output.contains(reason), "{reason}: {output}");
            assert!(output.contains("grade: not ready\n"), "{reason}: {output}");
            assert_eq!(server.bytes(), 0, "{reason}");
        }
    });
}
