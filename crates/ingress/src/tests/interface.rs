//! What clients of HTTP expect besides the contract.

use std::time::Duration;

use delivery::auth::{AuthMode, CallerRegistry, RegisteredApp};
use delivery::limits::Rate;
use runtime::Reloadable;
use uuid::Uuid;

use super::{TestIngress, callback};

#[actix_web::test]
async fn head_is_get_without_its_body_and_options_names_the_methods() {
    let ingress = TestIngress::start().await;
    let id = ingress
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    let path = format!("/api/callback/{id}");
    let get = ingress.ask("GET", &path, "", "").await;
    let head = ingress.ask("HEAD", &path, "", "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    for name in ["content-type", "content-length"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let unknown = format!("/api/callback/{}", Uuid::nil());
    assert_eq!(ingress.ask("HEAD", &unknown, "", "").await.status, 404);
    for (path, allow) in [
        ("/api/callback", "POST, OPTIONS"),
        (&*path, "GET, HEAD, DELETE, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ] {
        let options = ingress.ask("OPTIONS", path, "", "").await;
        assert_eq!((options.status, &*options.body), (204, ""), "{path}");
        assert_eq!(options.header("allow"), Some(allow), "{path}");
        let refused = ingress.ask("PATCH", path, "", "").await;
        assert_eq!(refused.summary(), (405, "405"), "{path}");
        assert_eq!(refused.header("allow"), Some(allow), "{path}");
    }
}

#[actix_web::test]
async fn the_document_is_served_in_both_languages_and_the_page_by_setting_alone() {
    let ingress = TestIngress::start().await;
    let document = ingress.ask("GET", "/openapi.json", "", "").await;
    assert_eq!(document.body.as_bytes(), crate::openapi::english());
    let chinese = ingress.ask("GET", "/openapi.json?lang=zh", "", "").await;
    assert_eq!(chinese.body.as_bytes(), crate::openapi::chinese());
    for path in ["/api-docs", "/api-docs/", "/api-docs/swagger-ui.css"] {
        let absent = ingress.ask("GET", path, "", "").await;
        assert_eq!(absent.summary(), (404, "404"), "{path}");
    }
    let shown = TestIngress::with(|config, _| config.api_page = true).await;
    let redirect = shown.ask("GET", "/api-docs", "", "").await;
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.header("location"), Some("api-docs/"));
    let page = shown.ask("GET", "/api-docs/", "", "").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';"), "{policy}");
    assert!(page.body.contains("swagger-ui-bundle.js"), "{page:?}");
}

#[actix_web::test]
async fn pages_of_named_origins_may_call_and_no_others() {
    let preflight = "origin: https://orders.example\r\naccess-control-request-method: POST\r\n\
                     access-control-request-headers: content-type,idempotency-key\r\n";
    let page = "origin: https://orders.example\r\nsec-fetch-site: cross-site\r\n";
    let closed = TestIngress::start().await;
    let asked = closed.ask("OPTIONS", "/api/callback", preflight, "").await;
    assert_eq!(asked.header("access-control-allow-origin"), None);
    let refused = closed.post(page, &callback("{}")).await;
    assert_eq!(refused.summary(), (403, "403"));

    let origin = "https://orders.example".to_owned();
    let open = TestIngress::with(|config, _| config.allowed_origins = vec![origin]).await;
    let asked = open.ask("OPTIONS", "/api/callback", preflight, "").await;
    let allowed = Some("https://orders.example");
    assert_eq!(asked.header("access-control-allow-origin"), allowed);
    assert_eq!((asked.status, asked.header("allow")), (200, None));
    for refused in [
        preflight.replace("orders", "evil"),
        preflight.replace("POST", "PUT"),
        preflight.replace("content-type", "x-other"),
    ] {
        let asked = open.ask("OPTIONS", "/api/callback", &refused, "").await;
        assert_eq!(asked.status, 400, "{asked:?}");
        assert_eq!(asked.header("access-control-allow-origin"), None);
        assert_eq!(asked.header("access-control-allow-methods"), None);
        // Of the middleware, not of the contract.
        assert!(!asked.body.starts_with('{'), "{asked:?}");
    }
    let accepted = open.post(page, &callback("{}")).await;
    assert_eq!(accepted.summary(), (200, "000"));
    assert_eq!(accepted.header("access-control-allow-origin"), allowed);
    let exposed = accepted.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("retry-after"), "{exposed}");
    let other = page.replace("orders", "evil");
    let refused = open.post(&other, &callback("{}")).await;
    assert_eq!(refused.summary(), (403, "403"));
    assert_eq!(refused.header("access-control-allow-origin"), None);
    // A program sends no origin.
    let program = open.post("", &callback("{}")).await;
    assert_eq!(program.summary(), (200, "000"));
}

#[actix_web::test]
async fn an_app_with_limits_is_told_what_is_left_of_them() {
    let app = RegisteredApp {
        id: "a".to_owned(),
        keys: Vec::new(),
        secrets: Vec::new(),
        disabled: false,
        rate: Rate::new(1.0 / 3_600.0, 2),
        max_in_flight: Some(5),
    };
    let tolerance = Duration::from_secs(300);
    let registry = CallerRegistry::new(AuthMode::Open, tolerance, [app]).unwrap();
    let ingress = TestIngress::with(|_, dependencies| {
        dependencies.callers = Reloadable::new(registry);
    })
    .await;
    let policy = "\"rate\";q=2;w=7200, \"in_flight\";q=5;qu=\"concurrent-requests\"";
    for (status, left) in [(200, 1), (200, 0), (429, 0)] {
        let answer = ingress.post("", &callback("{}")).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), Some(policy));
        let state = answer.header("ratelimit").unwrap();
        let expected = format!("\"rate\";r={left};t=");
        assert!(state.starts_with(&expected), "{state}");
        assert!(state.ends_with(", \"in_flight\";r=4"), "{state}");
        assert_eq!(answer.header("retry-after").is_some(), status == 429);
    }
    let unlimited = callback("{}").replace("\"app_id\":\"a\"", "\"app_id\":\"b\"");
    let answer = ingress.post("", &unlimited).await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
}
