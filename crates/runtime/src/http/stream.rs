//! The stream of a connection: it gives one request at a time, and ends when its client is too slow.
//!
//! actix reads and decodes all that arrives, and keeps all answers until they are written. So this
//! stream gives nothing of a further request before the answer to the last one has been handed to the
//! kernel. actix's own timeout covers the first head only, so heads, bodies and unread answers have
//! their deadlines here.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::close_reason::CloseReason;
use super::connections::OpenConnection;
use super::framing::{Phase, RequestFramer};
use super::tracker::RequestTracker;

/// How many bytes are read at once, and so the most that can wait for a later request.
const READ_BYTES: usize = 8 * 1024;

/// How long a client may take to send a request head.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the rest of a body may take once its request is answered.
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may leave an answer unread.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamTimeouts {
    /// Whether a connection must send its first head within [`HEAD_TIMEOUT`] of its opening.
    pub(super) first_head: bool,
    /// From the end of a head to the end of the body. `None`: the application has its own timeout.
    pub(super) body: Option<Duration>,
}

/// What has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    Head,
    Body,
    /// The rest of a body whose request is answered.
    Rest,
}

/// The deadline of something in the request with this number.
struct Deadline {
    of: (Timed, u64),
    sleep: Pin<Box<Sleep>>,
}

/// A TCP stream on which everything that a client can delay is bounded.
pub(super) struct BoundedStream {
    stream: TcpStream,
    timeouts: StreamTimeouts,
    tracker: RequestTracker,
    framer: RequestFramer,
    /// What was read and belongs to a later request.
    waiting: Vec<u8>,
    deadline: Option<Deadline>,
    /// Set while the socket accepts no more bytes.
    unread: Option<Pin<Box<Sleep>>>,
    /// Something was written since the last complete answer.
    response_begun: bool,
    connection: OpenConnection,
}

impl BoundedStream {
    pub(super) fn new(
        stream: TcpStream,
        timeouts: StreamTimeouts,
        connection: OpenConnection,
    ) -> Self {
        Self {
            stream,
            timeouts,
            tracker: RequestTracker::default(),
            framer: RequestFramer::new(),
            waiting: Vec::new(),
            deadline: None,
            unread: None,
            response_begun: false,
            connection,
        }
    }

    pub(super) fn tracker(&self) -> RequestTracker {
        self.tracker.clone()
    }

    fn learn_framing(&mut self) {
        if let Some(framing) = self.tracker.take_framing() {
            self.framer.set_framing(framing);
        }
    }

    /// What must have ended in time, given the state of the connection.
    fn timed(&self) -> Option<(Timed, u64)> {
        let heads = self.framer.heads();
        let first = heads == 0 && self.timeouts.first_head;
        match self.framer.phase() {
            Phase::Idle if first => Some((Timed::Head, heads)),
            Phase::Head => Some((Timed::Head, heads)),
            // The parser does not agree that the head is complete.
            phase if phase != Phase::Idle && self.tracker.begun() < heads => {
                Some((Timed::Head, heads))
            }
            Phase::Body if self.tracker.is_answered() => Some((Timed::Rest, heads)),
            Phase::Body => self.timeouts.body.map(|_| (Timed::Body, heads)),
            Phase::Idle | Phase::HeadComplete | Phase::Complete => None,
        }
    }

    /// Starts the deadline of what is still incomplete after what was read. actix reads all there is,
    /// parses it, then writes and flushes, even when there is nothing to write. So a request that
    /// arrives in one piece, as nearly all do, costs no timer.
    fn update_deadline(&mut self, cx: &mut Context<'_>) {
        let timed = self.timed();
        if self.deadline.as_ref().map(|deadline| deadline.of) == timed {
            return;
        }
        self.deadline = timed.map(|of| {
            let timeout = match of.0 {
                Timed::Head => HEAD_TIMEOUT,
                Timed::Body => self.timeouts.body.unwrap_or(REST_TIMEOUT),
                Timed::Rest => REST_TIMEOUT,
            };
            let mut sleep = Box::pin(sleep(timeout));
            // Polling it once registers the wake-up of the connection's task.
            let _ = sleep.as_mut().poll(cx);
            Deadline { of, sleep }
        });
    }

