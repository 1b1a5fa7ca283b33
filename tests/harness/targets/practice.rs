//! The product's practice callee, run in the test's own process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringback::practice_callee::{RequestLog, serve_with};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A practice callee on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Callee {
    /// What it has received.
    pub requests: Arc<RequestLog>,
    /// Where it listens.
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Callee {
    /// Starts it on the current runtime.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        Self::start_with(RequestLog::default())
    }

    /// Starts one that forgets no request of a whole run.
    ///
    /// # Panics
    /// As [`Callee::start`].
    pub async fn start_with_full_log() -> Self {
        // More than any run sends.
        Self::start_with(RequestLog::bounded(1_000_000, 1 << 30))
    }

    fn start_with(requests: RequestLog) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_on(listen, requests)
    }

    /// Starts it at this address.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn start_at(listen: SocketAddr) -> Self {
        Self::start_on(listen, RequestLog::default())
    }

    fn start_on(listen: SocketAddr, requests: RequestLog) -> Self {
        let (requests, stop) = (Arc::new(requests), CancellationToken::new());
        let (address, server) =
            serve_with(requests.clone(), listen, stop.clone()).expect("a practice callee");
        tokio::spawn(server);
        Self {
            requests,
            address,
            _stop: stop.drop_guard(),
        }
    }

    /// The URL of one of its paths, for instance `/flaky/2`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
