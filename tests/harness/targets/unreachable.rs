//! A host that never accepts a connection: a listener whose queue is full. The system drops further
//! connection requests, as if the host were not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A connection that is not made by then is not accepted: over loopback it takes microseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// More than any queue of length one holds.
const MAX_QUEUE: usize = 64;

/// Such a listener on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct UnreachableHost {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl UnreachableHost {
    /// Starts it and fills its queue.
    ///
    /// # Panics
    /// When it cannot listen, or its queue never fills.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut queue = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await
        {
            queue.push(connected.expect("a connection"));
            assert!(queue.len() < MAX_QUEUE, "the queue never fills");
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