    /// Ends the connection if its client was too slow.
    fn check_deadlines(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.check_unread(cx)?;
        let timed = self.timed();
        let Some(deadline) = &mut self.deadline else {
            return Ok(());
        };
        if Some(deadline.of) != timed || deadline.sleep.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let reason = match deadline.of.0 {
            Timed::Head => CloseReason::HeadTimeout,
            Timed::Body | Timed::Rest => CloseReason::BodyTimeout,
        };
        // A client that has sent nothing expects no answer: one that opens connections in advance
        // would take it for the answer to its first request.
        if deadline.of.0 != Timed::Rest && self.framer.phase() != Phase::Idle {
            self.respond_408();
        }
        self.connection.ends(reason);
        Err(io::ErrorKind::TimedOut.into())
    }

    fn check_unread(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let unread = self.unread.as_mut();
        if unread.is_some_and(|unread| unread.as_mut().poll(cx).is_ready()) {
            self.connection.ends(CloseReason::UnreadAnswer);
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Answers a request that took too long, unless the answer would end up inside another one.
    fn respond_408(&self) {
        if !self.response_begun {
            let response = format!(
                "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\
                 date: {}\r\n\r\n",
                HttpDate::from(SystemTime::now())
            );
            // Best effort: the connection ends either way.
            let _ = self.stream.try_write(response.as_bytes());
        }
    }

    /// Gives what waits and belongs to the current request.
    fn take_waiting(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.waiting.len().min(buffer.remaining());
        let admitted = self.framer.admit(&self.waiting[..length]);
        let end = admitted.skipped + admitted.passed;
        buffer.put_slice(&self.waiting[admitted.skipped..end]);
        if end == self.waiting.len() {
            self.waiting = Vec::new();
        } else {
            self.waiting.drain(..end);
        }
    }

    /// Reads from the socket, and gives what belongs to the current request. Returns whether the
    /// client has closed the connection.
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut space = [MaybeUninit::<u8>::uninit(); READ_BYTES];
        let length = READ_BYTES.min(buffer.remaining());
        let mut read = ReadBuf::uninit(&mut space[..length]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        let admitted = self.framer.admit(bytes);
        let end = admitted.skipped + admitted.passed;
        if admitted.skipped > 0 {
            self.framer.expect_head();
        }
        buffer.put_slice(&bytes[admitted.skipped..end]);
        self.waiting.extend_from_slice(&bytes[end..]);
        Poll::Ready(Ok(bytes.is_empty()))
    }

    /// The answer is written. Begins the next request.
    fn finish_answer(&mut self, cx: &Context<'_>) {
        self.response_begun = false;
        self.tracker.next_request();
        self.framer.next_request();
        self.connection.set_idle();
        if !self.waiting.is_empty() || self.connection.is_shed() {
            cx.waker().wake_by_ref();
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_deadlines(cx)?;
        let before = buffer.filled().len();
        loop {
            this.learn_framing();
            match this.framer.phase() {
                Phase::Complete | Phase::HeadComplete if !this.waiting.is_empty() => {
                    this.tracker.wake_on_framing(cx.waker());
                    return Poll::Pending;
                }
                Phase::Idle | Phase::Head if this.connection.poll_shed(cx.waker()) => {
                    this.connection.ends(CloseReason::Shed);
                    return Poll::Ready(Ok(())); // As if the client had closed it.
                }
                Phase::Idle | Phase::Head | Phase::Body if !this.waiting.is_empty() => {
                    this.take_waiting(buffer);
                }
                phase => {
                    if phase == Phase::HeadComplete {
                        this.tracker.wake_on_framing(cx.waker());
                    }
                    // While nothing may be given, this still notices a client that hangs up.
                    if ready!(this.poll_socket(cx, buffer))? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            if !matches!(this.framer.phase(), Phase::Idle | Phase::Head) {
                this.connection.set_busy();
            }
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.response_begun = true;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if written.is_ready() {
            this.unread = None;
            return written;
        }
        if this.unread.is_none() {
            this.unread = Some(Box::pin(sleep(UNREAD_TIMEOUT)));
        }
        this.check_unread(cx)?;
        Poll::Pending
    }

    /// actix flushes when the socket has accepted all that there is to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.learn_framing();
        if this.framer.phase() == Phase::Complete && this.tracker.is_answered() {
            this.finish_answer(cx);
        }
        this.update_deadline(cx);
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
