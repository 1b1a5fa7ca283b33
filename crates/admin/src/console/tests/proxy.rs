//! Tests of the sign-in by a proxy's header.

use std::net::IpAddr;

use super::{Browser, SAME_ORIGIN, with_tokens};
use crate::api::tests::ApiFixture;
use crate::config::{AdminConfig, Role};

/// A browser, or a proxy, at this address of this machine.
fn at(browser: &Browser, last: u8) -> Browser {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .local_address(IpAddr::from([127, 0, 0, last]));
    Browser {
        http: http.build().unwrap(),
        base: browser.base.clone(),
    }
}

#[tokio::test]
async fn a_listed_proxy_signs_its_users_in_with_their_roles_and_nobody_else_can() {
    let fixture = ApiFixture::new().await;
    let config = AdminConfig {
        proxy_user_header: Some("X-Forwarded-User".to_owned()),
        proxy_addresses: vec!["127.0.0.7".to_owned().try_into().unwrap()],
        proxy_users: [("rita".to_owned(), Role::Replay.into())].into(),
        ..with_tokens()
    };
    let client = fixture.serve_with(config, true);
    let browser = Browser::of(&client);
    let (proxy, other) = (at(&browser, 7), at(&browser, 8));
    let user = |name: &'static str| ("x-forwarded-user", name);
    let page = proxy.get("/console/audit", &[user("rita")]).await;
    assert_eq!(page.status(), 200);
    let html = page.text().await.unwrap();
    assert!(
        html.contains("Signed in as rita") && !html.contains("/console/sign-out"),
        "{html}"
    );
    // From elsewhere the header is nothing, whatever else a request says of itself.
    for headers in [
        &[user("rita")][..],
        &[user("rita"), ("x-forwarded-for", "127.0.0.7")],
        &[user("rita"), ("forwarded", "for=127.0.0.7")],
        &[user("rita"), ("x-real-ip", "127.0.0.7")],
    ] {
        for path in ["/console/", "/console/live/events"] {
            let answer = other.get(path, headers).await;
            assert_eq!(answer.status(), 303, "{path} {headers:?}");
        }
    }
    // Two lines: one of them may be the client's.
    let twice = [user("rita"), user("rita")];
    assert_eq!(proxy.get("/console/", &twice).await.status(), 303);
    assert_eq!(proxy.get("/console/", &[]).await.status(), 303);
    // The roles are those of the settings; others may read.
    let letter = fixture.dead_letter("demo", "exhausted").await.request_id;
    let replay = format!("/console/callbacks/{letter}/replay");
    assert_eq!(proxy.get(&replay, &[user("bob")]).await.status(), 403);
    assert_eq!(proxy.get("/console/", &[user("bob")]).await.status(), 200);
    let form = "reason=it+is+back";
    // A page of another site cannot use the proxy's sign-in.
    let foreign = [("sec-fetch-site", "cross-site"), user("rita")];
    assert_eq!(proxy.post(&replay, form, &foreign).await.status(), 403);
    let spoofed = other
        .post(&replay, form, &[SAME_ORIGIN, user("rita")])
        .await;
    assert_eq!(spoofed.status(), 303);
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    assert!(entries.is_empty(), "{entries:?}");
    let done = proxy
        .post(&replay, form, &[SAME_ORIGIN, user("rita")])
        .await;
    assert_eq!(done.status(), 200);
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    assert_eq!(entries[0].entry.actor, "rita");
    // The API takes tokens alone.
    let api = proxy.get("/admin/v1/targets", &[user("rita")]).await;
    assert_eq!(api.status(), 401);
    drop(client);
    fixture.close().await;
}
