//! How long may the head of a further request take?
//!
//! actix sees to the first head of a connection. A further one that was begun and stops is held by
//! no timer of actix's: not by that of the first, and no longer by that of idle connections. So a
//! connection keeps its place in what it reads. Where a head begins its reads show; where one ends
//! only the parser knows, and the application tells.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{CONTENT_LENGTH, HttpDate, TRANSFER_ENCODING};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

#[cfg(test)]
mod tests;

/// To send the head of a request.
pub(crate) const WITHIN: Duration = Duration::from_secs(5);

/// So many of the bytes that were read last are remembered.
const TAIL: usize = 8;

/// Where a connection is in what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the first head, or in a request whose head is whole: others see to these.
    Request,
    /// Behind a request that is not answered yet.
    Behind,
    /// In what came behind a request that is not answered yet. It waits for that answer.
    Ahead,
    /// Behind a request that is answered.
    Idle,
    /// In a further head.
    Head,
}

/// The place of a connection, as its reads and its requests tell it.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Cell<(Place, [u8; TAIL])>,
    /// How many heads were taken: a deadline is for one head, and not for the next.
    heads: Cell<u64>,
}

/// The request whose head was taken is not answered to the end, as long as this is there.
pub(crate) struct Answering(Progress);

/// Has the connection of a request know that its head is whole.
pub(crate) fn taken(request: &ServiceRequest) -> Option<Answering> {
    let progress = request.conn_data::<Progress>()?;
    let answering = progress.taken();
    let headers = request.headers();
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        progress.whole(&[]);
    }
    Some(answering)
}

impl Progress {
    fn start() -> Self {
        Self(Rc::new(Inner {
            place: Cell::new((Place::Request, [0; TAIL])),
            heads: Cell::new(0),
        }))
    }

    fn read(&self, bytes: &[u8]) {
        let (place, mut tail) = self.0.place.get();
        let last = &bytes[bytes.len().saturating_sub(TAIL)..];
        tail.rotate_left(last.len());
        tail[TAIL - last.len()..].copy_from_slice(last);
        let place = match place {
            // Old callers end a body with an empty line of their own.
            Place::Behind if !bytes.trim_ascii().is_empty() => Place::Ahead,
            Place::Idle if !bytes.is_empty() => Place::Head,
            place => place,
        };
        self.0.place.set((place, tail));
    }

    fn taken(&self) -> Answering {
        self.0.heads.set(self.0.heads.get() + 1);
        self.go_to(Place::Request);
        Answering(self.clone())
    }

    /// A request has come to its end, with this body. Something came behind it, unless what came
    /// last is the end of this body, or an empty line: that of its head, or of its last chunk.
    pub(crate) fn whole(&self, body: &[u8]) {
        let (place, tail) = self.0.place.get();
        if place != Place::Request {
            return;
        }
        let all = &body[body.len().saturating_sub(TAIL)..];
        let (came, body) = (tail.trim_ascii_end(), body.trim_ascii_end());
        let last = &body[body.len().saturating_sub(came.len())..];
        let at_end = tail.ends_with(b"\n\r\n")
            || tail.ends_with(b"\n\n")
            || (!all.is_empty() && tail.ends_with(all))
            || (!last.is_empty() && came.ends_with(last));
        self.go_to(if at_end { Place::Behind } else { Place::Ahead });
    }

    fn answered(&self) {
        let (place, _) = self.0.place.get();
        self.go_to(match place {
            Place::Ahead => Place::Head,
            Place::Request | Place::Behind | Place::Idle | Place::Head => Place::Idle,
        });
    }

    fn is_in_head(&self) -> bool {
        self.0.place.get().0 == Place::Head
    }

    fn go_to(&self, place: Place) {
        self.0.place.set((place, self.0.place.get().1));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A connection on which every head has its time.
pub(crate) struct Connection {
    stream: TcpStream,
    progress: Progress,
    /// Ends the head that the connection is in: so many were taken before it.
    deadline: Option<(u64, Pin<Box<Sleep>>)>,
    /// The other side has not room for all that was written.
    unsent: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            progress: Progress::start(),
            deadline: None,
            unsent: false,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Runs the deadline of a head that what was read has not ended. actix reads all there is,
    /// parses it and then writes and flushes, even nothing; so a request that comes in one piece,
    /// as nearly all do, costs no timer.
    fn watch(&mut self, cx: &mut Context<'_>) {
        let heads = self.progress.0.heads.get();
        if !self.progress.is_in_head() {
            self.deadline = None;
        } else if self.deadline.as_ref().is_none_or(|(of, _)| *of != heads) {
            let (_, deadline) = self.deadline.insert((heads, Box::pin(sleep(WITHIN))));
            // Asked once, it wakes the connection.
            let _ = deadline.as_mut().poll(cx);
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let heads = self.progress.0.heads.get();
        let deadline = self.deadline.as_mut().filter(|(of, _)| *of == heads);
        deadline.is_some_and(|(_, it)| it.as_mut().poll(cx).is_ready())
            && self.progress.is_in_head()
    }

    /// What actix says of a first head that is late, unless it would get into another answer.
    fn tell_late(&self) {
        if !self.unsent {
            let answer = format!(
                "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\
                 date: {}\r\n\r\n",
                HttpDate::from(SystemTime::now())
            );
            // Whoever does not take it loses it.
            let _ = self.stream.try_write(answer.as_bytes());
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_late(cx) {
            this.tell_late();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.progress.read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch(cx);
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.unsent = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.watch(cx);
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
