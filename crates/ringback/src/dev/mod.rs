//! `ringback dev`: ingress, dispatcher and a practice callee in one process.
//!
//! Real ports and a real, durable queue. Nothing is registered: callers name the practice callee by
//! its URL, which the address guard allows.
//!
//! - `banner.rs`: what is printed once everything is ready
//! - `demo.rs`: three callbacks, one for each way to end
//! - `data_dir.rs`: the directory of queue and journal

mod banner;
mod data_dir;
mod demo;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use admin::cli::http::reachable;
use admin::cli::stdout::print_line;
use broker::rabbitmq::split_urls;
use broker::{Broker, ConnectionState};
use delivery::AddressRule;
use runtime::http::MetricsConfig;
use runtime::telemetry::LogConfig;
use runtime::{Config as _, Loaded};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::app::combined::Combined;
use crate::app::health_server::HealthServer;
use crate::app::role::ProcessRole;
use crate::app::settings::Settings;
use crate::app::{Additions, App};
use crate::error::CommandError;
use crate::practice_callee;
use data_dir::DataDir;

/// How long the broker may be silent before a hint is printed.
const HINT_DELAY: Duration = Duration::from_secs(3);

/// Arguments of `ringback dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Where ingress listens, whatever ingress.listen says.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5106")]
    pub(crate) listen: SocketAddr,
    /// Where the practice callee listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5107")]
    pub(crate) callee_listen: SocketAddr,
    /// The directory of the embedded store and the journal; it is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Send three callbacks at the start, with a short schedule: one for each way to end.
    #[arg(long)]
    demo: bool,
}

/// The log settings. By default accepted callbacks are logged as well.
pub(crate) fn log_config(config: &LogConfig) -> LogConfig {
    let default = LogConfig::default().level;
    let level = if config.level == default {
        format!("{default},ingress=debug")
    } else {
        config.level.clone()
    };
    LogConfig {
        format: config.format,
        level,
    }
}

/// Runs until it is stopped.
///
/// # Errors
/// Settings that cannot be used, a port in use, or a part that ended unexpectedly.
pub(crate) async fn run(mut loaded: Loaded<Settings>, args: DevArgs) -> Result<(), CommandError> {
    let settings = &mut loaded.settings;
    settings.ingress.listen = args.listen;
    if args.demo {
        settings.retry.schedule = demo::SCHEDULE.to_vec();
    }
    let data_dir = DataDir::choose(settings, args.data_dir)?;
    let queue = match (&settings.broker.url, &settings.broker.data_dir) {
        (Some(urls), _) => {
            let nodes: Vec<String> = split_urls(urls.expose_secret())
                .map(host_and_port)
                .collect();
            format!("RabbitMQ at {}", nodes.join(", "))
        }
        (None, Some(path)) => format!("the embedded store in {}{data_dir}", path.display()),
        (None, None) => String::new(), // Refused when the broker is opened.
    };
    tracing::debug!(settings = settings.to_toml_redacted(), "starting");
    let settings = &loaded.settings;

    let callee_stop = CancellationToken::new();
    let (callee_at, callee) = practice_callee::serve(args.callee_listen, callee_stop.clone())?;
    let callee_at = reachable(callee_at);
    let callee = tokio::spawn(callee);

    let additions = Additions {
        journal_directory: data_dir.for_journal(),
        allow: vec![AddressRule::Socket(callee_at)],
    };
    let mut app = App::start(&loaded, ProcessRole::Dev, additions)?;
    let combined = Combined::open(&mut app, settings)?;
    let mut metrics = serve_metrics(&app, settings.metrics.listen)?;
    if !args.demo {
        app.follow_settings(); // A reload would replace the demo's schedule.
    }
    let ingress_at = reachable(combined.ingress.address);
    let admin_at = reachable(combined.admin.address);
    let metrics_at = reachable(metrics.address);
    let (broker, demo) = (app.broker.clone(), args.demo);
    tokio::spawn(async move {
        let banner = banner::banner(&queue, ingress_at, callee_at, admin_at, metrics_at);
        if print_when_ready(broker, &queue, &banner).await && demo {
            demo::run(ingress_at, callee_at).await;
        }
    });
    let ended = metrics.serve_while(combined.run(&app, settings)).await;
    app.close().await;
    // The callee stops last: attempts in flight need it.
    callee_stop.cancel();
    callee.await.map_err(std::io::Error::other)??;
    drop(data_dir);
    ended?;
    metrics.close().await?;
    ProcessRole::Dev.ended(true)
}

/// Opens the metrics, on a free port if another process has the default one.
fn serve_metrics(app: &App, listen: SocketAddr) -> Result<HealthServer, CommandError> {
    let opened = app.serve_metrics(listen);
    let is_default = listen == MetricsConfig::default().listen;
    match opened {
        Err(CommandError::System(error)) if is_default && error.kind() == ErrorKind::AddrInUse => {
            app.serve_metrics(SocketAddr::new(listen.ip(), 0))
        }
        opened => opened,
    }
}

/// Prints the banner once the broker is connected, and a hint if that takes long. Returns whether the
/// banner was printed.
async fn print_when_ready(broker: Broker, queue: &str, banner: &str) -> bool {
    let (mut publishing, mut consuming) = (broker.publishing(), broker.consuming());
    let connected = async {
        let publishing = publishing.wait_for(ConnectionState::is_up).await.is_ok();
        publishing && consuming.wait_for(ConnectionState::is_up).await.is_ok()
    };
    tokio::pin!(connected);
    let up = match tokio::time::timeout(HINT_DELAY, &mut connected).await {
        Ok(up) => up,
        Err(_) => {
            let state = broker.publishing().borrow().to_string();
            let _ = print_line(&banner::hint(queue, &state));
            connected.await
        }
    };
    // Without stdout the demo has no reader either.
    up && print_line(banner).is_ok()
}

/// Host and port of the broker, without user and password.
fn host_and_port(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "its URL".to_owned(); // Refused when the broker is opened.
    };
    let default = if url.scheme() == "amqps" { 5671 } else { 5672 };
    let host = url.host_str().unwrap_or("localhost");
    format!("{host}:{}", url.port().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_address_is_shown_without_its_password() {
        for (url, expected) in [
            ("amqp://guest:guest@127.0.0.1:5672/%2f", "127.0.0.1:5672"),
            ("amqps://user:word@broker.example/v", "broker.example:5671"),
            ("amqp://user:word@[::1]:5673", "[::1]:5673"),
        ] {
            assert_eq!(host_and_port(url), expected);
        }
    }
}
