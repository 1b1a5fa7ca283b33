//! The console of a running gateway: what waits and has died, grouped, and acts on all of it.

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode, Url};
use tests::{Callee, GatewayOptions, SharedGateway, eventually, http, on_shared_runtime};
use uuid::Uuid;

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

async fn fixture() -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions {
            schedule: "1s".to_owned(),
            ..GatewayOptions::default()
        };
        options.with_journal()
    })
    .await
}

async fn page(fixture: &SharedGateway, path: &str) -> String {
    let url = format!("{}{path}", fixture.gateway.admin_url());
    let answer = http::client().get(url).send().await.unwrap();
    let status = answer.status();
    let html = answer.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{path}: {html}");
    html
}

async fn page_with(fixture: &SharedGateway, path: &str, part: &str) -> String {
    eventually(part, SOON, async || {
        let html = page(fixture, path).await;
        html.contains(part).then_some(html.clone()).ok_or(html)
    })
    .await
}

async fn post(fixture: &SharedGateway, path: &str, form: &[(&str, &str)]) -> Response {
    let encoded = Url::parse_with_params("http://form.example/", form).unwrap();
    let body = encoded.query().unwrap().to_owned();
    let request = http::client().post(format!("{}{path}", fixture.gateway.admin_url()));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.header("sec-fetch-site", "same-origin");
    request.body(body).send().await.unwrap()
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let begin = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = html
        .split_once(&begin)
        .ok_or_else(|| format!("{name}: {html}"))
        .unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

/// The dry run says `matched`; then it is done, and its page says so.
async fn done(fixture: &SharedGateway, path: &str, matched: &str, reason: &str) -> String {
    let counted = format!("This would act on {matched}<");
    let html = page_with(fixture, path, &counted).await;
    let (seen, at) = (hidden(&html, "matched"), hidden(&html, "counted_at"));
    let form = [
        ("rate", "1000"),
        ("matched", &*seen),
        ("counted_at", &*at),
        ("actor", "ann"),
        ("reason", reason),
    ];
    let begun = post(fixture, path, &form).await;
    assert_eq!(begun.status(), StatusCode::SEE_OTHER, "{path}");
    let operation = begun.headers()[LOCATION].to_str().unwrap().to_owned();
    let html = page_with(fixture, &operation, "role=\"status\">done").await;
    assert!(html.contains(&format!("{matched} / {matched}")), "{html}");
    html
}

#[test]
fn dead_letters_are_found_by_what_they_have_in_common_and_replayed_together() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let app = Uuid::now_v7().to_string();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let mut callback = fixture.callback("/status/503");
            callback["app_id"] = app.clone().into();
            ids.push(fixture.send(&callback).await);
        }
        let target = fixture.callee.url("");
        let by = |by: &str| format!("/console/dead-letters/groups?app_id={app}&by={by}");
        // All three are one group, however they are grouped.
        page_with(&fixture, &by("reason"), "<td class=\"number\">3</td>").await;
        for (way, name) in [
            ("target", target.trim_end_matches('/')),
            ("reason", "exhausted"),
            ("attempt", "answered_5xx 503"),
        ] {
            let html = page(&fixture, &by(way)).await;
            assert!(html.contains(name), "{way}: {html}");
            assert!(
                html.contains("<td class=\"number\">3</td>"),
                "{way}: {html}"
            );
        }
        let replay = format!("/console/bulk/replay-dead-letters?app_id={app}");
        done(&fixture, &replay, "3", "the target is repaired").await;
        for id in &ids {
            // Two attempts of each life.
            fixture.received(id, 4).await;
            let one = format!("/console/callbacks/{id}");
            let html = page_with(&fixture, &one, "Replayed").await;
            assert!(html.contains("curl --globoff --request POST"), "{html}");
        }
        let audit = page(&fixture, "/console/audit").await;
        assert!(audit.contains("the target is repaired"), "{audit}");
        // They die again, and are discarded.
        page_with(&fixture, &by("hour"), "<td class=\"number\">3</td>").await;
        let discard = format!("/console/bulk/discard?app_id={app}");
        done(&fixture, &discard, "3", "nobody wants them").await;
        page_with(&fixture, &by("hour"), "No dead letter matches.").await;
    });
}

