//! `/healthz` (alive), `/readyz` (ready for work) and `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpResponseBuilder, Resource, Route, guard};
use bytes::Bytes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::hold_body::hold_body;
use super::json_line::json_line;
use super::limits::HttpLimits;
use super::listener::{listen, serve};
use super::options::{Audience, ServeOptions};
use crate::health::Health;
use crate::metrics::{MetricsRegistry, PageFormat};

/// How long [`serve_health`] waits for open responses when it stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a request body may take. No page needs one.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a metrics page that is still being sent is shared with further requests, so that
/// clients that do not read hold one page and not one each.
const SHARED_PAGE_AGE: Duration = Duration::from_secs(1);

/// Which pages are served.
#[derive(Clone, Debug)]
pub enum HealthPages {
    /// `/healthz`, and a `/readyz` that says ready or not: for a port that strangers can reach.
    Bare,
    /// Also why the process is not ready, and `/metrics`, which name targets and apps.
    Full(MetricsRegistry),
}

/// Adds `GET` and `HEAD` of `/healthz` and `/readyz`, and perhaps `/metrics`, to an actix application.
pub fn health_routes(
    pages: HealthPages,
    health: Arc<Health>,
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    let full = match pages {
        HealthPages::Bare => None,
        HealthPages::Full(registry) => Some(Data::new(MetricsPages::new(registry))),
    };
    move |service| {
        service
            .app_data(Data::from(health))
            .service(page("/healthz", read().to(healthz)));
        match full {
            None => service.service(page("/readyz", read().to(bare_readyz))),
            Some(pages) => service
                .app_data(pages)
                .service(page("/readyz", read().to(readyz)))
                .service(page("/metrics", read().to(metrics_page))),
        };
    }
}

/// A route for GET and HEAD; the server leaves the body of a HEAD's answer out.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The methods of every page.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// A page, which names its methods to `OPTIONS`, and to methods that it does not have.
fn page(path: &str, route: Route) -> Resource {
    let methods = |status| {
        move || async move {
            HttpResponse::build(status)
                .insert_header((ALLOW, METHODS))
                .finish()
        }
    };
    let options = web::method(Method::OPTIONS).to(methods(StatusCode::NO_CONTENT));
    let other = web::to(methods(StatusCode::METHOD_NOT_ALLOWED));
    web::resource(path)
        .route(route)
        .route(options)
        .default_service(other)
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_TYPE, "application/json"))
        .body("{\"status\":\"ok\"}\n")
}

/// 200 or 503.
fn ready(is_ready: bool) -> HttpResponseBuilder {
    let mut response = match is_ready {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

async fn bare_readyz(health: Data<Health>) -> HttpResponse {
    /// Without the reason, which may name people.
    #[derive(Serialize)]
    struct Bare {
        status: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        stopped: Vec<&'static str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<&'static str>,
    }
    let is_ready = health.is_ready();
    let status = if is_ready { "ready" } else { "not ready" };
    let (stopped, notes) = (health.stopped(), health.notes());
    let bare = Bare {
        status,
        stopped,
        notes,
    };
    json_line(&mut ready(is_ready), &bare)
}

async fn readyz(health: Data<Health>) -> HttpResponse {
    let readiness = health.readiness();
    json_line(&mut ready(readiness.ready), &readiness)
}

async fn metrics_page(request: HttpRequest, pages: Data<MetricsPages>) -> HttpResponse {
    let accept = request.headers().get(ACCEPT);
    let format = PageFormat::accepted_by(accept.and_then(|accept| accept.to_str().ok()));
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "accept"))
        .insert_header((CONTENT_TYPE, format.content_type()))
        .body(pages.page(format, Instant::now()))
}

/// Makes the pages of `/metrics`.
struct MetricsPages {
    registry: MetricsRegistry,
    /// The last page of each format.
    open_metrics: Mutex<LastPage>,
    prometheus_text: Mutex<LastPage>,
}

/// The last page, if it is still being sent, and when it was made.
type LastPage = Option<(Instant, Weak<String>)>;

/// A page that several responses may share.
struct SharedPage(Arc<String>);

impl AsRef<[u8]> for SharedPage {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl MetricsPages {
    fn new(registry: MetricsRegistry) -> Self {
        Self {
            registry,
            open_metrics: Mutex::default(),
            prometheus_text: Mutex::default(),
        }
    }

    fn page(&self, format: PageFormat, now: Instant) -> Bytes {
        let last = match format {
            PageFormat::OpenMetrics => &self.open_metrics,
            PageFormat::PrometheusText => &self.prometheus_text,
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let young = |made: &Instant| now.saturating_duration_since(*made) < SHARED_PAGE_AGE;
        let shared = last.as_ref().filter(|(made, _)| young(made));
        let page = shared
            .and_then(|(_, page)| page.upgrade())
            .unwrap_or_else(|| {
                let page = Arc::new(self.registry.encode_as(format));
                *last = Some((now, Arc::downgrade(&page)));
                page
            });
        Bytes::from_owner(SharedPage(page))
    }
}

/// Binds `address` and serves [`health_routes`] there, with one worker and no signal handling.
/// `name` is the listener's, for its metrics.
///
/// Returns the bound address and a future that serves until `stop` is cancelled, then ends
/// within a second. Call it inside a Tokio runtime. Cancel `stop` only when draining is over, so
/// that `/readyz` can show it.
///
/// # Errors
/// When the address cannot be bound; the sentence names it.
pub fn serve_health(
    name: &'static str,
    address: SocketAddr,
    pages: HealthPages,
    health: Arc<Health>,
    limits: &HttpLimits,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + use<>,
)> {
    let (listener, bound) = listen(address)?;
    let routes = health_routes(pages, health);
    let app = move || {
        App::new()
            .wrap(from_fn(hold_body))
            .configure(routes.clone())
    };
    let options = ServeOptions {
        name,
        audience: Audience::Operators,
        body_timeout: Some(BODY_TIMEOUT),
        workers: 1,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
    };
    let server = serve(listener, options, limits, stop.clone(), app)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_page_is_shared_while_it_is_being_sent_and_made_anew_otherwise() {
        let (pages, now) = (MetricsPages::new(MetricsRegistry::new()), Instant::now());
        let address = |page: &Bytes| page.as_ptr();
        let format = PageFormat::OpenMetrics;
        let first = pages.page(format, now);
        assert_eq!(address(&pages.page(format, now)), address(&first));
        let text = pages.page(PageFormat::PrometheusText, now);
        assert_ne!(address(&text), address(&first));
        let later = pages.page(format, now + SHARED_PAGE_AGE);
        assert_ne!(address(&later), address(&first));
        drop((first, later));
        let last = pages.open_metrics.lock().unwrap();
        let page = last.as_ref().and_then(|(_, page)| page.upgrade());
        assert_eq!(page, None);
    }
}
