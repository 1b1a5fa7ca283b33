//! A TCP stream that notes when anything is read from it.
//!
//! lapin tells nobody about heartbeats and about frames of a message that is not complete yet. Both
//! show that the node is at work: a large message on a slow link must not look like a silent node.

use async_rs::Tokio;
use async_rs::traits::Reactor;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

type Inner = <Tokio as Reactor>::TcpStream;

/// Whether anything has been read since the last look. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// Whether anything has been read since the last call.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    fn note(&self, read: &Poll<io::Result<usize>>) {
        if matches!(read, Poll::Ready(Ok(1..))) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// tokio's reactor, whose streams note what they read.
#[derive(Clone, Debug)]
pub(super) struct CountingReactor {
    pub(super) tokio: Tokio,
    pub(super) heard: Heard,
}

impl Reactor for CountingReactor {
    type TcpStream = CountedStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.tokio.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (connecting, heard) = (self.tokio.tcp_connect_addr(address), self.heard.clone());
        async move {
            let inner = connecting.await?;
            Ok(CountedStream { inner, heard })
        }
    }
}

/// A stream of [`CountingReactor`].
pub(super) struct CountedStream {
    inner: Inner,
    heard: Heard,
}

impl AsFd for CountedStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.get_ref().as_fd()
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.heard.note(&read);
        read
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read_vectored(context, buffers);
        self.heard.note(&read);
        read
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_heard_once_and_an_end_or_a_wait_is_not() {
        let heard = Heard::default();
        heard.note(&Poll::Pending);
        heard.note(&Poll::Ready(Ok(0)));
        assert!(!heard.take());
        heard.note(&Poll::Ready(Ok(8)));
        assert!(heard.take());
        assert!(!heard.take());
    }
}
