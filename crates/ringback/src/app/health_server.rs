//! Health pages, and perhaps metrics, on an address of their own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use runtime::Health;
use runtime::http::{HealthPages, HttpLimits, serve_health};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::CommandError;

/// A server of health pages.
pub(crate) struct HealthServer {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

impl HealthServer {
    /// Opens the pages; `name` is the listener's. They show that the process drains once `process_stop` is cancelled.
    ///
    /// # Errors
    /// When the port is in use.
    pub(crate) fn open(
        name: &'static str,
        listen: SocketAddr,
        pages: HealthPages,
        health: Arc<Health>,
        limits: &HttpLimits,
        process_stop: CancellationToken,
    ) -> Result<Self, CommandError> {
        let stop = CancellationToken::new();
        let (address, serving) = serve_health(
            name,
            listen,
            pages,
            Arc::clone(&health),
            limits,
            stop.clone(),
        )?;
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
