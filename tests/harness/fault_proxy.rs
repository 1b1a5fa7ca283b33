//! A broken network: a loopback proxy that can stall or cut its connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the proxy does with existing connections and with new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Everything passes.
    Pass,
    /// The server's bytes are held back until the state is `Pass` again; the client's bytes pass.
    /// Lost packets that TCP sends again later look like this.
    BlackHole,
    /// All connections are closed; new ones are closed at once.
    Cut,
}

/// A proxy on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: watch::Sender<LinkState>,
    _stop: DropGuard,
}

impl FaultProxy {
    /// Starts it in front of the server at this port of 127.0.0.1.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (state, stop) = (
            watch::Sender::new(LinkState::Pass),
            CancellationToken::new(),
        );
        tokio::spawn(accept(listener, port, state.clone(), stop.clone()));
        Self {
            address,
            state,
            _stop: stop.drop_guard(),
        }
    }

    /// Changes the state.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }
}

async fn accept(
    listener: TcpListener,
    port: u16,
    state: watch::Sender<LinkState>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((client, _)) = accepted else { continue };
        let (state, stop) = (state.subscribe(), stop.clone());
        tokio::spawn(async move {
            let mut cut = state.clone();
            tokio::select! {
                // A connection ends when either side leaves.
                _left = join(client, port, state) => {}
                _cut = cut.wait_for(|state| *state == LinkState::Cut) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn join(client: TcpStream, port: u16, state: watch::Receiver<LinkState>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        pass_on(from_client, to_server, None),
        pass_on(from_server, to_client, Some(state)),
    )?;
    Ok(())
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: Option<watch::Receiver<LinkState>>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if let Some(state) = &mut state {
            // An error means that the proxy is gone; this task ends soon.
            let _ = state.wait_for(|state| *state != LinkState::BlackHole).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(200);

    /// An echo server's port.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        port
    }

    async fn exchange(stream: &mut TcpStream, word: &[u8; 2]) -> io::Result<[u8; 2]> {
        stream.write_all(word).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_connection_passes_stalls_and_is_cut() {
        let proxy = FaultProxy::before(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(exchange(&mut stream, b"ab").await.unwrap(), *b"ab");

        proxy.set(LinkState::BlackHole);
        stream.write_all(b"cd").await.unwrap();
        let mut answer = [0; 2];
        let silent = tokio::time::timeout(SILENCE, stream.read(&mut answer)).await;
        assert!(silent.is_err(), "{silent:?}");

        proxy.set(LinkState::Pass);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"cd");

        proxy.set(LinkState::Cut);
        exchange(&mut stream, b"ef").await.unwrap_err();
        let mut next = TcpStream::connect(proxy.address).await.unwrap();
        exchange(&mut next, b"gh").await.unwrap_err();
        proxy.set(LinkState::Pass);
        let mut next = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(exchange(&mut next, b"ij").await.unwrap(), *b"ij");
    }
}
