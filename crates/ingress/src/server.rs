//! The HTTP server of ingress: binds its address, serves its routes, and stops gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, web};
use runtime::Health;
use runtime::http::{
    self, Audience, HealthPages, HttpLimits, ServeOptions, health_routes, hold_body,
};
use tokio_util::sync::CancellationToken;

use crate::config::IngressConfig;
use crate::cors::cors;
use crate::routes;
use crate::state::{AppState, IngressDependencies};

/// Binds the address and returns it with a future that serves until `stop`.
///
/// On `stop` the process reports that it is draining and accepts no new connections; requests in
/// progress finish within the shutdown timeout.
///
/// # Errors
/// When the address cannot be bound, with a sentence that names it.
pub fn serve(
    config: &IngressConfig,
    dependencies: IngressDependencies,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + 'static,
)> {
    let limits = dependencies.http.clone();
    let health = Arc::clone(&dependencies.health);
    let state = web::Data::new(AppState::new(config, dependencies, stop.clone()));
    bind(config, state, &limits, health, stop)
}

pub(crate) fn bind(
    config: &IngressConfig,
    state: web::Data<AppState>,
    limits: &HttpLimits,
    health: Arc<Health>,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + use<>,
)> {
    let (listener, address) = http::listen(config.listen)?;
    let health_routes = health_routes(HealthPages::Bare, Arc::clone(&health));
    let has_page = config.api_page;
    let origins = config.allowed_origins.clone();
    let app = move || {
        App::new()
            .app_data(state.clone())
            .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
            .wrap(from_fn(hold_body))
            .configure(|service| routes::configure(service, has_page))
            .configure(health_routes.clone())
    };
    let options = ServeOptions {
        name: "ingress",
        audience: Audience::Callers,
        body_timeout: None, // Answered 408 in the form of the contract, when it is read.
        workers: config.workers,
        shutdown_timeout: config.shutdown_timeout,
    };
    let server = http::serve(listener, options, limits, stop.clone(), app)?;
    let handle = server.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        health.begin_draining();
        handle.stop(true).await;
    });
    Ok((address, server))
}
