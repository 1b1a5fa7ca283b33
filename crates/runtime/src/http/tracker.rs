//! What the stream of a connection learns from the application: how a request's body is framed, and
//! when its response is complete.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use actix_web::HttpMessage as _;
use actix_web::dev::ServiceRequest;
use actix_web::http::Version;
use actix_web::http::header::CONTENT_LENGTH;

use super::framing::BodyFraming;

/// Shared by the stream of a connection and the middleware. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestTracker(Rc<TrackerState>);

#[derive(Debug, Default)]
struct TrackerState {
    /// The framing of the request that has begun last, until the stream takes it.
    framing: Cell<Option<BodyFraming>>,
    /// How many requests have begun.
    begun: Cell<u64>,
    /// The response is complete; it may not be written yet.
    answered: Cell<bool>,
    /// Wakes the connection's task while it waits for the framing.
    waker: RefCell<Option<Waker>>,
}

/// Held by a response until it is complete or dropped.
pub(super) struct ResponseGuard(RequestTracker);

/// Reports to a request's connection that the head is decoded.
pub(super) fn begin_request(request: &ServiceRequest) -> Option<ResponseGuard> {
    let tracker = request.conn_data::<RequestTracker>()?.clone();
    tracker.0.framing.set(Some(framing(request)));
    tracker.0.begun.set(tracker.0.begun.get() + 1);
    tracker.0.answered.set(false);
    let waker = tracker.0.waker.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
    Some(ResponseGuard(tracker))
}

/// How actix frames the body.
fn framing(request: &ServiceRequest) -> BodyFraming {
    // actix ignores a transfer coding in HTTP/1.0, and refuses what is not plain.
    if request.version() == Version::HTTP_11 && request.chunked().unwrap_or(false) {
        return BodyFraming::Chunked;
    }
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
    length.map_or(BodyFraming::None, BodyFraming::Length)
}

impl RequestTracker {
    pub(super) fn take_framing(&self) -> Option<BodyFraming> {
        self.0.framing.take()
    }

    /// How many requests have begun.
    pub(super) fn begun(&self) -> u64 {
        self.0.begun.get()
    }

    pub(super) fn is_answered(&self) -> bool {
        self.0.answered.get()
    }

    pub(super) fn next_request(&self) {
        self.0.answered.set(false);
        self.0.framing.set(None);
    }

    pub(super) fn wake_on_framing(&self, waker: &Waker) {
        *self.0.waker.borrow_mut() = Some(waker.clone());
    }
}

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        self.0.0.answered.set(true);
    }
}
