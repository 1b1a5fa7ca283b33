//! `ringback listen`: a practice callee that forwards what it receives to a developer's process.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Stdin};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use admin::AdminConfig;
use admin::cli::stdout::{print_line, print_notice};
use delivery::signature::Signer;
use runtime::{SecretRef, shutdown};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::app::listeners::{of_callee, refuse_taken};
use crate::error::CommandError;
use crate::practice_callee::forward::{Forwarder, serve_forwarding};

/// Where the practice callee of `ringback dev` listens as well.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5107);

/// Arguments of `ringback listen`.
#[derive(Debug, clap::Args)]
pub(super) struct ListenArgs {
    /// Your process: callbacks go to its path, or if it has none to the path of each callback.
    #[arg(long, value_name = "URL")]
    forward: Url,
    /// Where callbacks arrive: 127.0.0.1:5107, or if that is taken (by `ringback dev`) a free port.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Checks signatures (whsec_...), and signs replays anew; file:/path and env:NAME are read.
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// Answer 401 to what is not signed properly, and do not forward it.
    #[arg(long, requires = "secret")]
    verify: bool,
}

/// Serves until it is stopped.
///
/// # Errors
/// A secret that is none, a port in use, or a server that ended unexpectedly.
pub(super) async fn run(args: ListenArgs) -> Result<(), CommandError> {
    let listen = address(args.listen)?;
    let signer = args.secret.as_deref().map(signer).transpose()?;
    let show = |shown: &crate::practice_callee::forward::Shown| {
        let _ = print_line(&shown.to_string()); // Without a reader it still forwards.
    };
    let forwarder = Forwarder::new(args.forward.clone(), signer, args.verify, show)?;
    let forwarder = Arc::new(forwarder);
    let stop = shutdown::on_signals(false)?;
    let (address, serving) = serve_forwarding(Arc::clone(&forwarder), listen, stop.clone())?;
    let to = admin::cli::http::shown_url(&args.forward);
    let source = InputSource::of_stdin();
    let how = match source {
        InputSource::Keys => {
            "; r replays the last one, a digit the last whose number ends with it, q quits"
        }
        InputSource::Lines => "; a number and a line end replays it",
        InputSource::None => "",
    };
    print_line(&format!("callbacks to http://{address} go to {to}{how}"))?;
    serve_and_replay(serving, replay(forwarder, source, stop.clone()), &stop).await
}

/// Where to listen: where the option says, or else at the usual port if it is free.
///
/// # Errors
/// The port of the option is taken.
fn address(option: Option<SocketAddr>) -> Result<SocketAddr, CommandError> {
    let operators = AdminConfig::default().listen;
    if let Some(listen) = option {
        refuse_taken(&[of_callee(listen)], operators)?;
        return Ok(listen);
    }
    match refuse_taken(&[of_callee(USUAL_ADDRESS)], operators) {
        Ok(()) => Ok(USUAL_ADDRESS),
        Err(_) => {
            let port = USUAL_ADDRESS.port();
            print_notice(&format!(
                "port {port} is taken: another one is used (--listen sets it)"
            ));
            Ok(SocketAddr::new(USUAL_ADDRESS.ip(), 0))
        }
    }
}

/// Serves and replays until `stop`. Whatever ends, the other does not outlive it.
///
/// # Errors
/// A server that ended before.
async fn serve_and_replay(
    serving: impl Future<Output = io::Result<()>>,
    replaying: impl Future<Output = ()>,
    stop: &CancellationToken,
) -> Result<(), CommandError> {
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = replaying => serving.await,
    };
    served?;
    if !stop.is_cancelled() {
        let sentence = "the server ended unexpectedly";
        return Err(CommandError::Failed(sentence.to_owned()));
    }
    Ok(())
}

fn signer(text: &str) -> Result<Signer, CommandError> {
    let secret = SecretRef::new(text).read().map_err(CommandError::Failed)?;
    let signer = Signer::parse([secret.expose_secret()]);
    signer.map_err(|error| CommandError::Failed(format!("--secret: {error}")))
}

/// Where it is read what is to be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputSource {
    /// The keys of a terminal.
    Keys,
    Lines,
    /// In the background of a terminal: a read would stop the process.
    None,
}

impl InputSource {
    fn of_stdin() -> Self {
        let stdin = io::stdin();
        match stdin.is_terminal() {
            false => Self::Lines,
            // Without a foreground group that can be told, this is a terminal of our own.
            true => match tcgetpgrp(&stdin) {
                Ok(group) if group != getpgrp() => Self::None,
                _ => Self::Keys,
            },
        }
    }
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Replay(u64),
    Quit,
}

/// A line: a number, or nothing for the last message.
fn of_line(line: &str, last: u64) -> Option<Input> {
    match line.trim() {
        "" | "r" => Some(Input::Replay(last)),
        "q" => Some(Input::Quit),
        number => number
            .trim_start_matches('#')
            .parse()
            .ok()
            .map(Input::Replay),
    }
}

/// A key: a digit is the last message whose number ends with it.
fn of_key(key: u8, last: u64) -> Option<Input> {
    match key {
        b'r' | b'\n' => Some(Input::Replay(last)),
        b'q' => Some(Input::Quit),
        b'0'..=b'9' => {
            let digit = u64::from(key - b'0');
            let back = (last + 10 - digit) % 10;
            last.checked_sub(back)
                .filter(|number| *number > 0)
                .map(Input::Replay)
        }
        _ => None,
    }
}

