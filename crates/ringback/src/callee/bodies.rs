//! What bodies does the practice callee send that are not plain bytes?

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

use super::book::Received;

/// Fails before its first byte: actix then drops the connection, and with it the head that it
/// has not flushed yet.
pub(super) struct Cut;

impl MessageBody for Cut {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// The list of what was received as a JSON array, one entry per line, written as it is read:
/// the whole text at once would double the book's memory.
pub(super) struct Listing {
    entries: vec::IntoIter<Arc<Received>>,
    before_next: Option<&'static str>,
}

impl Listing {
    pub(super) fn new(entries: Vec<Arc<Received>>) -> Self {
        Self {
            entries: entries.into_iter(),
            before_next: Some("[\n"),
        }
    }
}

impl MessageBody for Listing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let Some(before) = self.before_next else {
            return Poll::Ready(None);
        };
        let piece = match self.entries.next() {
            Some(entry) => {
                self.before_next = Some(",\n");
                // Strings, numbers and a map with text keys: this cannot fail.
                let entry = serde_json::to_string(&*entry).unwrap_or_default();
                format!("{before}{entry}")
            }
            None => {
                self.before_next = None;
                let nothing_listed = before == "[\n";
                if nothing_listed { "[]\n" } else { "\n]\n" }.to_owned()
            }
        };
        Poll::Ready(Some(Ok(Bytes::from(piece))))
    }
}
