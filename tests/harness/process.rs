//! Runs the real binary and observes it from outside.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cleanup::{self, ChildGroup, TempDirectory};
use crate::eventually;

/// How many lines of the log a failing test shows.
const SHOWN_LINES: usize = 80;

/// A running program; killed when dropped. If the test has failed, the end of its log is printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    group: ChildGroup,
    ended: Option<ExitStatus>,
    temp: TempDirectory,
}

impl Process {
    /// Starts `ringback` with these arguments and variables, and without any other `RINGBACK...`
    /// variable. The binary is built first, once per test process.
    pub fn ringback<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        arguments: &[&str],
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::start(binary(), arguments, environment)
    }

    /// Starts any program the same way, with a limit of open files.
    pub fn start_with_files<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        limit: u32,
        program: &Path,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        let program = program.display().to_string();
        let arguments = [&["-c", &script, &program], arguments].concat();
        Self::start(Path::new("sh"), &arguments, environment)
    }

    /// Starts any program the same way.
    pub fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        program: &Path,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let program_name = program.file_name().unwrap_or_default().to_string_lossy();
        let name = arguments
            .first()
            .map_or(&*program_name, |first| *first)
            .to_owned();
        let mut command = Command::new(program);
        command.args(arguments);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("RINGBACK") {
                command.env_remove(key);
            }
        }
        // Many run at a time, and only one could have the default ports.
        command.env("RINGBACK__ADMIN__LISTEN", "127.0.0.1:0");
        command.env("RINGBACK__METRICS__LISTEN", "127.0.0.1:0");
        // Every operator has to choose a mode; tests of credentials choose another.
        command.env("RINGBACK__AUTH__MODE", "open");
        command.envs(environment);
        let temp = TempDirectory::new("process");
        let group = temp.start("process", &command);
        Self {
            name,
            group,
            ended: None,
            temp,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.group.leader.id()
    }

    /// Where its standard output and error go, until it is dropped.
    pub fn log_path(&self) -> &Path {
        &self.group.log
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.group.log).expect("the log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has written this, and returns all that it has written.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn says(&self, text: &str, within: Duration) -> String {
        eventually(text, within, async || {
            let log = self.log();
            match log.contains(text) {
                true => Ok(log),
                false => Err(log),
            }
        })
        .await
    }

    /// Prints the end of what it has written, for a failing test.
    pub fn show_log(&self) {
        let log = cleanup::tail(&self.group.log, SHOWN_LINES);
        eprintln!("--- the end of the log of `{}`:\n{log}\n---", self.name);
    }

    /// Ends it with SIGKILL, as a crash would, and waits until it is gone.
    pub fn kill9(&mut self) {
        if self.ended().is_none() {
            self.ended = Some(self.temp.kill(&mut self.group));
        }
    }

    /// Asks it to stop.
    pub fn sigterm(&mut self) {
        if self.ended().is_none() {
            cleanup::signal(self.pid(), "TERM");
        }
    }

    /// Freezes it (SIGSTOP): its connections stay open, and it answers nothing.
    pub fn freeze(&self) {
        cleanup::signal(self.pid(), "STOP");
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        cleanup::signal(self.pid(), "CONT");
    }

    /// Asks it to reload its settings.
    pub fn sighup(&mut self) {
        if self.ended().is_none() {
            cleanup::signal(self.pid(), "HUP");
        }
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.temp.ended(&mut self.group);
        }
        self.ended
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it still runs after `within`.
    pub async fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of `{}`", self.name);
        eventually(&what, within, async || self.ended()).await
    }

    /// The CPU time it has used, user and system.
    pub fn cpu_time(&self) -> Duration {
        cpu_time_of(self.pid())
    }

    /// The memory it holds (resident set), in bytes.
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kib * 1024
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs");
        open.count()
    }
}

/// The CPU time of a running process, user and system, of all its threads.
///
/// # Panics
/// When there is no such process.
pub fn cpu_time_of(pid: u32) -> Duration {
    cpu_time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs"))
}

/// The CPU time in the `stat` of a process or a thread.
pub fn cpu_time_in(stat: &str) -> Duration {
    // The name in parentheses may contain spaces; `utime` and `stime` are the 12th and 13th fields
    // after it (proc(5)), in ticks of 10 ms on every common Linux.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = |field: usize| -> u64 {
        fields
            .split_whitespace()
            .nth(field)
            .and_then(|ticks| ticks.parse().ok())
            .unwrap()
    };
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
        self.kill9();
    }
}

/// Names the binary under test, for whoever has just built it: `tests/run` has, with the features that the
/// tests add, and would build most of it once more without them.
pub const BINARY_VARIABLE: &str = "RINGBACK_E2E_BINARY";

/// The binary `ringback` next to the running test, built in the same profile, unless
/// [`BINARY_VARIABLE`] names another.
///
/// It is always built, not only when absent: a test of an old binary proves nothing.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os(BINARY_VARIABLE) {
            return binary.into();
        }
        let test = std::env::current_exe().expect("the test's own path");
        // TARGET/PROFILE/deps/TEST, or TARGET/PROFILE/PROGRAM
        let mut above = test.ancestors().skip(1);
        let profile = above
            .find(|it| !it.ends_with("deps"))
            .expect("a profile directory");
        let target = profile.parent().expect("a target directory");
        let profile_name = match profile.file_name().and_then(OsStr::to_str) {
            Some("debug") => "dev",
            Some(name) => name,
            None => panic!("{} is no profile directory", profile.display()),
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // Build scripts (ring's, for one) depend on the variables that cargo sets for a test. Left
        // in, they would cause a rebuild here and at the next `cargo test`.
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&key);
            }
        }
        let built = command
            .args([
                "build",
                "--quiet",
                "--locked",
                // The whole workspace, so that features are the same as in the tests' build.
                "--workspace",
                "--bin",
                "ringback",
            ])
            .args(["--profile", profile_name, "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "ringback does not build:\n{errors}");
        profile.join("ringback")
    })
}
