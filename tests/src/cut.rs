//! What does a broken network look like? A loopback proxy that can fall silent or cut the line.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the line does, with connections that stand and with new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Pass,
    /// What the server says is held back until the line passes again; the client is heard. So do
    /// lost packets look that TCP sends again later.
    BlackHole,
    /// All connections are closed, and new ones at once.
    Cut,
}

/// A proxy on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Cut {
    /// Where it listens.
    pub address: SocketAddr,
    line: watch::Sender<Line>,
    _stop: DropGuard,
}

impl Cut {
    /// Starts it before the server at this port of 127.0.0.1, on the current runtime.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (line, stop) = (watch::Sender::new(Line::Pass), CancellationToken::new());
        tokio::spawn(accept(listener, port, line.clone(), stop.clone()));
        Self {
            address,
            line,
            _stop: stop.drop_guard(),
        }
    }

    /// From now on the line does this.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn accept(
    listener: TcpListener,
    port: u16,
    line: watch::Sender<Line>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((client, _)) = accepted else { continue };
        let (line, stop) = (line.subscribe(), stop.clone());
        tokio::spawn(async move {
            let mut cut = line.clone();
            tokio::select! {
                // That either side leaves is how a connection ends.
                _left = join(client, port, line) => {}
                _cut = cut.wait_for(|line| *line == Line::Cut) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn join(client: TcpStream, port: u16, line: watch::Receiver<Line>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        pass_on(from_client, to_server, None),
        pass_on(from_server, to_client, Some(line)),
    )?;
    Ok(())
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: Option<watch::Receiver<Line>>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if let Some(line) = &mut line {
            // An error says that the proxy is gone, and with it this task soon.
            let _ = line.wait_for(|line| *line != Line::BlackHole).await;
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

    const MOMENT: Duration = Duration::from_millis(200);

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

    async fn ask(stream: &mut TcpStream, word: &[u8; 2]) -> io::Result<[u8; 2]> {
        stream.write_all(word).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn the_line_passes_falls_silent_and_is_cut() {
        let cut = Cut::before(echo().await).await;
        let mut stream = TcpStream::connect(cut.address).await.unwrap();
        assert_eq!(ask(&mut stream, b"ab").await.unwrap(), *b"ab");

        cut.set(Line::BlackHole);
        stream.write_all(b"cd").await.unwrap();
        let mut answer = [0; 2];
        let silent = tokio::time::timeout(MOMENT, stream.read(&mut answer)).await;
        assert!(silent.is_err(), "{silent:?}");

        cut.set(Line::Pass);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"cd");

        cut.set(Line::Cut);
        ask(&mut stream, b"ef").await.unwrap_err();
        let mut next = TcpStream::connect(cut.address).await.unwrap();
        ask(&mut next, b"gh").await.unwrap_err();
        cut.set(Line::Pass);
        let mut next = TcpStream::connect(cut.address).await.unwrap();
        assert_eq!(ask(&mut next, b"ij").await.unwrap(), *b"ij");
    }
}
