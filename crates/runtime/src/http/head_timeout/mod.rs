//! The stream of a connection, with a deadline for every request head.
//!
//! actix only times the first head of a connection. A later head that stops halfway has no timer:
//! its first bytes end the timer for idle connections. So each connection tracks its phase. Reads
//! show where a head begins; only the parser knows where one ends, and the middleware reports that.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{CONTENT_LENGTH, HttpDate, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

#[cfg(test)]
mod tests;

/// How long a client may take to send a request head.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How many of the last bytes read are kept.
const TAIL_BYTES: usize = 8;

/// What a connection is reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadPhase {
    /// The first head, or a request whose head is complete: actix and the body timeout cover these.
    Request,
    /// Nothing: a complete request awaits its response.
    AwaitingResponse,
    /// Bytes after a complete request, which wait for its response.
    Pipelined,
    /// Nothing: every request is answered.
    Idle,
    /// A further head.
    FurtherHead,
}

/// Tracks the phase of one connection from its reads and its requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct HeadTracker(Rc<TrackerState>);

#[derive(Debug)]
struct TrackerState {
    phase: Cell<(HeadPhase, [u8; TAIL_BYTES])>,
    /// The number of complete heads. A deadline applies to one head, not to the next.
    complete_heads: Cell<u64>,
}

/// Held by a response until it is sent or dropped.
pub(super) struct ResponseGuard(HeadTracker);

/// Reports to a request's connection that the head is complete.
pub(super) fn begin_request(request: &ServiceRequest) -> Option<ResponseGuard> {
    let tracker = request.conn_data::<HeadTracker>()?;
    let guard = tracker.begin_request();
    let headers = request.headers();
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        tracker.request_complete(&[]);
    }
    Some(guard)
}

impl HeadTracker {
    fn new() -> Self {
        Self(Rc::new(TrackerState {
            phase: Cell::new((HeadPhase::Request, [0; TAIL_BYTES])),
            complete_heads: Cell::new(0),
        }))
    }

    fn on_read(&self, bytes: &[u8]) {
        let (phase, mut tail) = self.0.phase.get();
        let last = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        tail.rotate_left(last.len());
        tail[TAIL_BYTES - last.len()..].copy_from_slice(last);
        let phase = match phase {
            // Old clients end a body with an extra empty line.
            HeadPhase::AwaitingResponse if !bytes.trim_ascii().is_empty() => HeadPhase::Pipelined,
            HeadPhase::Idle if !bytes.is_empty() => HeadPhase::FurtherHead,
            phase => phase,
        };
        self.0.phase.set((phase, tail));
    }

    fn begin_request(&self) -> ResponseGuard {
        self.0.complete_heads.set(self.0.complete_heads.get() + 1);
        self.enter(HeadPhase::Request);
        ResponseGuard(self.clone())
    }

    /// The request is complete, with this body. More bytes followed it, unless the last bytes read
    /// are the end of this body, or an empty line: the end of its head or of its last chunk.
    pub(super) fn request_complete(&self, body: &[u8]) {
        let (phase, tail) = self.0.phase.get();
        if phase != HeadPhase::Request {
            return;
        }
        let body_tail = &body[body.len().saturating_sub(TAIL_BYTES)..];
        let (read, body) = (tail.trim_ascii_end(), body.trim_ascii_end());
        let trimmed_tail = &body[body.len().saturating_sub(read.len())..];
        let at_end = tail.ends_with(b"\n\r\n")
            || tail.ends_with(b"\n\n")
            || (!body_tail.is_empty() && tail.ends_with(body_tail))
            || (!trimmed_tail.is_empty() && read.ends_with(trimmed_tail));
        self.enter(if at_end {
            HeadPhase::AwaitingResponse
        } else {
            HeadPhase::Pipelined
        });
    }

    fn response_sent(&self) {
        let (phase, _) = self.0.phase.get();
        self.enter(match phase {
            HeadPhase::Pipelined => HeadPhase::FurtherHead,
            HeadPhase::Request
            | HeadPhase::AwaitingResponse
            | HeadPhase::Idle
            | HeadPhase::FurtherHead => HeadPhase::Idle,
        });
    }

    fn is_reading_head(&self) -> bool {
        self.0.phase.get().0 == HeadPhase::FurtherHead
    }

    fn enter(&self, phase: HeadPhase) {
        self.0.phase.set((phase, self.0.phase.get().1));
    }
}

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        self.0.response_sent();
    }
}

/// A TCP stream on which every request head has a deadline.
pub(super) struct TimedStream {
    stream: TcpStream,
    tracker: HeadTracker,
    /// The deadline of the head being read, and the number of complete heads when it was set.
    deadline: Option<(u64, Pin<Box<Sleep>>)>,
    /// The last write was not accepted by the socket.
    write_pending: bool,
}

impl TimedStream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            tracker: HeadTracker::new(),
            deadline: None,
            write_pending: false,
        }
    }

    pub(super) fn tracker(&self) -> HeadTracker {
        self.tracker.clone()
    }

    /// Starts the deadline of a head that is still incomplete after what was read. actix reads all
    /// there is, parses it, then writes and flushes, even when there is nothing to write. So a
    /// request that arrives in one piece, as nearly all do, costs no timer.
    fn update_deadline(&mut self, cx: &mut Context<'_>) {
        let heads = self.tracker.0.complete_heads.get();
        if !self.tracker.is_reading_head() {
            self.deadline = None;
        } else if self.deadline.as_ref().is_none_or(|(of, _)| *of != heads) {
            let (_, deadline) = self.deadline.insert((heads, Box::pin(sleep(HEAD_TIMEOUT))));
            // Polling it once registers the wake-up of the connection's task.
            let _ = deadline.as_mut().poll(cx);
        }
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let heads = self.tracker.0.complete_heads.get();
        let deadline = self.deadline.as_mut().filter(|(of, _)| *of == heads);
        deadline.is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready())
            && self.tracker.is_reading_head()
    }

    /// Sends what actix sends for a late first head, unless it would end up inside another
    /// response.
    fn respond_408(&self) {
        if !self.write_pending {
            let response = format!(
                "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\
                 date: {}\r\n\r\n",
                HttpDate::from(SystemTime::now())
            );
            // Best effort: the connection ends either way.
            let _ = self.stream.try_write(response.as_bytes());
        }
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_overdue(cx) {
            this.respond_408();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.tracker.on_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.update_deadline(cx);
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.write_pending = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.update_deadline(cx);
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
