//! How do tests speak HTTP?

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An HTTP client that follows no redirect, knows no proxy and gives up after 30 s.
///
/// A new one each time: a client's connections belong to the runtime of the test that made them.
pub fn client() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // An error says that another part of the process was first; one provider is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .expect("an HTTP client")
}

/// A request's body in pieces of so many bytes, which does not say beforehand how large it is.
pub fn chunked(body: &[u8], piece: usize) -> reqwest::Body {
    let pieces = body.chunks(piece).map(Bytes::copy_from_slice);
    let pieces: Vec<io::Result<Bytes>> = pieces.map(Ok).collect();
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

/// Writes these very bytes and reads the answer to its end, which the other side decides on: ask
/// for `connection: close`.
///
/// # Panics
/// When there is no connection, or no end within 30 s.
pub async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let (mut reader, mut writer) = stream.split();
        let mut answer = Vec::new();
        // The other side may answer and close before it has read everything: a reset then takes the
        // answer along that was not read at once.
        let both = (writer.write_all(request), reader.read_to_end(&mut answer));
        let _ = tokio::join!(both.0, both.1);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), exchange).await;
    answer.expect("the end of the answer")
}
