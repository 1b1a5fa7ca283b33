//! `ringback dev`: ingress, dispatcher and a practice callee in one process.
//!
//! Real ports and a real, durable queue. Nothing is registered: callers name the practice callee by
//! its URL, which the address guard allows.
//!
//! - `banner.rs`: what is printed once everything is ready
//! - `demo.rs`: three callbacks, one for each way to end
//! - `log_lines.rs`: one short line for each attempt, and hints
//! - `data_dir.rs`: the directory of queue and journal
//! - `temporary_dir.rs`: a directory that is removed at the end, and those that dead processes have left

mod banner;
mod data_dir;
mod demo;
mod log_lines;
mod temporary_dir;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use admin::AdminConfig;
use admin::cli::http::reachable;
use admin::cli::stdout::print_line;
use broker::rabbitmq::split_urls;
use broker::{Broker, ConnectionState};
use delivery::AddressRule;
use runtime::http::{MetricsConfig, listen};
use runtime::telemetry::LogConfig;
use runtime::{Config as _, Loaded};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::app::combined::Combined;
use crate::app::listeners::{of_dev, refuse_taken};
use crate::app::role::ProcessRole;
use crate::app::settings::Settings;
use crate::app::{Additions, App};
use crate::error::CommandError;
use crate::practice_callee;
use banner::Banner;
use data_dir::DataDir;
pub(crate) use log_lines::event_lines;

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
    /// Where the operators' API listens, whatever admin.listen says.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Where the metrics are served, whatever metrics.listen says.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Let callbacks reach this as well, in addition to guard.allow: 127.0.0.1:3000, 10.0.0.0/8,
    /// app.internal. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    allow: Vec<AddressRule>,
    /// The directory of the embedded store and the journal; it is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Send three callbacks at the start, with a short schedule: one for each way to end.
    #[arg(long)]
    demo: bool,
    /// Log all fields of each event.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// The log settings. By default accepted callbacks and deferrals are logged as well.
pub(crate) fn log_config(config: &LogConfig) -> LogConfig {
    let default = LogConfig::default().level;
    let level = if config.level == default {
        format!("{default},ingress=debug,dispatcher::deferral=debug")
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
    settings.ingress.api_page = true;
    settings.admin.api_page = true;
    if args.demo {
        settings.retry.schedule = demo::SCHEDULE.to_vec();
    }
    let taken = set_listeners(settings, &args);
    let listeners = of_dev(
        settings.ingress.listen,
        args.callee_listen,
        settings.admin.listen,
        settings.metrics.listen,
    );
    refuse_taken(&listeners, taken.unwrap_or(settings.admin.listen))?;
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
        allow: args
            .allow
            .iter()
            .cloned()
            .chain([AddressRule::Socket(callee_at)])
            .collect(),
    };
    let mut app = App::start(&loaded, ProcessRole::Dev, additions)?;
    let combined = Combined::open(&mut app, settings)?;
    let mut metrics = app.serve_metrics(settings.metrics.listen)?;
    if !args.demo {
        app.follow_settings(); // A reload would replace the demo's schedule.
    }
    let ingress_at = reachable(combined.ingress.address);
    let banner = Banner {
        queue: queue.clone(),
        ingress: ingress_at,
        callee: callee_at,
        admin: reachable(combined.admin.address),
        taken,
        metrics: reachable(metrics.address),
        allow: args.allow,
        program: runtime::program::name(),
    };
    let (broker, demo) = (app.broker.clone(), args.demo);
    let greeting = async move {
        if print_when_ready(broker, &queue, &banner.to_string()).await && demo {
            demo::run(ingress_at, callee_at).await;
        }
    };
    tokio::spawn(app.stop.clone().run_until_cancelled_owned(greeting));
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

/// Sets the addresses that the options name. Where another process has the default port of the
/// operators' API or the metrics, a free one is taken. Returns the operators' address that is taken.
/// Call it inside a Tokio runtime.
fn set_listeners(settings: &mut Settings, args: &DevArgs) -> Option<SocketAddr> {
    let admin = args.admin_listen.unwrap_or(settings.admin.listen);
    let is_default = admin == AdminConfig::default().listen;
    settings.admin.listen = free_or_any(admin, is_default);
    let metrics = args.metrics_listen.unwrap_or(settings.metrics.listen);
    let is_default = metrics == MetricsConfig::default().listen;
    settings.metrics.listen = free_or_any(metrics, is_default);
    (settings.admin.listen != admin).then_some(admin)
}

/// The address, or a free port of it if that is allowed and the address is taken.
fn free_or_any(address: SocketAddr, may_differ: bool) -> SocketAddr {
    let is_taken = || {
        let opened = listen(address);
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    match may_differ && is_taken() {
        true => SocketAddr::new(address.ip(), 0),
        false => address,
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

    #[tokio::test]
    async fn only_a_default_port_that_is_taken_gives_way_to_a_free_one() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let any = SocketAddr::new(address.ip(), 0);
        assert_eq!(free_or_any(address, true), any);
        assert_eq!(free_or_any(address, false), address);
        drop(taken);
        assert_eq!(free_or_any(address, true), address);
    }

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
