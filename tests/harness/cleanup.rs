//! Cleaning up after a test that is done, has failed, or was killed.
//!
//! A [`TempDirectory`] holds the processes that use it and a reaper: a small shell that reads from
//! a pipe to this process. When the pipe closes, for whatever reason, the reaper kills the process
//! groups registered with it and removes the directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

/// Reads `hold GROUP` and `free GROUP` until the pipe closes. Removing the directory is retried
/// because a killed process may still be finishing a write.
const REAPER: &str = r#"
trap '' INT TERM HUP
groups=' '
while read -r word group; do
  case $word in
    hold) groups="$groups$group " ;;
    free) case $groups in
      *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;;
    esac ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
for try in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$1" 2>/dev/null
  [ -e "$1" ] || exit 0
  sleep 0.1
done
"#;

/// Waits for a word before it becomes the program, so that the reaper knows every program that
/// runs. If we die first, the pipe closes and the program never runs.
const LAUNCHER: &str = r#"read -r word && exec "$@" </dev/null"#;

/// A temporary directory and the processes that use it. Both are gone when it is dropped.
#[derive(Debug)]
pub struct TempDirectory {
    directory: PathBuf,
    reaper: Mutex<Reaper>,
}

#[derive(Debug)]
struct Reaper {
    shell: Child,
    pipe: Option<ChildStdin>,
}

/// A process group started in a temporary directory.
#[derive(Debug)]
pub struct ChildGroup {
    /// The leader; not yet waited for.
    pub leader: Child,
    /// Where its standard output and error go.
    pub log: PathBuf,
}

impl TempDirectory {
    /// A new directory `ringback-KIND-UUID` in the system's temporary directory.
    pub fn new(kind: &str) -> Self {
        let name = format!("ringback-{kind}-{}", uuid::Uuid::now_v7().simple());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a temporary directory");
        let mut shell = Command::new("sh")
            .args(["-c", REAPER, "reaper"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C at the terminal must not reach it.
            .spawn()
            .expect("a shell as reaper");
        let pipe = shell.stdin.take();
        Self {
            directory,
            reaper: Mutex::new(Reaper { shell, pipe }),
        }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The process id of the reaper.
    pub fn reaper_pid(&self) -> u32 {
        self.reaper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .shell
            .id()
    }

    /// Starts `command` (program, arguments, changes to the environment) in a process group of
    /// its own, without input, its output appended to `NAME.log` in the directory.
    pub fn start(&self, name: &str, command: &Command) -> ChildGroup {
        let log = self.directory.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let errors = output.try_clone().expect("a log file");
        let mut launcher = Command::new("sh");
        launcher
            .args(["-c", LAUNCHER, "launcher"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => launcher.env(key, value),
                None => launcher.env_remove(key),
            };
        }
        let mut leader = launcher.spawn().expect("a shell as launcher");
        self.notify_reaper("hold", leader.id());
        let mut pipe = leader.stdin.take().expect("the launcher's input");
        pipe.write_all(b"go\n").expect("the launcher listens");
        ChildGroup { leader, log }
    }

    /// Kills the whole process group with SIGKILL and waits for its leader.
    pub fn kill(&self, group: &mut ChildGroup) -> ExitStatus {
        // The group's number cannot be reused before we have waited for the leader.
        signal_group(group.leader.id(), "KILL");
        let ended = group.leader.wait().expect("a child of ours");
        self.notify_reaper("free", group.leader.id());
        ended
    }

    /// The leader's exit status, if it has ended.
    pub fn ended(&self, group: &mut ChildGroup) -> Option<ExitStatus> {
        let ended = group.leader.try_wait().expect("a child of ours");
        if ended.is_some() {
            self.notify_reaper("free", group.leader.id());
        }
        ended
    }

    fn notify_reaper(&self, word: &str, group: u32) {
        let mut reaper = self.reaper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut reaper.pipe {
            writeln!(pipe, "{word} {group}").expect("the reaper listens");
        }
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let reaper = self
            .reaper
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        drop(reaper.pipe.take());
        let _ = reaper.shell.wait();
    }
}

/// Sends a signal to a process that we started and have not waited for.
pub fn signal(pid: u32, name: &str) {
    send(name, &pid.to_string());
}

fn signal_group(group: u32, name: &str) {
    send(name, &format!("-{group}"));
}

/// Uses the shell's `kill`: the standard library has none, and unsafe code is forbidden. A target
/// that is gone already is no error.
fn send(name: &str, target: &str) {
    let sent = Command::new("sh")
        .args(["-c", r#"kill -s "$1" -- "$2""#, "kill", name, target])
        .stderr(Stdio::null())
        .status();
    sent.expect("a shell to send a signal");
}

/// The last `lines` lines of a log, for the message of a panic.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error: io::Error| format!("(no log: {error})"));
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
