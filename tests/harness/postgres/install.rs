//! Finds PostgreSQL's programs, and the user to run them as.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::is_root;

/// The user of Debian's package: PostgreSQL refuses to run as root.
const USER: &str = "postgres";

#[derive(Debug)]
pub(super) struct Install {
    directory: PathBuf,
    /// Set when we are root: the ids of the user and the group to run as.
    owner: Option<(u32, u32)>,
}

impl Install {
    pub(super) fn find() -> Self {
        let found = candidates().into_iter().find(|directory| {
            ["initdb", "postgres"]
                .iter()
                .all(|program| directory.join(program).is_file())
        });
        Self {
            directory: found.expect(
                "PostgreSQL is not installed: install it (Debian, Ubuntu: apt-get install \
                 postgresql; macOS: brew install postgresql), no service needs to run",
            ),
            owner: is_root().then(|| (id("-u"), id("-g"))),
        }
    }

    pub(super) const fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    /// One of the programs, without settings from the environment.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut path = self.directory.join(program);
        if !path.is_file()
            && let Ok(server) = fs::canonicalize(self.directory.join("postgres"))
        {
            // A directory with links to some of the programs.
            path = server.with_file_name(program);
        }
        let mut command = match self.owner {
            None => Command::new(path),
            Some((user, group)) => {
                // setpriv execs the program, so the process that we start is the program's.
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .args(["--clear-groups", "--"])
                    .arg(path);
                command
            }
        };
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PG") {
                command.env_remove(key);
            }
        }
        command
    }
}

/// `PATH` first. Debian installs each version in a directory of its own, outside `PATH`.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .map(|version| {
            let number = version.file_name().to_string_lossy().parse().unwrap_or(0);
            (number, version.path().join("bin"))
        })
        .collect();
    versions.sort();
    directories.extend(versions.into_iter().rev().map(|(_, directory)| directory));
    directories
}

fn id(what: &str) -> u32 {
    let output = Command::new("id").args([what, USER]).output();
    let output = output.expect("the program `id`");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .expect("as root, the tests run PostgreSQL as the user `postgres`, who is not there")
}
