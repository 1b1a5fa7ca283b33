//! Response bodies that are not plain bytes.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

use super::request_log::ReceivedRequest;

/// Fails before its first byte: actix then drops the connection without flushing the head.
pub(super) struct BrokenBody;

impl MessageBody for BrokenBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// The requests received as a JSON array, one entry per line. Written while it is sent: the whole text
/// at once would double the log's memory.
pub(super) struct ListBody {
    entries: vec::IntoIter<Arc<ReceivedRequest>>,
    before_next: Option<&'static str>,
}

impl ListBody {
    pub(super) fn new(entries: Vec<Arc<ReceivedRequest>>) -> Self {
        Self {
            entries: entries.into_iter(),
            before_next: Some("[\n"),
        }
    }
}

impl MessageBody for ListBody {
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
        let chunk = match self.entries.next() {
            Some(entry) => {
                self.before_next = Some(",\n");
                // Strings, numbers and a map with text keys: this cannot fail.
                let entry = serde_json::to_string(&*entry).unwrap_or_default();
                format!("{before}{entry}")
            }
            None => {
                self.before_next = None;
                let is_empty = before == "[\n";
                if is_empty { "[]\n" } else { "\n]\n" }.to_owned()
            }
        };
        Poll::Ready(Some(Ok(Bytes::from(chunk))))
    }
}