/// Replays what is asked for, until `stop`; what is being replayed then is given up.
async fn replay(forwarder: Arc<Forwarder>, source: InputSource, stop: CancellationToken) {
    let (sender, wanted) = mpsc::channel(16);
    let keys = match source {
        InputSource::Keys => Keys::begin(),
        InputSource::Lines | InputSource::None => None,
    };
    if source != InputSource::None {
        let (reads_keys, messages) = (keys.is_some(), Arc::clone(&forwarder));
        // A thread of its own: a read of stdin cannot be given up, and ends with the process.
        std::thread::spawn(move || read_input(reads_keys, &messages, &sender));
    }
    let replaying = replay_wanted(&forwarder, wanted, &stop);
    stop.run_until_cancelled(replaying).await;
    drop(keys);
    stop.cancelled().await;
}

async fn replay_wanted(
    forwarder: &Forwarder,
    mut wanted: mpsc::Receiver<Input>,
    stop: &CancellationToken,
) {
    while let Some(input) = wanted.recv().await {
        match input {
            Input::Quit => stop.cancel(),
            Input::Replay(number) => {
                if !forwarder.replay(number).await {
                    print_notice(&format!("there is no message {number}, or no longer"));
                }
            }
        }
    }
}

fn read_input(reads_keys: bool, forwarder: &Forwarder, sender: &mpsc::Sender<Input>) {
    let stdin = io::stdin();
    if !reads_keys {
        for line in stdin.lock().lines() {
            let Ok(line) = line else {
                return;
            };
            match of_line(&line, forwarder.last()) {
                Some(input) if sender.blocking_send(input).is_err() => return,
                Some(_) => {}
                None => print_notice("write the number of a message"),
            }
        }
        return;
    }
    for key in stdin.lock().bytes() {
        let Ok(key) = key else {
            return;
        };
        if let Some(input) = of_key(key, forwarder.last())
            && sender.blocking_send(input).is_err()
        {
            return;
        }
    }
}

/// While it exists, the terminal hands over each key at once and does not show it.
struct Keys {
    stdin: Stdin,
    before: Termios,
}

impl Keys {
    /// `None`: stdin is no terminal.
    fn begin() -> Option<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &keys).ok()?;
        Some(Self { stdin, before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Fails only for a terminal that is gone.
        let _ = tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_by_itself_ends_the_command_with_an_error() {
        let stop = CancellationToken::new();
        let ended = serve_and_replay(ready(Ok(())), pending(), &stop).await;
        let sentence = ended.unwrap_err().to_string();
        assert!(sentence.contains("unexpectedly"), "{sentence}");
        let failed = Err(io::Error::other("no memory"));
        assert!(
            serve_and_replay(ready(failed), pending(), &stop)
                .await
                .is_err()
        );
        stop.cancel();
        let ended = serve_and_replay(ready(Ok(())), stop.cancelled(), &stop).await;
        assert!(ended.is_ok());
    }

    #[tokio::test]
    async fn a_replay_ends_at_the_stop() {
        runtime::telemetry::install_crypto();
        // It accepts, and never answers.
        let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}", hanging.local_addr().unwrap());
        let forwarder = Forwarder::new(to.parse().unwrap(), None, false, |_| ()).unwrap();
        let forwarder = Arc::new(forwarder);
        let stop = CancellationToken::new();
        let (address, serving) = serve_forwarding(
            Arc::clone(&forwarder),
            SocketAddr::from(([127, 0, 0, 1], 0)),
            stop.clone(),
        )
        .unwrap();
        let serving = tokio::spawn(serving);
        let client = admin::cli::http::client(std::time::Duration::from_secs(30));
        let client = client.tls_certs_only([]).build().unwrap();
        let asking = tokio::spawn(client.get(format!("http://{address}")).send());
        while forwarder.last() == 0 {
            tokio::task::yield_now().await;
        }
        let (sender, wanted) = mpsc::channel(1);
        sender.send(Input::Replay(1)).await.unwrap();
        let replaying = stop.run_until_cancelled(replay_wanted(&forwarder, wanted, &stop));
        let stopping = async {
            // Taken from the channel, so the replay has begun.
            sender.reserve().await.unwrap();
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(replaying, stopping);
        assert!(ended.is_none(), "the replay ended");
        serving.await.unwrap().unwrap();
        assert!(asking.await.unwrap().is_err());
    }

    #[test]
    fn a_line_is_a_number_and_a_key_is_its_last_digit() {
        assert_eq!(of_line("", 7), Some(Input::Replay(7)));
        assert_eq!(of_line(" 3\n", 7), Some(Input::Replay(3)));
        assert_eq!(of_line("#3", 7), Some(Input::Replay(3)));
        assert_eq!(of_line("q", 7), Some(Input::Quit));
        assert_eq!(of_line("three", 7), None);
        for (key, last, expected) in [
            (b'r', 12, Some(Input::Replay(12))),
            (b'2', 12, Some(Input::Replay(12))),
            (b'1', 12, Some(Input::Replay(11))),
            (b'3', 12, Some(Input::Replay(3))),
            (b'0', 12, Some(Input::Replay(10))),
            (b'5', 3, None),
            (b'1', 0, None),
            (b'q', 3, Some(Input::Quit)),
            (b'x', 3, None),
        ] {
            assert_eq!(of_key(key, last), expected, "{} of {last}", char::from(key));
        }
    }
}
