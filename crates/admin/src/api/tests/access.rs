//! Tests that every route rejects requests without the needed role.

use delivery::auth::KeyHash;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use reqwest::{Client, Method};
use uuid::Uuid;

use super::fixture::{ApiFixture, TestClient};
use crate::api::routes;
use crate::config::{AdminConfig, Role, Roles, TokenConfig};

/// A key that an app sends to ingress.
const APP_KEY: &str = "rbk_of-an-app";

/// Every endpoint with the role it needs, and one that does not exist.
fn endpoints() -> Vec<(Method, String, Role)> {
    let known = routes::ENDPOINTS.iter().map(|endpoint| {
        let path = endpoint
            .path
            .replace("{id}", &Uuid::from_u128(7).to_string());
        let method = endpoint.method.as_str().parse().unwrap();
        (method, path, endpoint.role)
    });
    let unknown = "/admin/v1/nothing".to_owned();
    known
        .chain([(Method::PUT, unknown, Role::Configure)])
        .collect()
}

/// The status of a request with this `Authorization`.
async fn status(
    client: &TestClient,
    http: &Client,
    method: &Method,
    path: &str,
    authorization: &str,
) -> u16 {
    let url = format!("{}{path}", client.base);
    let mut request = http.request(method.clone(), url).body("{}");
    request = request.header(CONTENT_TYPE, "application/json");
    if !authorization.is_empty() {
        request = request.header(AUTHORIZATION, authorization);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_route_rejects_a_missing_or_wrong_token_an_app_key_and_another_role() {
    let fixture = ApiFixture::new().await;
    let roles = [Role::Read, Role::Payload, Role::Replay, Role::Configure];
    let tokens = roles.map(|role| {
        let hash = KeyHash::of(role.as_str().as_bytes()).to_string();
        let role = Roles::from(role);
        (role.to_string(), TokenConfig { hash, role })
    });
    let config = AdminConfig {
        token: Some("admin-token".into()),
        tokens: tokens.into(),
        ..AdminConfig::default()
    };
    let client = fixture.serve_with(config, true);
    for (last, (method, path, needed)) in (1..).zip(endpoints()) {
        let http = client.at(last); // Wrong tokens are slowed by address.
        for authorization in [
            String::new(),
            "Bearer wrong".to_owned(),
            "Bearer ".to_owned(),
            "Basic admin-token".to_owned(),
            "admin-token".to_owned(),
            format!("Bearer {APP_KEY}"),
            format!("Bearer {}", KeyHash::of(b"admin-token")),
        ] {
            let status = status(&client, &http, &method, &path, &authorization).await;
            assert_eq!(status, 401, "{method} {path} with {authorization:?}");
        }
        // Independent of the table: the role that each kind of request needs at least.
        let at_least = match (&method, &*path) {
            // With a message, or its first bytes.
            (&Method::GET, path) if path.contains("/unreadable/") || path.ends_with("/payload") => {
                Role::Payload
            }
            (&Method::GET, _) => Role::Read,
            (_, path) if path.ends_with("/erase") => Role::Configure,
            (_, path)
                if ["/dead-letters/", "/unreadable/", "/callbacks/"]
                    .iter()
                    .any(|part| path.contains(part)) =>
            {
                Role::Replay
            }
            (_, path) if path.ends_with("/expedite") => Role::Replay,
            _ => Role::Configure,
        };
        assert_eq!(needed, at_least, "{method} {path}");
        for role in roles {
            let status = status(&client, &http, &method, &path, &format!("Bearer {role}")).await;
            match Roles::from(role).grant(needed) {
                false => assert_eq!(status, 403, "{method} {path} as {role}"),
                true => assert!(!matches!(status, 401 | 403), "{method} {path} as {role}"),
            }
        }
        let status = status(&client, &http, &method, &path, "Bearer admin-token").await;
        assert!(
            !matches!(status, 401 | 403 | 500..),
            "{method} {path}: {status}"
        );
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn every_role_learns_which_methods_a_path_supports() {
    let fixture = ApiFixture::new().await;
    let hash = KeyHash::of(b"read").to_string();
    let token = TokenConfig {
        hash,
        role: Role::Read.into(),
    };
    let config = AdminConfig {
        tokens: [("ann".to_owned(), token)].into(),
        ..AdminConfig::default()
    };
    let client = fixture.serve_with(config, true);
    for (method, status) in [
        (Method::PUT, 405),
        (Method::OPTIONS, 204),
        (Method::HEAD, 200),
    ] {
        let url = format!("{}/admin/v1/pauses", client.base);
        let request = client.http.request(method.clone(), &url);
        let refused = request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(refused.status(), 401, "{method}");
        let answer = request.bearer_auth("read").send().await.unwrap();
        assert_eq!(answer.status(), status, "{method}");
        let allowed = answer.headers().get("allow");
        let allowed = allowed.map(|value| value.to_str().unwrap());
        let expected = (status != 200).then_some("GET, HEAD, POST, DELETE, OPTIONS");
        assert_eq!(allowed, expected, "{method}");
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn without_a_token_every_route_rejects_foreign_hosts_and_origins() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for (method, path, _) in endpoints() {
        let url = format!("{}{path}", client.base);
        for (name, value) in [(HOST, "evil.example"), (ORIGIN, "null")] {
            let request = client.http.request(method.clone(), &url).body("{}");
            let request = request.header(CONTENT_TYPE, "application/json");
            let response = request.header(&name, value).send().await.unwrap();
            assert_eq!(response.status(), 403, "{method} {path} with {name}");
        }
    }
    drop(client);
    fixture.close().await;
}
