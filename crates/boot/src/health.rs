//! What does a process say of itself over HTTP?
//!
//! `/healthz`: it lives. `/readyz`: send it work; from its first connection to the broker until
//! draining begins, and not before or after. A broker that is away or blocked in between does not
//! make it unready: taking every pod away would hide the 503 of the contract behind a balancer's.
//! `/metrics`: what it counted.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};

/// How long [`serve`] waits for open answers once it is told to stop, in seconds.
const LAST_ANSWERS_SECONDS: u64 = 1;

/// Whether the process is ready for work, and how it stands with broker and journal.
#[derive(Debug)]
pub struct Health {
    ever_connected: AtomicBool,
    draining: AtomicBool,
    broker: RwLock<Cow<'static, str>>,
    journal: RwLock<Cow<'static, str>>,
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    broker: Cow<'static, str>,
    journal: Cow<'static, str>,
}

impl Health {
    /// A process that has not reached the broker yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            ever_connected: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            broker: RwLock::new(Cow::Borrowed("never connected")),
            journal: RwLock::new(Cow::Borrowed("none")),
        })
    }

    /// The broker is connected; from the first time on, the process is ready.
    pub fn broker_connected(&self) {
        self.set_broker("connected");
        self.ever_connected.store(true, Ordering::Release);
    }

    /// How the process stands with the broker, for people: `blocked: memory`,
    /// `disconnected: connection refused`. It has no say in readiness, and must show no secret.
    pub fn set_broker(&self, state: impl Into<Cow<'static, str>>) {
        *self.broker.write().unwrap_or_else(PoisonError::into_inner) = state.into();
    }

    /// How the process stands with the journal, for people; `none` until told otherwise. It has no
    /// say in readiness, and must show no secret.
    pub fn set_journal(&self, state: impl Into<Cow<'static, str>>) {
        *self.journal.write().unwrap_or_else(PoisonError::into_inner) = state.into();
    }

    /// The process is stopping: no new work from now on, for good.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Health::begin_draining`] has been called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the process wants work.
    pub fn is_ready(&self) -> bool {
        self.ever_connected.load(Ordering::Acquire) && !self.is_draining()
    }

    fn readiness(&self) -> Readiness {
        let read = |text: &RwLock<Cow<'static, str>>| {
            text.read().unwrap_or_else(PoisonError::into_inner).clone()
        };
        let draining = self.is_draining();
        let ready = self.ever_connected.load(Ordering::Acquire) && !draining;
        Readiness {
            ready,
            draining,
            broker: read(&self.broker),
            journal: read(&self.journal),
        }
    }
}

/// Adds `GET /healthz`, `/readyz` and `/metrics` to an actix application.
pub fn routes(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |service| {
        service
            .app_data(Data::from(metrics))
            .app_data(Data::from(health))
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics_page));
    }
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_TYPE, "application/json"))
        .body(r#"{"status":"ok"}"#)
}

async fn readyz(health: Data<Health>) -> HttpResponse {
    let readiness = health.readiness();
    let mut answer = match readiness.ready {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    answer
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(readiness)
}

async fn metrics_page(metrics: Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_TYPE, metrics::CONTENT_TYPE))
        .body(metrics.encode())
}

/// Opens `listen` and serves [`routes`] there, with one worker and no signal handling of its own.
///
/// The answer is the address really bound (port 0 asks for a free one) and a future that serves
/// until `stop` is cancelled, then ends within a second. Call this inside a Tokio runtime. Cancel
/// `stop` only when draining is over, so that `/readyz` can tell of it.
///
/// # Errors
/// When the address cannot be listened on; the sentence names it.
pub fn serve(
    listen: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> io::Result<(SocketAddr, impl Future<Output = io::Result<()>> + Send)> {
    let explain = |error: io::Error| cannot_listen(listen, &error);
    let listener = TcpListener::bind(listen).map_err(explain)?;
    let bound = listener.local_addr()?;
    let configure = routes(metrics, health);
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(1)
        .disable_signals()
        .shutdown_timeout(LAST_ANSWERS_SECONDS)
        .listen(listener)
        .map_err(explain)?
        .run();
    let handle = server.handle();
    let serving = async move {
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop.cancelled() => {}
        }
        // The server must go on being polled, or it would never hear of its own end.
        let (ended, ()) = tokio::join!(server, handle.stop(true));
        ended
    };
    Ok((bound, serving))
}

/// The error of an address that cannot be listened on, as one sentence that names it.
pub fn cannot_listen(listen: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
}

#[cfg(test)]
mod tests;
