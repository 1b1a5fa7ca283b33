//! What does a target look like that answers the first bytes whatever they are? A server of
//! another protocol, or of another time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Such a target on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Blunt {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    _stop: DropGuard,
}

impl Blunt {
    /// Starts it with what it says to the first bytes of every connection; then it says no more.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (heard, stop) = (Arc::<Mutex<_>>::default(), CancellationToken::new());
        let accepting = accept(listener, answer.into(), Arc::clone(&heard), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self {
            address,
            heard,
            _stop: stop.drop_guard(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came in over each connection, in the order in which they were made.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        lock(&self.heard).clone()
    }
}

fn lock(heard: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    answer: Vec<u8>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: CancellationToken,
) {
    let answer = Arc::new(answer);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let mut all = lock(&heard);
        let place = all.len();
        all.push(Vec::new());
        drop(all);
        let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            // That the client turns away is what it is for.
            let _left = serve(stream, &answer, |bytes| {
                lock(&heard)[place].extend_from_slice(bytes);
            })
            .await;
        }));
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &[u8],
    mut hear: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let mut answered = false;
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        hear(&bytes[..count]);
        if !answered {
            stream.write_all(answer).await?;
            // What is closed with bytes unread is reset, which is another answer.
            stream.shutdown().await?;
            answered = true;
        }
    }
}
