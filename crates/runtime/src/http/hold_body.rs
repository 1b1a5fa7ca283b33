//! Holds a chunked request body until its response is sent, and sends responses in small pieces.
//!
//! actix closes a connection whose request was answered before its body had arrived, except if the
//! body is chunked and its payload was dropped: it reads and discards that body for as long as the
//! client sends. So the response holds such a body.
//!
//! actix copies a whole piece of a response into its buffer before it writes any of it. So large
//! pieces are cut: what a client leaves unread stays small.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::Stream;

use super::shrink_headers::shrink;
use super::tracker::{self, ResponseGuard};

/// The largest piece of a response.
pub(super) const PIECE_BYTES: usize = 8 * 1024;

/// A request body shared by its reader and its response.
#[derive(Clone)]
struct SharedPayload(Rc<RefCell<Payload>>);

/// A response body that holds the body of its request.
struct HoldingBody<B> {
    body: Pin<Box<B>>,
    /// The rest of a piece that is too large.
    rest: Bytes,
    _request: Option<SharedPayload>,
    _response: Option<ResponseGuard>,
}

/// Middleware: the response holds a chunked request body, and the stream of the connection learns
/// when the request begins and its response ends.
///
/// # Errors
/// Those of the application.
pub async fn hold_body(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response_guard = tracker::begin_request(&request);
    shrink(request.headers_mut());
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let held = chunked.then(|| SharedPayload(Rc::new(RefCell::new(request.take_payload()))));
    if let Some(held) = &held {
        let payload = Box::pin(held.clone());
        request.set_payload(Payload::Stream { payload });
    }
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| HoldingBody {
        body: Box::pin(body),
        rest: Bytes::new(),
        _request: held,
        _response: response_guard,
    }))
}

impl Stream for SharedPayload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

impl<B: MessageBody> MessageBody for HoldingBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(self.body.as_mut().poll_next(cx)) {
                Some(Ok(piece)) if piece.len() > PIECE_BYTES => self.rest = piece,
                piece => return Poll::Ready(piece),
            }
        }
        let length = PIECE_BYTES.min(self.rest.len());
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}
