//! How is a process seen that has no door in?

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use boot::health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Frame;
use crate::failure::Failure;

/// Health and metrics on an address of their own.
pub(crate) struct Page {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

impl Page {
    /// Opens the page; it says that the process drains once the frame is told to stop.
    ///
    /// # Errors
    /// A port that is taken.
    pub(crate) fn open(listen: SocketAddr, frame: &Frame) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let (metrics, health) = (Arc::clone(&frame.metrics), Arc::clone(&frame.health));
        let (address, serving) = health::serve(listen, metrics, Arc::clone(&health), stop.clone())?;
        let told = frame.stop.clone();
        tokio::spawn(async move {
            told.cancelled().await;
            health.begin_draining();
        });
        Ok(Self {
            address,
            stop,
            serving: tokio::spawn(serving),
        })
    }

    /// Works to the end, while the page is there.
    ///
    /// # Errors
    /// The work's, or when the page ended by itself.
    pub(crate) async fn beside(
        &mut self,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        tokio::select! {
            ended = work => ended,
            ended = &mut self.serving => {
                ended.map_err(io::Error::other)??;
                Err(Failure::Found("the health page ended by itself".to_owned()))
            }
        }
    }

    /// Closes the page: last of all, so that `/readyz` could tell of the draining.
    ///
    /// # Errors
    /// When its server failed.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.stop.cancel();
        Ok(self.serving.await.map_err(io::Error::other)??)
    }
}
