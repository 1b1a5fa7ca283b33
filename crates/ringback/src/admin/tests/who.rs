//! Is every route closed to whoever may not ask it?

use boot::settings::{AdminSettings, Role, TokenSettings};
use delivery::callers::KeyHash;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use uuid::Uuid;

use super::ground::{Asking, Ground};
use crate::admin::routes;

/// What an app shows at the door in.
const KEY_OF_AN_APP: &str = "rbk_of-an-app";

/// Every method and path that somebody answers, and one that nobody does.
fn paths() -> Vec<(reqwest::Method, String)> {
    let known = routes::table().into_iter().map(|(method, path, _)| {
        let path = path.replace("{id}", &Uuid::from_u128(7).to_string());
        (method.as_str().parse().unwrap(), path)
    });
    let unknown = (reqwest::Method::PUT, "/api/nothing".to_owned());
    known.chain([unknown]).collect()
}

/// The status of a request that bears this.
async fn ask(asking: &Asking, method: &reqwest::Method, path: &str, bears: &str) -> u16 {
    let url = format!("{}{path}", asking.base);
    let mut request = asking.client.request(method.clone(), url).body("{}");
    request = request.header(CONTENT_TYPE, "application/json");
    if !bears.is_empty() {
        request = request.header(AUTHORIZATION, bears);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn no_route_is_open_to_whoever_has_no_token_a_wrong_one_or_an_apps_key() {
    let ground = Ground::new().await;
    let token = |word: &str, role| {
        let hash = KeyHash::of(word.as_bytes()).to_string();
        (word.to_owned(), TokenSettings { hash, role })
    };
    let all = [Role::Read, Role::Replay, Role::Configure];
    let settings = AdminSettings {
        token: Some("whole".into()),
        tokens: all.map(|role| token(role.as_str(), role)).into(),
        ..AdminSettings::default()
    };
    let asking = ground.open_with(settings, true);
    for (method, path) in paths() {
        for bears in [
            String::new(),
            "Bearer wrong".to_owned(),
            "Bearer ".to_owned(),
            "Basic whole".to_owned(),
            "whole".to_owned(),
            format!("Bearer {KEY_OF_AN_APP}"),
            format!("Bearer {}", KeyHash::of(b"whole")),
        ] {
            let status = ask(&asking, &method, &path, &bears).await;
            assert_eq!(status, 401, "{method} {path} with {bears:?}");
        }
        let reach = match (&method, &*path) {
            (&reqwest::Method::GET, _) => 0,
            (_, path) if path.starts_with("/api/dead/") || path.contains("/cancel") => 1,
            _ => 2,
        };
        for (place, role) in all.iter().enumerate() {
            let bears = format!("Bearer {}", role.as_str());
            let status = ask(&asking, &method, &path, &bears).await;
            let out = matches!(status, 401 | 403);
            assert_eq!(
                out,
                place < reach,
                "{method} {path} as {}: {status}",
                role.as_str()
            );
        }
        let status = ask(&asking, &method, &path, "Bearer whole").await;
        assert!(
            !matches!(status, 401 | 403 | 500..),
            "{method} {path}: {status}"
        );
    }
    drop(asking);
    ground.end().await;
}

#[tokio::test]
async fn without_a_token_no_route_is_open_to_a_name_of_somebody_elses() {
    let ground = Ground::new().await;
    let asking = ground.open(None, true);
    for (method, path) in paths() {
        let url = format!("{}{path}", asking.base);
        for (name, value) in [(HOST, "evil.example"), (reqwest::header::ORIGIN, "null")] {
            let request = asking.client.request(method.clone(), &url).body("{}");
            let request = request.header(CONTENT_TYPE, "application/json");
            let answer = request.header(&name, value).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 403, "{method} {path} with {name}");
        }
    }
    drop(asking);
    ground.end().await;
}
