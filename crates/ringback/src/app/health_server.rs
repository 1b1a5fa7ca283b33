//! Health and metrics of a role without ingress, on their own address.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use runtime::http::serve_health;
use runtime::{Health, MetricsRegistry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::CommandError;

/// The server of the health and metrics pages.
pub(crate) struct HealthServer {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

impl HealthServer {
    /// Opens the pages. They show that the process drains once `process_stop` is cancelled.
    ///
    /// # Errors
    /// When the port is in use.
    pub(crate) fn open(
        listen: SocketAddr,
        metrics: MetricsRegistry,
        health: Arc<Health>,
        process_stop: CancellationToken,
    ) -> Result<Self, CommandError> {
        let stop = CancellationToken::new();
        let (address, serving) = serve_health(listen, metrics, Arc::clone(&health), stop.clone())?;
        tokio::spawn(async move {
            process_stop.cancelled().await;
            health.begin_draining();
        });
        Ok(Self {
            address,
            stop,
            serving: tokio::spawn(serving),
        })
    }

    /// Runs `work` to its end while the pages are served.
    ///
    /// # Errors
    /// Those of the work, or when the server ended first.
    pub(crate) async fn serve_while(
        &mut self,
        work: impl Future<Output = Result<(), CommandError>>,
    ) -> Result<(), CommandError> {
        tokio::select! {
            ended = work => ended,
            ended = &mut self.serving => {
                ended.map_err(io::Error::other)??;
                let sentence = "the health server ended unexpectedly";
                Err(CommandError::Failed(sentence.to_owned()))
            }
        }
    }

    /// Closes the pages: last of all, so that `/readyz` can show that the process drains.
    ///
    /// # Errors
    /// When the server failed.
    pub(crate) async fn close(self) -> Result<(), CommandError> {
        self.stop.cancel();
        Ok(self.serving.await.map_err(io::Error::other)??)
    }
}
