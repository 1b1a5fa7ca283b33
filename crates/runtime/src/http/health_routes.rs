//! `/healthz` (alive), `/readyz` (ready for work) and `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse};
use tokio_util::sync::CancellationToken;

use super::hold_body::hold_body;
use super::listener::{ServeOptions, listen, serve};
use crate::health::Health;
use crate::metrics::{self, MetricsRegistry};

/// How long [`serve_health`] waits for open responses when it stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Adds `GET /healthz`, `/readyz` and `/metrics` to an actix application.
pub fn health_routes(
    metrics: MetricsRegistry,
    health: Arc<Health>,
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |service| {
        service
            .app_data(Data::new(metrics))
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
    let mut response = match readiness.ready {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(readiness)
}

async fn metrics_page(metrics: Data<MetricsRegistry>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_TYPE, metrics::CONTENT_TYPE))
        .body(metrics.encode())
}

/// Binds `address` and serves [`health_routes`] there, with one worker and no signal handling.
///
/// Returns the bound address and a future that serves until `stop` is cancelled, then ends
/// within a second. Call it inside a Tokio runtime. Cancel `stop` only when draining is over, so
/// that `/readyz` can show it.
///
/// # Errors
/// When the address cannot be bound; the sentence names it.
pub fn serve_health(
    address: SocketAddr,
    metrics: MetricsRegistry,
    health: Arc<Health>,
    stop: CancellationToken,
) -> io::Result<(SocketAddr, impl Future<Output = io::Result<()>> + Send)> {
    let (listener, bound) = listen(address)?;
    let routes = health_routes(metrics, health);
    let app = move || {
        App::new()
            .wrap(from_fn(hold_body))
            .configure(routes.clone())
    };
    let options = ServeOptions {
        name: "health",
        workers: 1,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
    };
    let server = serve(listener, options, stop.clone(), app)?;
    let handle = server.handle();
    let serving = async move {
        let mut server = pin!(server);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop.cancelled() => {}
        }
        // Keep polling the server, or it never processes the stop.
        let (ended, ()) = tokio::join!(server, handle.stop(true));
        ended
    };
    Ok((bound, serving))
}
