//! The binary of an earlier release, built from the history of this repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Set to `1`, it makes the tests of an upgrade run: the first time they build the earlier release,
/// which takes minutes.
pub const VARIABLE: &str = "RINGBACK_E2E_UPGRADE";

/// The binary of 0.2.0, or why there is none. It is built once, and kept in the target directory.
///
/// # Errors
/// When nobody asks for it, or this is a clone without its history.
///
/// # Panics
/// When it does not build.
pub fn binary_0_2_0() -> Result<&'static Path, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match std::env::var_os(VARIABLE) {
        Some(value) if value == "1" => build(r"^release: 0\.2\.0$", "dev"),
        _ => Err(format!("{VARIABLE}=1 is not set")),
    });
    built.as_deref().map_err(Clone::clone)
}

/// The binary of the last release, built with optimizations. It is built once, and kept in the target
/// directory.
///
/// # Panics
/// When it does not build, or this is a clone without its history.
pub fn last_release() -> PathBuf {
    build("^release: ", "release").unwrap_or_else(|reason| panic!("no baseline: {reason}"))
}

/// Builds the last commit whose subject matches, with a profile of that commit.
fn build(subject: &str, profile: &str) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(&root).args(arguments).output()
    };
    let found = git(&["log", "-1", "--format=%H", "--grep", subject]);
    let commit = found.map_err(|error| format!("git does not run: {error}"))?;
    let commit = text(&commit.stdout);
    if commit.is_empty() {
        return Err(format!(
            "the history has no commit with the subject `{subject}`"
        ));
    }
    let kept = target().join(format!("ringback-{commit}"));
    let directory = if profile == "dev" { "debug" } else { profile };
    let binary = kept.join("target").join(directory).join("ringback");
    if binary.exists() {
        return Ok(binary);
    }
    let source = kept.join("source");
    std::fs::create_dir_all(&source).expect("a directory for the source");
    let archive = kept.join("source.tar");
    let shown = archive.to_str().expect("a path in UTF-8");
    done(git(&["archive", "--output", shown, &commit]));
    let mut unpack = Command::new("tar");
    done(
        unpack
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&source)
            .output(),
    );
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&key);
        }
    }
    cargo
        .args(["build", "--quiet", "--locked", "--bin", "ringback"])
        .args(["--profile", profile, "--target-dir", "../target"])
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .current_dir(source);
    done(cargo.output());
    Ok(binary)
}

/// The directory of the build to which this test belongs.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // TARGET/PROFILE/deps/TEST, or TARGET/PROFILE/PROGRAM
    let mut above = test.ancestors().skip(1);
    let profile = above.find(|it| !it.ends_with("deps"));
    let target = profile.and_then(Path::parent);
    target.expect("a target directory").into()
}

fn done(output: std::io::Result<Output>) {
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
