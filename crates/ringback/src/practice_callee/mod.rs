//! The practice callee: a target that does what its path says.
//!
//! An HTTP server for `ringback callee`, `ringback dev` and the tests. `paths.rs` lists its paths, and
//! `GET /` answers with that list. All other paths answer 404, and are among what it has received as well.
//!
//! - `paths.rs`: the list of its paths, for people
//! - `behavior.rs`: what a path means
//! - `request_log.rs`: the requests received
//! - `forward.rs`: forwards requests to a developer's process, for `ringback listen`
//! - `bodies.rs`: bodies that are not plain bytes

mod behavior;
mod bodies;
pub mod forward;
mod paths;
mod request_log;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data, Query};
use actix_web::{App, HttpRequest, HttpResponse};
use runtime::http::{self, Audience, HttpLimits, ServeOptions, hold_body, json_line};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use behavior::Behavior;
use bodies::{BrokenBody, ListBody};
pub use request_log::{ReceivedRequest, RequestBody, RequestLog};

/// The largest request body, in bytes: well above the gateway's limit.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// How long a request body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a practice callee with a new request log.
///
/// Returns the bound address: port 0 asks for a free port. The server answers while the future is
/// polled, until `stop` is cancelled; it then closes all connections, answered or not.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve(
    listen: SocketAddr,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + use<>,
)> {
    serve_with(Arc::new(RequestLog::default()), listen, stop)
}

/// Like [`serve`], with a request log that the caller can read without HTTP.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve_with(
    log: Arc<RequestLog>,
    listen: SocketAddr,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + use<>,
)> {
    let log = Data::from(log);
    let app = move || {
        App::new()
            .wrap(from_fn(hold_body))
            .app_data(log.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .service(
                web::resource("/received")
                    .route(web::get().to(list))
                    .route(web::delete().to(clear)),
            )
            .route("/received/count", web::get().to(count))
            .route("/", web::get().to(index))
            .default_service(web::to(receive))
    };
    let (listener, address) = http::listen(listen)?;
    let options = options();
    // A graceful stop would end no request to `/hang`.
    let never = CancellationToken::new();
    let server = http::serve(listener, options, &HttpLimits::uncounted(), never, app)?;
    Ok((address, run_until(server, stop)))
}

fn options() -> ServeOptions {
    ServeOptions {
        name: "callee",
        // Closing idle connections would sometimes race with a pooled client, and a test would see a
        // failed attempt.
        audience: Audience::Practice,
        body_timeout: Some(BODY_TIMEOUT),
        workers: 2,
        shutdown_timeout: Duration::ZERO,
    }
}

async fn run_until(server: Server, stop: CancellationToken) -> io::Result<()> {
    let handle = server.handle();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = stop.cancelled() => {}
    }
    // Not gracefully: a hanging request would never end.
    let ((), ended) = tokio::join!(handle.stop(false), server);
    ended
}

/// Logs the request, then does what its path says.
async fn receive(log: Data<RequestLog>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let id = request
        .headers()
        .get("webhook-id")
        .and_then(|id| id.to_str().ok());
    let earlier = log.count_visit(request.path(), id);
    let behavior = behavior::of(request.path(), request.query_string(), earlier);
    log.write(&request, &body, behavior.status());
    perform(behavior).await
}

async fn perform(behavior: Behavior) -> HttpResponse {
    match behavior {
        Behavior::Hang => std::future::pending().await,
        Behavior::Reset => HttpResponse::Ok().body(BrokenBody),
        Behavior::Reply {
            status,
            wait,
            header,
        } => {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            respond(status, header)
        }
    }
}

fn respond(status: u16, header: Option<(&'static str, String)>) -> HttpResponse {
    let Ok(code) = StatusCode::from_u16(status) else {
        return HttpResponse::BadRequest().finish();
    };
    let mut response = HttpResponse::build(code);
    if let Some((name, value)) = header {
        let Ok(value) = HeaderValue::from_str(&value) else {
            return HttpResponse::BadRequest().finish();
        };
        response.insert_header((HeaderName::from_static(name), value));
    }
    if code.is_informational() {
        // No final response follows.
        response.force_close();
    }
    if code.is_informational() || code == StatusCode::NO_CONTENT || code == StatusCode::NOT_MODIFIED
    {
        return response.finish();
    }
    // The shape of the gateway's own answers, to practise a success rule on.
    let text = if code.is_success() {
        "000"
    } else {
        code.as_str()
    };
    response
        .content_type("application/json")
        .body(format!("{{\"code\":\"{text}\"}}\n"))
}

async fn index() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(paths::page())
}

#[derive(Deserialize)]
struct ListQuery {
    since: Option<u64>,
    id: Option<String>,
}

async fn list(log: Data<RequestLog>, query: Query<ListQuery>) -> HttpResponse {
    let mut received = log.received();
    received.retain(|one| query.since.is_none_or(|since| one.index >= since));
    received.retain(|one| query.id.is_none() || one.id == query.id);
    HttpResponse::Ok()
        .content_type("application/json")
        .body(ListBody::new(received))
}

async fn count(log: Data<RequestLog>) -> HttpResponse {
    let count = serde_json::json!({ "count": log.count() });
    json_line(&mut HttpResponse::Ok(), &count)
}

async fn clear(log: Data<RequestLog>) -> HttpResponse {
    log.clear();
    HttpResponse::NoContent().finish()
}
