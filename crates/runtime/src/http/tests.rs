//! Tests of the listener, and of the health and metrics pages.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::App;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metrics::{MetricsRegistry, PageFormat};
use crate::{Health, metrics::add};

async fn get(health: &Arc<Health>, path: &str) -> (StatusCode, String, String) {
    let metrics = MetricsRegistry::new();
    metrics
        .add(|registry| add(registry, "sent", "Sent", Counter::<u64>::default()))
        .inc();
    let routes = health_routes(HealthPages::Full(metrics), Arc::clone(health));
    let app = init_service(App::new().configure(routes)).await;
    let answer = call_service(&app, TestRequest::get().uri(path).to_request()).await;
    let status = answer.status();
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let body = String::from_utf8(read_body(answer).await.to_vec()).unwrap();
    (status, kind, body)
}

async fn ready(health: &Arc<Health>) -> (StatusCode, Value) {
    let (status, kind, body) = get(health, "/readyz").await;
    assert_eq!(kind, "application/json");
    (status, serde_json::from_str(&body).unwrap())
}

#[actix_web::test]
async fn a_head_is_answered_as_a_get_is() {
    let metrics = MetricsRegistry::new();
    let health = Health::new();
    for pages in [HealthPages::Bare, HealthPages::Full(metrics)] {
        let app = init_service(App::new().configure(health_routes(pages, Arc::clone(&health))));
        let app = app.await;
        for path in ["/healthz", "/readyz"] {
            let status = async |method: Method| {
                let request = TestRequest::with_uri(path).method(method).to_request();
                call_service(&app, request).await.status()
            };
            assert_eq!(
                status(Method::HEAD).await,
                status(Method::GET).await,
                "{path}"
            );
            assert_eq!(status(Method::OPTIONS).await, StatusCode::NO_CONTENT);
            let request = TestRequest::with_uri(path)
                .method(Method::POST)
                .to_request();
            let refused = call_service(&app, request).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let allowed = refused.headers().get("allow").unwrap();
            assert_eq!(allowed, "GET, HEAD, OPTIONS", "{path}");
        }
    }
}

#[actix_web::test]
async fn a_process_is_ready_from_its_first_connection_until_it_drains() {
    let health = Health::new();
    let (unready, ok) = (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK);
    let body = |ready: bool, draining: bool, broker: &str| json!({"ready": ready, "draining": draining, "broker": broker, "journal": "none"});
    assert_eq!(
        ready(&health).await,
        (unready, body(false, false, "never connected"))
    );

    health.set_broker("disconnected: connection refused");
    let away = "disconnected: connection refused";
    assert_eq!(ready(&health).await, (unready, body(false, false, away)));

    health.broker_connected();
    assert!(health.is_ready());
    assert_eq!(ready(&health).await, (ok, body(true, false, "connected")));

    health.set_broker(format!("blocked: {}", "memory"));
    assert_eq!(
        ready(&health).await,
        (ok, body(true, false, "blocked: memory"))
    );

    health.begin_draining();
    assert!(!health.is_ready());
    health.broker_connected();
    assert_eq!(
        ready(&health).await,
        (unready, body(false, true, "connected"))
    );
}

#[actix_web::test]
async fn an_unreachable_journal_is_shown_and_does_not_change_readiness() {
    let health = Health::new();
    health.broker_connected();
    health.set_journal("unreachable: connection refused");
    let (status, body) = ready(&health).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["journal"], "unreachable: connection refused");
}

#[actix_web::test]
async fn a_note_is_shown_and_does_not_change_readiness() {
    let health = Health::new();
    health.broker_connected();
    health.add_note("no_journal", "there is no journal: set it");
    let (status, body) = ready(&health).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["notes"],
        json!({"no_journal": "there is no journal: set it"})
    );
    // Strangers see its name alone.
    let routes = health_routes(HealthPages::Bare, health);
    let app = init_service(App::new().configure(routes)).await;
    let request = TestRequest::get().uri("/readyz").to_request();
    let answer = call_service(&app, request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = serde_json::from_slice(&read_body(answer).await).unwrap();
    assert_eq!(body, json!({"status": "ready", "notes": ["no_journal"]}));
}

#[actix_web::test]
async fn a_draining_process_is_still_alive() {
    let health = Health::new();
    health.begin_draining();
    let (status, kind, body) = get(&health, "/healthz").await;
    assert_eq!(
        (status, kind.as_str()),
        (StatusCode::OK, "application/json")
    );
    assert_eq!(body, "{\"status\":\"ok\"}\n");
}

#[actix_web::test]
async fn the_metrics_page_has_its_media_type() {
    let (status, kind, body) = get(&Health::new(), "/metrics").await;
    assert_eq!(
        (status, kind.as_str()),
        (StatusCode::OK, PageFormat::OpenMetrics.content_type())
    );
    assert!(body.contains("\nringback_sent_total 1\n"), "{body}");
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn the_health_server_answers_until_it_is_stopped() {
    let (stop, health) = (CancellationToken::new(), Health::new());
    let limits = HttpLimits::uncounted();
    let (address, serving) = serve_health(
        "test",
        anywhere(),
        HealthPages::Bare,
        health,
        &limits,
        stop.clone(),
    )
    .unwrap();
    let serving = tokio::spawn(serving);

    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("{\"status\":\"ok\"}\n"), "{answer}");

    stop.cancel();
    serving.await.unwrap().unwrap();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the port is still open"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let in_use = TcpListener::bind(anywhere()).unwrap();
    let address = in_use.local_addr().unwrap();
    let error = serve_health(
        "test",
        address,
        HealthPages::Bare,
        Health::new(),
        &HttpLimits::uncounted(),
        CancellationToken::new(),
    )
    .map(drop)
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let start = format!("cannot listen on {address}: ");
    assert!(error.to_string().starts_with(&start), "{error}");
}
