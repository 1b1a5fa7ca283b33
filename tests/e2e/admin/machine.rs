//! A machine that lacks something: no certificates, no directory that can be written.

use std::time::Duration;

use tests::{Process, SingleProcess, on_shared_runtime};

const SOON: Duration = Duration::from_secs(60);

/// No roots of certificates anywhere.
const NO_ROOTS: [(&str, &str); 2] = [
    ("SSL_CERT_FILE", "/nonexistent"),
    ("SSL_CERT_DIR", "/nonexistent"),
];

/// The output of a command that must fail.
async fn failure(words: &[&str], variables: &[(&str, &str)]) -> String {
    let mut process = Process::ringback(words, variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    assert!(!ended.success(), "{words:?}: {}", process.log());
    process.log()
}

#[test]
fn a_plain_health_page_is_asked_without_any_certificate() {
    on_shared_runtime(async {
        let gateway = SingleProcess::start(&[]).await;
        let page = format!("http://{}/readyz", gateway.metrics);
        let mut process = Process::ringback(&["health", &page], NO_ROOTS);
        let ended = process.wait_exit(SOON).await;
        assert!(ended.success(), "{}", process.log());
        // The check sees no certificates: where they are needed, it says so.
        let output = failure(&["health", "https://127.0.0.1:9/"], &NO_ROOTS).await;
        assert!(!output.contains("refused"), "{output}");
    });
}

#[test]
fn a_directory_that_cannot_be_created_is_named_with_how_to_choose_another() {
    on_shared_runtime(async {
        // Not even root can create anything in /proc.
        let output = failure(&["dev"], &[("TMPDIR", "/proc")]).await;
        for part in ["/proc/ringback-dev-", "--data-dir DIR", "TMPDIR"] {
            assert!(output.contains(part), "{part} in {output}");
        }
        let output = failure(&["dev", "--data-dir", "/proc/data"], &[]).await;
        for part in ["/proc/data", "--data-dir"] {
            assert!(output.contains(part), "{part} in {output}");
        }
        let directory = ("RINGBACK__BROKER__DATA_DIR", "/proc/data");
        let output = failure(&["serve"], &[directory]).await;
        for part in [
            "/proc/data cannot be created",
            "broker.data_dir",
            directory.0,
        ] {
            assert!(output.contains(part), "{part} in {output}");
        }
    });
}
