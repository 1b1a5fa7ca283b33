//! HTTP clients for tests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An HTTP client without redirects or proxies, with a timeout of 30 s.
///
/// A new one each time: a client's connections belong to the runtime of the test that made them.
pub fn client() -> reqwest::Client {
    client_from(Ipv4Addr::UNSPECIFIED.into())
}

/// The same, which connects from this address.
pub fn client_from(address: IpAddr) -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // An error means that another part of the process has installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let from = (!address.is_unspecified()).then_some(address);
    reqwest::Client::builder()
        .local_address(from)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .expect("an HTTP client")
}

/// A request body in pieces of this many bytes, without a `content-length`.
pub fn chunked(body: &[u8], piece: usize) -> reqwest::Body {
    let pieces = body.chunks(piece).map(Bytes::copy_from_slice);
    let pieces: Vec<io::Result<Bytes>> = pieces.map(Ok).collect();
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

/// Writes exactly these bytes and reads until the other side closes: ask for `connection: close`.
///
/// # Panics
/// When there is no connection, or no end within 30 s.
pub async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let (mut reader, mut writer) = stream.split();
        let mut answer = Vec::new();
        // The other side may answer and close before it has read everything. A reset then discards
        // what we have not read, so read while writing.
        let both = (writer.write_all(request), reader.read_to_end(&mut answer));
        let _ = tokio::join!(both.0, both.1);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), exchange).await;
    answer.expect("the end of the answer")
}
