//! What does a target look like that does what its path says?
//!
//! The practice callee: an HTTP server for `ringback callee`, `ringback dev` and the tests. Any
//! method on:
//!
//! | path | what it does |
//! |---|---|
//! | `/ok` | answers 200 |
//! | `/status/503` | answers that status (100 to 599) |
//! | `/flaky/2` | answers 503 twice, then 200; counted per path and `webhook-id` |
//! | `/slow/3000` | answers 200 after so many milliseconds |
//! | `/hang` | never answers |
//! | `/retry-after/2` | answers 429 with `Retry-After: 2` the first time, then 200; counted as above |
//! | `/redirect/ok`, `/redirect?to=URL` | answers 307 to that path or URL |
//! | `/reset` | closes the connection without a byte |
//!
//! and `GET /received` (`?since=INDEX`, `?id=WEBHOOK_ID`), `GET /received/count`,
//! `DELETE /received` for what came in. All other paths answer 404 and are listed as well.

mod base64;
mod bodies;
mod book;
mod order;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::web::{self, Bytes, Data, Query};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use bodies::{Cut, Listing};
pub use book::{Body, Book, Received};
use order::Answer;

/// The largest request body taken, in bytes: well above what the gateway lets through.
const LARGEST_BODY: usize = 2 * 1024 * 1024;

/// Starts a practice callee with a book of its own.
///
/// The address returned is the one really bound: ask for port 0 to get a free one. The server
/// answers while the future is polled and until `stop` is cancelled; it then closes all
/// connections, answered or not.
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
    serve_with(Arc::new(Book::default()), listen, stop)
}

/// Like [`serve`], writing into a book that the caller can read without HTTP.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve_with(
    book: Arc<Book>,
    listen: SocketAddr,
    stop: CancellationToken,
) -> io::Result<(
    SocketAddr,
    impl Future<Output = io::Result<()>> + Send + use<>,
)> {
    let book = Data::from(book);
    let http = HttpServer::new(move || {
        App::new()
            .app_data(book.clone())
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .service(
                web::resource("/received")
                    .route(web::get().to(list))
                    .route(web::delete().to(clear)),
            )
            .route("/received/count", web::get().to(count))
            .default_service(web::to(receive))
    })
    .workers(2)
    .disable_signals() // Whoever runs us decides when to stop.
    // A target that closes idle connections would now and then lose a race against a pooled
    // client, and a test would see an attempt fail that nobody ordered.
    .keep_alive(KeepAlive::Os)
    .client_request_timeout(Duration::ZERO)
    // Otherwise a request to `/hang` would stay for ever after its client has left.
    .h1_allow_half_closed(false)
    .bind(listen)?;
    let address = http.addrs().first().copied().unwrap_or(listen);
    Ok((address, run_until(http.run(), stop)))
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

/// The main path: note the request, then do what its path says.
async fn receive(book: Data<Book>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let id = request
        .headers()
        .get("webhook-id")
        .and_then(|id| id.to_str().ok());
    let earlier = book.visit(request.path(), id);
    let answer = order::obey(request.path(), request.query_string(), earlier);
    book.write(&request, &body, answer.status());
    give(answer).await
}

async fn give(answer: Answer) -> HttpResponse {
    match answer {
        Answer::Hang => std::future::pending().await,
        Answer::Reset => HttpResponse::Ok().body(Cut),
        Answer::Reply {
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
        // No final answer follows, so the client must be told that none will.
        response.force_close();
    }
    if code.is_informational() || code == StatusCode::NO_CONTENT || code == StatusCode::NOT_MODIFIED
    {
        return response.finish();
    }
    // The shape of the gateway's own answers, so that a body rule can be practised on it.
    let text = if code.is_success() {
        "000"
    } else {
        code.as_str()
    };
    response
        .content_type("application/json")
        .body(format!(r#"{{"code":"{text}"}}"#))
}

#[derive(Deserialize)]
struct Asked {
    since: Option<u64>,
    id: Option<String>,
}

async fn list(book: Data<Book>, asked: Query<Asked>) -> HttpResponse {
    let mut received = book.received();
    received.retain(|one| asked.since.is_none_or(|since| one.index >= since));
    received.retain(|one| asked.id.is_none() || one.id == asked.id);
    HttpResponse::Ok()
        .content_type("application/json")
        .body(Listing::new(received))
}

async fn count(book: Data<Book>) -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "count": book.count() }))
}

async fn clear(book: Data<Book>) -> HttpResponse {
    book.clear();
    HttpResponse::NoContent().finish()
}
