//! How does a test run a target that obeys? The practice callee, in this very process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringback::callee::{Book, serve_with};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A practice callee on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Callee {
    /// What it received.
    pub book: Arc<Book>,
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
        Self::start_with(Book::default()).await
    }

    /// Starts it with a book of another size.
    ///
    /// # Panics
    /// As [`Callee::start`].
    pub async fn start_with(book: Book) -> Self {
        let book = Arc::new(book);
        let stop = CancellationToken::new();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, server) =
            serve_with(book.clone(), listen, stop.clone()).expect("a practice callee");
        tokio::spawn(server);
        Self {
            book,
            address,
            _stop: stop.drop_guard(),
        }
    }

    /// The URL of one of its paths, for instance `/flaky/2`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
