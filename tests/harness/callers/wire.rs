//! One caller's connection: plain HTTP/1.1 on one socket. A test knows exactly what was written and
//! when, and thousands of requests cost little.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to the ingress, opened when it is needed.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Wire {
    /// A connection to this address, not opened yet.
    pub const fn to(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
        }
    }

    /// POSTs a callback; gives the status and the body of the answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn post(&mut self, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.begin(body.len(), body).await?;
        self.answer().await
    }

    /// Writes the head of a POST and the first part of its body.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin(&mut self, length: usize, part: &[u8]) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                self.stream.insert(stream)
            }
        };
        let head = format!(
            "POST /api/callback HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n",
            self.address
        );
        stream.write_all(&[head.as_bytes(), part].concat()).await
    }

    /// Writes the rest of a body.
    ///
    /// # Errors
    /// When it cannot be written, or no request was begun.
    pub async fn write_rest(&mut self, part: &[u8]) -> io::Result<()> {
        self.open()?.write_all(part).await
    }

    /// Reads the answer: its status and its body.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let stream = self.open()?;
        let mut bytes = Vec::new();
        let head_length = loop {
            if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..head_length]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let length: Option<usize> =
            header(&head, "content-length").and_then(|length| length.parse().ok());
        let (Some(status), Some(length)) = (status, length) else {
            return Err(io::Error::other(head));
        };
        let mut body = bytes.split_off(head_length);
        while body.len() < length {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if header(&head, "connection") == Some("close") {
            self.hang_up();
        }
        Ok((status, body))
    }

    /// Closes the connection; the next request opens another.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    fn open(&mut self) -> io::Result<&mut TcpStream> {
        self.stream
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}