#[test]
fn what_waits_is_seen_by_reason_and_by_target_and_cancelled_together() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let app = Uuid::now_v7().to_string();
        for _ in 0..2 {
            let mut callback = fixture.callback("/ok");
            callback["app_id"] = app.clone().into();
            callback["options"] = serde_json::json!({ "delay_seconds": 3_600 });
            fixture.send(&callback).await;
        }
        let waiting = format!("/console/waiting?app_id={app}");
        let html = page_with(&fixture, &waiting, "delayed by its caller").await;
        assert!(html.contains("<td class=\"number\">2</td>"), "{html}");
        let target = fixture.callee.url("");
        let target = target.trim_end_matches('/');
        let one = Url::parse_with_params("http://form.example/", [("target", target)]).unwrap();
        let one = format!("/console/targets/one?{}", one.query().unwrap());
        let html = page_with(&fixture, &one, "delayed by its caller").await;
        assert!(html.contains("/console/bulk/expedite?"), "{html}");
        let apps = page_with(&fixture, "/console/apps", &app).await;
        assert!(!apps.contains("<script>"), "{apps}");
        let cancel = format!("/console/bulk/cancel?app_id={app}");
        done(&fixture, &cancel, "2", "not wanted").await;
        page_with(&fixture, &waiting, "Nothing waits.").await;
        // A failure is on the page of its target, with its cause, in figures and as a chart.
        let id = fixture.send(&fixture.callback("/status/503")).await;
        fixture.received(&id, 2).await;
        let html = page_with(&fixture, &one, "answered_5xx 503").await;
        assert!(
            html.contains("/console/dead-letters/groups?target="),
            "{html}"
        );
        page_with(&fixture, &one, "<svg class=\"chart\"").await;
        let settings = page(&fixture, "/console/settings").await;
        for part in ["[retry]", "RINGBACK__", "<code>retry.schedule</code>"] {
            assert!(settings.contains(part), "{part}: {settings}");
        }
        let schedule = page(&fixture, "/console/schedule?waits=10s%2C1m").await;
        assert!(
            schedule.contains("1m 10s") && schedule.contains("<code>1s</code>"),
            "{schedule}"
        );
    });
}

#[test]
fn a_target_is_paused_resumed_and_said_to_be_back_on_its_page() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_: &Callee| {
            let options = GatewayOptions {
                schedule: "900s".to_owned(),
                ..GatewayOptions::default()
            };
            options.with_journal()
        })
        .await;
        let fixture = fixture.in_test();
        let target = fixture.callee.url("");
        let target = target.trim_end_matches('/');
        let query = Url::parse_with_params("http://form.example/", [("target", target)]).unwrap();
        let query = query.query().unwrap();
        let one = format!("/console/targets/one?{query}");
        let id = fixture.send(&fixture.callback("/status/503")).await;
        fixture.received(&id, 1).await;
        page_with(&fixture, &one, "retry after a failure").await;

        let change = |act| {
            let form = [
                ("act", act),
                ("kind", "target"),
                ("name", target),
                ("actor", "ann"),
                ("reason", "repairs"),
                ("next", &*one),
            ];
            let fixture = &fixture;
            async move { post(fixture, "/console/pauses", &form).await }
        };
        let paused = change("pause").await;
        assert_eq!(paused.headers()[LOCATION].to_str().unwrap(), one);
        let html = page(&fixture, &one).await;
        assert!(
            html.contains("ann: repairs") && html.contains(">Resume<"),
            "{html}"
        );
        let resumed = change("resume").await;
        assert_eq!(resumed.status(), StatusCode::SEE_OTHER);
        let html = page(&fixture, &one).await;
        assert!(
            !html.contains("ann: repairs") && html.contains(">Pause<"),
            "{html}"
        );

        let expedite = format!("/console/bulk/expedite?{query}");
        done(&fixture, &expedite, "1", "its owner says that it is back").await;
        fixture.received(&id, 2).await;
        let audit = page(&fixture, "/console/audit").await;
        assert!(audit.contains("expedite"), "{audit}");
    });
}

#[test]
fn unreadable_messages_are_seen_discarded_and_put_back() {
    on_shared_runtime(async {
        let mut fixture = fixture().await;
        let bodies = [b"\xff first".to_vec(), b"\xff second <script>".to_vec()];
        fixture.gateway.insert_messages("first", &bodies).await;
        let fixture = fixture.in_test();
        let path = "/console/unreadable";
        let html = page_with(&fixture, path, "So many wait, at least: 2").await;
        assert!(!html.contains("<script>"), "{html}");
        let id = hidden(&html, "id");
        let form = [("id", &*id), ("actor", "ann"), ("reason", "of no use")];
        let done = post(&fixture, "/console/unreadable/discard", &form).await;
        let to = done.headers()[LOCATION].to_str().unwrap().to_owned();
        assert_eq!(to, "/console/unreadable?changed=1");
        let html = page_with(&fixture, path, "So many wait, at least: 1").await;
        assert_ne!(hidden(&html, "id"), id);
        let form = [("actor", "ann"), ("reason", "after the upgrade")];
        let done = post(&fixture, "/console/unreadable/requeue", &form).await;
        assert_eq!(done.status(), StatusCode::SEE_OTHER);
        // It still cannot be decoded.
        page_with(&fixture, path, "So many wait, at least: 1").await;
        let audit = page(&fixture, "/console/audit").await;
        for part in [
            "discard_unreadable",
            "requeue_unreadable",
            "after the upgrade",
        ] {
            assert!(audit.contains(part), "{part}: {audit}");
        }
    });
}
