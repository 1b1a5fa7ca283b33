//! What a thousand hostile connections cost a process in memory, by kind and listener.
//!
//! Each cell is measured in a process of its own: a process does not give freed memory back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::{HostileConnections, HostileKind, Process, eventually};
use tokio::net::TcpStream;

use super::Plan;
use super::figures::Figures;

const CONNECTIONS: usize = 1_000;
const KIB: f64 = 1_024.0;
const START: Duration = Duration::from_secs(60);
const SAMPLE: Duration = Duration::from_millis(10);
const NO_BROKER: &str = "amqp://127.0.0.1:1/%2f";

/// A listener, the command that opens it, and a path that needs no credentials.
const LISTENERS: [(&str, &str, &str); 5] = [
    ("callers", "serve", "/nothing"),
    ("operators", "serve", "/admin/v1/callbacks"),
    ("metrics", "serve", "/metrics"),
    ("health", "dispatcher", "/healthz"),
    ("practice callee", "callee", "/received/count"),
];

/// Measures all kinds on all listeners.
///
/// # Panics
/// When a process does not start.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let mut figures = Figures::default();
    for (listener, command, path) in LISTENERS {
        for kind in HostileKind::ALL {
            let each = cost(listener, command, path, kind, plan.seconds).await;
            figures.add(&format!("{listener}: {}", kind.as_str()), "KiB each", each);
        }
    }
    figures
}

async fn cost(listener: &str, command: &str, path: &str, kind: HostileKind, time: Duration) -> f64 {
    let temp = TempDirectory::new("hostile");
    let data = temp.path().join("data").display().to_string();
    let [callers, operators, metrics, callee] =
        [(); 4].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let (callee_text, callers_text) = (callee.to_string(), callers.to_string());
    let (operators_text, metrics_text) = (operators.to_string(), metrics.to_string());
    let mut environment = vec![
        ("RINGBACK__ADMIN__LISTEN", &*operators_text),
        ("RINGBACK__ADMIN__TOKEN", "a-token-0123456789"),
        ("RINGBACK__METRICS__LISTEN", &*metrics_text),
    ];
    let mut arguments = vec![command];
    let address = match (command, listener) {
        ("callee", _) => {
            arguments.extend(["--listen", &*callee_text]);
            callee
        }
        ("dispatcher", _) => {
            environment.push(("RINGBACK__DISPATCHER__LISTEN", &*callers_text));
            environment.push(("RINGBACK__BROKER__URL", NO_BROKER));
            callers
        }
        (_, listener) => {
            environment.push(("RINGBACK__INGRESS__LISTEN", &*callers_text));
            environment.push(("RINGBACK__BROKER__DATA_DIR", &*data));
            match listener {
                "operators" => operators,
                "metrics" => metrics,
                _ => callers,
            }
        }
    };
    let process = Process::ringback(&arguments, environment);
    eventually("the listener", START, async || {
        let opened = TcpStream::connect(address).await;
        opened.map(drop).map_err(|error| error.to_string())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = process.rss();
    let _hostile = HostileConnections::open(kind, address, path, CONNECTIONS).await;
    let (begun, mut most) = (Instant::now(), before);
    while begun.elapsed() < time {
        most = most.max(process.rss());
        tokio::time::sleep(SAMPLE).await;
    }
    (most - before) as f64 / KIB / CONNECTIONS as f64
}
