//! The console of a running gateway: what an operator finds on its pages alone.

use std::time::Duration;

use reqwest::header::{ACCEPT_LANGUAGE, LOCATION, SET_COOKIE};
use reqwest::{Response, StatusCode};
use tests::{Callee, GatewayOptions, SharedGateway, eventually, http, on_shared_runtime};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

const TOKEN: &str = "token-of-the-operators-0123456789";

const PAGES: [&str; 7] = [
    "/console/live",
    "/console/",
    "/console/targets",
    "/console/callbacks",
    "/console/dead-letters",
    "/console/audit",
    "/console/pauses",
];

async fn fixture(token: Option<&str>) -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions {
            schedule: "1s".to_owned(),
            ..GatewayOptions::default()
        };
        let options = options.with_journal();
        match token {
            Some(token) => options.with("RINGBACK__ADMIN__TOKEN", token),
            None => options,
        }
    })
    .await
}

async fn get(fixture: &SharedGateway, path: &str, headers: &[(&str, &str)]) -> Response {
    let url = format!("{}{path}", fixture.gateway.admin_url());
    let mut request = http::client().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn page(fixture: &SharedGateway, path: &str, language: &str) -> String {
    let answer = get(fixture, path, &[(ACCEPT_LANGUAGE.as_str(), language)]).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let policy = answer.headers()["content-security-policy"].to_str();
    assert!(policy.unwrap().starts_with("default-src 'none';"));
    answer.text().await.unwrap()
}

#[test]
fn a_dead_letter_and_its_cause_are_found_on_pages_alone_in_both_languages() {
    on_shared_runtime(async {
        let fixture = fixture(None).await;
        let fixture = fixture.in_test();
        let mut callback = fixture.callback("/status/503");
        callback["app_id"] = "<script>乐居\u{202e}".into();
        let id = fixture.send(&callback).await;
        eventually("the dead letter on its page", SOON, async || {
            let html = page(&fixture, "/console/dead-letters", "en").await;
            html.contains(&id).then_some(()).ok_or(html)
        })
        .await;
        for (language, headline, dead) in [
            ("en-GB", "lang=\"en\"", "Dead letters"),
            ("zh-CN,zh;q=0.9,en;q=0.1", "lang=\"zh-CN\"", "死信"),
        ] {
            for path in PAGES {
                let html = page(&fixture, path, language).await;
                assert!(
                    html.contains(headline) && html.contains(dead),
                    "{path}: {html}"
                );
                let foreign = html.replace("<script src=\"/console/", "");
                assert!(
                    !foreign.contains("<script") && html.len() < 150_000,
                    "{path}"
                );
            }
            // The way of an operator: the first page, the list, the callback, its cause.
            let first = page(&fixture, "/console/", language).await;
            assert!(first.contains("href=\"/console/dead-letters\""), "{first}");
            let list = page(&fixture, "/console/dead-letters?reason=exhausted", language).await;
            let link = format!("/console/callbacks/{id}");
            assert!(list.contains(&format!("href=\"{link}\"")), "{list}");
            let one = page(&fixture, &link, language).await;
            for part in ["503", "exhausted", "&#60;script&#62;乐居", r"\u{202e}"] {
                assert!(one.contains(part), "{part}: {one}");
            }
            let targets = page(&fixture, "/console/targets", language).await;
            assert!(targets.contains("503"), "{targets}");
        }
        let find = format!("/console/callbacks/find?id={id}");
        let answer = get(&fixture, &find, &[]).await;
        assert_eq!(
            answer.headers()[LOCATION],
            format!("/console/callbacks/{id}")
        );
    });
}

#[test]
fn without_a_session_a_page_leads_to_the_sign_in_and_a_token_opens_it() {
    on_shared_runtime(async {
        let fixture = fixture(Some(TOKEN)).await;
        let fixture = fixture.in_test();
        for path in PAGES.into_iter().chain(["/"]) {
            let answer = get(&fixture, path, &[]).await;
            assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
            let to = answer.headers()[LOCATION].to_str().unwrap();
            assert!(to.starts_with("/console/sign-in?next="), "{to}");
        }
        let url = format!("{}/console/sign-in", fixture.gateway.admin_url());
        let sign_in = |token: &str, site: &'static str| {
            let request = http::client().post(&url).body(format!("token={token}"));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            request.header("sec-fetch-site", site).send()
        };
        let refused = sign_in(TOKEN, "cross-site").await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let wrong = sign_in("wrong", "same-origin").await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
        let opened = sign_in(TOKEN, "same-origin").await.unwrap();
        assert_eq!(opened.status(), StatusCode::SEE_OTHER);
        let cookie = opened.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap();
        for path in PAGES {
            let answer = get(&fixture, path, &[("cookie", cookie)]).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
        }
    });
}
