//! Graceful stop on SIGTERM and SIGINT, and on SIGHUP where it does not reload.
//!
//! The first signal cancels the token. A second one of either kind ends the process at once. Two
//! within [`REPEAT_WINDOW`] are one: `timeout`, and shells with their process groups, send it
//! twice.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process ended by a second signal: the one that shells report for SIGINT.
pub const FORCED_EXIT_CODE: i32 = 130;

/// Signals closer together than this are one request to stop.
const REPEAT_WINDOW: Duration = Duration::from_secs(1);

/// A token that is cancelled by the first SIGTERM or SIGINT; a second ends the process. With `hang_up`
/// SIGHUP is one of them, unless the process was started to ignore it, as `nohup` does.
///
/// Call it inside a Tokio runtime, before any work begins: from then on these signals no longer
/// kill the process by themselves.
///
/// # Errors
/// When the system does not let the process listen for signals.
pub fn on_signals(hang_up: bool) -> io::Result<CancellationToken> {
    let mut signals = Signals {
        term: signal(SignalKind::terminate())?,
        int: signal(SignalKind::interrupt())?,
        hup: (hang_up && !hang_up_is_ignored())
            .then(|| signal(SignalKind::hangup()))
            .transpose()?,
    };
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        // Before logging: a broken log must not keep the process from stopping.
        stop.cancel();
        tracing::info!(
            signal = name,
            "stopping; a second signal ends the process at once"
        );
        let first = Instant::now();
        let mut name = signals.next().await;
        while first.elapsed() < REPEAT_WINDOW {
            name = signals.next().await;
        }
        tracing::warn!(
            signal = name,
            "ended by a second signal; unfinished work is abandoned"
        );
        std::process::exit(FORCED_EXIT_CODE);
    });
    Ok(token)
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Option<Signal>,
}

/// Whether this process ignores SIGHUP, as Linux shows it.
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hang_up(&status)
}

/// Bit 0 of the mask of ignored signals is signal 1 (proc(5)).
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            Some(()) = received(&mut self.hup) => "SIGHUP",
        }
    }
}

async fn received(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, ChildStdout, Command, Stdio};

    use super::*;

    const HELPER: &str = "shutdown::tests::helper_that_waits_to_be_stopped";

    /// Not a test by itself: the process that the tests below send signals to. With `FINISH` it
    /// ends after the first signal.
    #[tokio::test]
    #[ignore = "run by the other tests as a separate process"]
    async fn helper_that_waits_to_be_stopped() {
        let stop = on_signals(true).unwrap();
        println!("\nready");
        stop.cancelled().await;
        println!("stopping");
        if std::env::var_os("FINISH").is_none() {
            std::future::pending::<()>().await;
        }
    }

    fn start(finish: bool) -> (Child, BufReader<ChildStdout>) {
        // Under `nohup` the helper would rightly ignore SIGHUP.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=HUP")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", HELPER, "--ignored", "--nocapture"])
            .stdout(Stdio::piped());
        if finish {
            command.env("FINISH", "1");
        }
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        (child, stdout)
    }

    fn wait_for(line: &str, stdout: &mut BufReader<ChildStdout>) {
        let found = stdout
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .any(|found| found == line);
        assert!(found, "the process ended without the line {line:?}");
    }

    fn send(signal: &str, child: &Child) {
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    #[test]
    fn the_first_signal_asks_for_a_graceful_stop() {
        for signal in ["-TERM", "-INT", "-HUP"] {
            let (mut child, mut stdout) = start(true);
            wait_for("ready", &mut stdout);
            send(signal, &child);
            wait_for("stopping", &mut stdout);
            io::copy(&mut stdout, &mut io::sink()).unwrap();
            assert!(child.wait().unwrap().success(), "{signal}");
        }
    }

    #[test]
    fn a_process_that_ignores_sighup_goes_on_ignoring_it() {
        let status = |mask: &str| format!("Name:\tx\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert!(ignores_hang_up(&status("0000000000001001")));
        assert!(!ignores_hang_up(&status("0000000000001000")));
        assert!(!ignores_hang_up(""));
    }

    #[test]
    fn signals_in_quick_succession_are_one() {
        let (mut child, mut stdout) = start(false);
        wait_for("ready", &mut stdout);
        send("-TERM", &child);
        wait_for("stopping", &mut stdout);
        // Many, so that a process that counts the second one has ended before the last; by one command,
        // so that they are quick on a busy machine too.
        let pids = vec![child.id().to_string(); 50];
        let sent = Command::new("kill").arg("-TERM").args(&pids).status();
        assert!(sent.unwrap().success());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
    }

    #[test]
    fn a_second_signal_ends_the_process_at_once() {
        for (first, second) in [("-TERM", "-INT"), ("-INT", "-INT"), ("-TERM", "-TERM")] {
            let (mut child, mut stdout) = start(false);
            wait_for("ready", &mut stdout);
            send(first, &child);
            wait_for("stopping", &mut stdout);
            // Sent again and again: the first second of it counts as one signal.
            let begun = Instant::now();
            let ended = loop {
                send(second, &child);
                if let Some(ended) = child.try_wait().unwrap() {
                    break ended;
                }
                assert!(begun.elapsed() < 10 * REPEAT_WINDOW, "{first} {second}");
            };
            assert_eq!(ended.code(), Some(FORCED_EXIT_CODE), "{first} {second}");
        }
    }
}
