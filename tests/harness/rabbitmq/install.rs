//! Finds RabbitMQ's own scripts.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of `rabbitmq-server` and `rabbitmqctl` as RabbitMQ ships them.
///
/// Debian's `/usr/sbin/rabbitmq-server` is not usable: it has to be run by root and changes to the
/// user `rabbitmq`, who cannot write to our directory.
pub(super) fn scripts() -> PathBuf {
    let found = candidates()
        .into_iter()
        .find(|directory| is_original(directory));
    found.expect(
        "RabbitMQ is not installed: install it (Debian, Ubuntu: apt-get install rabbitmq-server; \
         macOS: brew install rabbitmq), no service needs to run",
    )
}

fn candidates() -> Vec<PathBuf> {
    let mut directories = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    if let Ok(versions) = fs::read_dir("/usr/lib/rabbitmq/lib") {
        directories.extend(
            versions
                .flatten()
                .map(|version| version.path().join("sbin")),
        );
    }
    directories.push(PathBuf::from("/opt/rabbitmq/sbin"));
    if let Some(path) = std::env::var_os("PATH") {
        directories.extend(std::env::split_paths(&path));
    }
    directories
}

fn is_original(directory: &Path) -> bool {
    let server = fs::canonicalize(directory.join("rabbitmq-server"));
    server.is_ok_and(|server| !server.ends_with("rabbitmq-script-wrapper"))
}
