//! Finds RabbitMQ, on this machine or in a root directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::network::NodeHost;

/// Names a directory with a Debian that has another version of RabbitMQ than this machine
/// (`tests/rabbitmq4` makes one). The nodes run in it by chroot, which needs root.
const ROOT_VARIABLE: &str = "RINGBACK_E2E_RABBITMQ_ROOT";

/// Where Debian's package installs RabbitMQ's own scripts.
const DEBIAN_SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// Runs a program in the root directory `$1`, with `$2` at the same path inside and outside. The
/// mounts are in a namespace of the program's own, and end with it.
const ENTER: &str = r#"
root=$1 shared=$2
shift 2
mkdir -p "$root$shared"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$shared" "$root$shared"
exec chroot "$root" "$@"
"#;

/// An installed RabbitMQ.
#[derive(Debug)]
pub(super) struct Installation {
    scripts: PathBuf,
    root: Option<PathBuf>,
}

impl Installation {
    /// The one that [`ROOT_VARIABLE`] names, or else that of this machine.
    pub(super) fn find() -> Self {
        match std::env::var_os(ROOT_VARIABLE).map(PathBuf::from) {
            None => Self {
                scripts: scripts(),
                root: None,
            },
            Some(root) => {
                let server = root.join(DEBIAN_SCRIPTS.trim_start_matches('/'));
                let server = server.join("rabbitmq-server");
                assert!(
                    root.is_absolute() && server.exists(),
                    "{ROOT_VARIABLE} must name a directory by its absolute path, with {}",
                    server.display()
                );
                Self {
                    scripts: DEBIAN_SCRIPTS.into(),
                    root: Some(root),
                }
            }
        }
    }

    /// One of RabbitMQ's scripts.
    pub(super) fn script(&self, place: &NodeHost, script: &str) -> Command {
        self.program(place, &self.scripts.join(script))
    }

    /// Erlang's port mapper.
    pub(super) fn epmd(&self, place: &NodeHost) -> Command {
        self.program(place, Path::new("epmd"))
    }

    fn program(&self, place: &NodeHost, program: &Path) -> Command {
        let Some(root) = &self.root else {
            return place.command(program);
        };
        let mut command = place.command("unshare");
        command
            .args(["--mount", "sh", "-ec", ENTER, "enter"])
            .args([root, &std::env::temp_dir()])
            .arg(program);
        command
    }
}

/// The directory of `rabbitmq-server` and `rabbitmqctl` as RabbitMQ ships them.
///
/// Debian's `/usr/sbin/rabbitmq-server` is not usable: it has to be run by root and changes to the
/// user `rabbitmq`, who cannot write to our directory.
fn scripts() -> PathBuf {
    let found = candidates()
        .into_iter()
        .find(|directory| is_original(directory));
    found.expect(
        "RabbitMQ is not installed: install it (Debian, Ubuntu: apt-get install rabbitmq-server; \
         macOS: brew install rabbitmq), no service needs to run",
    )
}

fn candidates() -> Vec<PathBuf> {
    let mut directories = vec![PathBuf::from(DEBIAN_SCRIPTS)];
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
