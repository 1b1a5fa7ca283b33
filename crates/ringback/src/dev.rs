//! How does somebody see a callback delivered within a minute?
//!
//! Both doors and a practice callee in one process, with real ports and a real, durable queue.
//! Nothing is registered: callers name the practice callee by its URL, and the guard opens just that.

mod demo;
mod directory;
mod greeting;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use boot::settings::LogSettings;
use boot::{Loaded, health};
use broker::{Broker, State};
use delivery::Entry;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::callee;
use crate::failure::Failure;
use crate::role::{Frame, Links, both, stopped};
use crate::say::say;
use directory::Directory;

/// How long the broker may be silent before a hint is given.
const HINT_AFTER: Duration = Duration::from_secs(3);

/// What `ringback dev` was asked.
pub(crate) struct Asked {
    pub(crate) listen: SocketAddr,
    pub(crate) callee_listen: SocketAddr,
    /// Where the embedded store lies; without it, in a directory that goes with the process.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) demo: bool,
}

/// `ringback dev`.
///
/// # Errors
/// Settings that cannot be used, a port that is taken, or a part that ended by itself.
pub(crate) async fn run(mut loaded: Loaded, asked: Asked) -> Result<(), Failure> {
    let settings = &mut loaded.settings;
    settings.ingress.listen = asked.listen;
    if asked.demo {
        settings.retry.schedule = demo::SCHEDULE.to_vec();
    }
    let directory = Directory::choose(settings, asked.data_dir)?;
    let place = match (&settings.broker.url, &settings.broker.data_dir) {
        (Some(url), _) => format!("RabbitMQ at {}", place_of(url.expose_secret())),
        (None, Some(path)) => format!("the embedded store in {}{directory}", path.display()),
        (None, None) => String::new(), // The broker's opening refuses it.
    };
    tracing::debug!(settings = settings.to_toml_redacted(), "starting");
    let settings = &loaded.settings;
    let mut frame = Frame::begin(&loaded, "dev", Links::Both, directory.for_journal())?;

    let callee_stop = CancellationToken::new();
    let (callee_at, callee) = callee::serve(asked.callee_listen, callee_stop.clone())
        .map_err(|error| health::cannot_listen(asked.callee_listen, &error))?;
    let callee_at = reachable(callee_at);
    let callee = tokio::spawn(callee);

    let guards = frame.guards(vec![Entry::Socket(callee_at)]);
    let doors = both::open(&mut frame, settings, &guards)?;
    if !asked.demo {
        frame.follow(); // Else the settings would take the demo's schedule away.
    }
    let ingress_at = reachable(doors.address);
    let operators_at = reachable(doors.operators.address);
    let (broker, demo) = (frame.broker.clone(), asked.demo);
    tokio::spawn(async move {
        let greeting = greeting::greeting(&place, ingress_at, callee_at, operators_at);
        if greet(broker, &place, &greeting).await && demo {
            demo::run(ingress_at, callee_at).await;
        }
    });
    let ended = doors.until_stopped(&frame, settings).await;
    frame.close().await;
    // The callee last: attempts under way needed it.
    callee_stop.cancel();
    callee.await.map_err(std::io::Error::other)??;
    drop(directory);
    ended?;
    stopped("dev", true)
}

/// What `dev` logs: what is asked for, and else each callback that comes in as well.
pub(crate) fn log(settings: &LogSettings) -> LogSettings {
    let usual = LogSettings::default().level;
    let level = if settings.level == usual {
        format!("{usual},ingress=debug")
    } else {
        settings.level.clone()
    };
    LogSettings {
        format: settings.format,
        level,
    }
}

/// Says how to go on once the broker is there, and what is missing while it is not.
async fn greet(broker: Broker, place: &str, greeting: &str) -> bool {
    let (mut publishing, mut consuming) = (broker.publishing(), broker.consuming());
    let connected = async {
        let publishing = publishing.wait_for(State::is_up).await.is_ok();
        publishing && consuming.wait_for(State::is_up).await.is_ok()
    };
    tokio::pin!(connected);
    let up = match tokio::time::timeout(HINT_AFTER, &mut connected).await {
        Ok(up) => up,
        Err(_) => {
            let state = broker.publishing().borrow().to_string();
            let _ = say(&greeting::hint(place, &state));
            connected.await
        }
    };
    // Whoever closed stdout does not want to know.
    up && say(greeting).is_ok()
}

/// Host and port of the broker, without user and password.
fn place_of(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "its URL".to_owned(); // It is refused soon after.
    };
    let usual = if url.scheme() == "amqps" { 5671 } else { 5672 };
    let host = url.host_str().unwrap_or("localhost");
    format!("{host}:{}", url.port().unwrap_or(usual))
}

/// Where a server is reached from this machine: a wildcard address is no address to call.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_reached_by_loopback() {
        for (bound, expected) in [
            ("0.0.0.0:5107", "127.0.0.1:5107"),
            ("[::]:5107", "[::1]:5107"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(reachable(bound.parse().unwrap()), expected);
        }
    }

    #[test]
    fn the_brokers_place_is_told_without_its_password() {
        for (url, expected) in [
            ("amqp://guest:guest@127.0.0.1:5672/%2f", "127.0.0.1:5672"),
            ("amqps://user:word@broker.example/v", "broker.example:5671"),
            ("amqp://user:word@[::1]:5673", "[::1]:5673"),
        ] {
            assert_eq!(place_of(url), expected);
        }
    }
}
