//! What becomes of a connection whose request was answered before its body had come?
//!
//! actix ends it, but for a body in chunks that nobody holds any more: of that it reads and throws
//! away whatever comes, and no limit of time holds meanwhile. So such a body is held until its
//! answer is out.

use crate::fit::fit;
use crate::head::{self, Answering};
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::Stream;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A request's body, in the hands of whoever reads it and of its answer.
#[derive(Clone)]
struct Shared(Rc<RefCell<Payload>>);

/// An answer's body, which holds that of its request.
struct Holding<B> {
    body: Pin<Box<B>>,
    _request: Option<Shared>,
    _answering: Option<Answering>,
}

/// Has the answer hold the body of a request that came in chunks, and the connection know of both.
pub(crate) async fn hold(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let answering = head::taken(&request);
    fit(request.headers_mut());
    let chunks = request.headers().contains_key(TRANSFER_ENCODING);
    let held = chunks.then(|| Shared(Rc::new(RefCell::new(request.take_payload()))));
    if let Some(held) = &held {
        let payload = Box::pin(held.clone());
        request.set_payload(Payload::Stream { payload });
    }
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Holding {
        body: Box::pin(body),
        _request: held,
        _answering: answering,
    }))
}

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

impl<B: MessageBody> MessageBody for Holding<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_mut().poll_next(cx)
    }
}
