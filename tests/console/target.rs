//! A target: paths that begin with `/fail` are answered 503 until it is repaired, all others 200.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A target on this machine.
#[derive(Clone)]
pub struct Target {
    /// Its scheme, host and port.
    pub base: String,
    is_repaired: Arc<AtomicBool>,
}

impl Target {
    /// Listens until the test ends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            is_repaired: Arc::default(),
        };
        let serving = target.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        target
    }

    /// From now on it answers 200 to all.
    pub fn repair(&self) {
        self.is_repaired.store(true, Ordering::Relaxed);
    }

    /// One request for each connection.
    async fn answer(self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            stream
                .read_buf(&mut head)
                .await
                .ok()
                .filter(|read| *read > 0)?;
        };
        let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)?
            .split("\r\n")
            .next()?;
        let whole = end + length.parse::<usize>().ok()?;
        while head.len() < whole {
            stream
                .read_buf(&mut head)
                .await
                .ok()
                .filter(|read| *read > 0)?;
        }
        let fails = text.starts_with("post /fail") && !self.is_repaired.load(Ordering::Relaxed);
        let (status, body) = match fails {
            true => (
                "503 Service Unavailable",
                "<script>window.hacked = 1</script>\u{202e}乐居新房",
            ),
            false => ("200 OK", "{}"),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()
    }
}
