//! What does a host look like that takes no more connections? A listener whose queue is full: the
//! system then drops what asks for another, as a host does that is not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Whoever is not connected by then is not let in: over loopback it takes microseconds.
const LET_IN: Duration = Duration::from_millis(500);
/// More than any queue of one place has.
const MOST: usize = 64;

/// Such a listener on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Full {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Full {
    /// Starts it, and fills its queue.
    ///
    /// # Panics
    /// When it cannot listen, or its queue has no end.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut queue = Vec::new();
        while let Ok(connected) = tokio::time::timeout(LET_IN, TcpStream::connect(address)).await {
            queue.push(connected.expect("a connection"));
            assert!(queue.len() < MOST, "the queue has no end");
        }
        Self {
            address,
            _listener: listener,
            _queue: queue,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
