//! Tests of the API on a real journal and a real queue.

mod access;
mod bulk;
mod fixture;
mod request_ids;

use std::collections::HashSet;
use std::net::SocketAddr;

use broker::Queue;
use contract::CallbackStatus;
use journal::{AttemptRecord, RecordedState, TargetAnswer};
use reqwest::Method;
use runtime::clock::now_ms;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{AdminDependencies, openapi, routes, serve};
use crate::config::AdminConfig;
pub(crate) use fixture::{ApiFixture, TestClient, dead, message, record};

fn with_actor(mut body: Value) -> Value {
    body["actor"] = json!("me@here");
    body["reason"] = json!("the target is back");
    body
}

/// Reads a list to its end: the items of all pages.
pub(crate) async fn all_pages(client: &TestClient, path: &str) -> Vec<Value> {
    let (mut found, mut after): (_, Option<String>) = (Vec::new(), None);
    loop {
        let mut url = path.to_owned();
        if let Some(after) = &after {
            let pair = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("after", after)
                .finish();
            let separator = if path.contains('?') { '&' } else { '?' };
            url = format!("{path}{separator}{pair}");
        }
        let (status, page) = client.get(&url).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["items"].as_array().unwrap().clone());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn concurrent_replays_publish_each_dead_letter_once() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let mut expected = HashSet::new();
    for _ in 0..30 {
        expected.insert(fixture.dead_letter("demo", "exhausted").await.request_id);
    }
    fixture.dead_letter("other", "exhausted").await;
    let filter = json!({"filter": {"app_id": "demo"}, "limit": 1000});
    let mut dry_run = filter.clone();
    dry_run["dry_run"] = json!(true);
    let path = "/admin/v1/dead-letters/replay";
    let (status, counted) = client.post(path, dry_run).await;
    assert_eq!((status, &counted["matched"]), (200, &json!(30)));

    let replay = || client.post(path, with_actor(filter.clone()));
    let ((_, one), (_, two)) = tokio::join!(replay(), replay());
    let sum = one["replayed"].as_u64().unwrap() + two["replayed"].as_u64().unwrap();
    assert_eq!(sum, 30, "{one} {two}");
    for _ in 0..30 {
        let message = fixture.next(Queue::Retry).await;
        assert_eq!((message.generation, message.attempt), (1, 1));
        assert_eq!(message.request_message, r#"{ "n" : 1 }"#);
        assert!(expected.remove(&message.request_id), "published twice");
    }
    assert_eq!(all_pages(&client, "/admin/v1/dead-letters").await.len(), 1);
    let entries = all_pages(&client, "/admin/v1/audit?limit=1").await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    for entry in entries {
        assert_eq!(entry["action"], "replay");
        assert_eq!(entry["actor"], "me@here");
        assert_eq!(entry["subject"], "app_id demo");
        assert_eq!(entry["reason"], "the target is back");
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_replayed_by_its_id() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let id = fixture.dead_letter("demo", "rejected").await.request_id;
    let path = format!("/admin/v1/dead-letters/{id}");
    let (status, shown) = client.get(&path).await;
    assert_eq!((status, &shown["reason"]), (200, &json!("rejected")));
    assert_eq!(shown["has_message"], json!(true));
    assert_eq!(shown["message"], json!(null), "{shown}");
    let explanation = shown["explanation"].as_str().unwrap();
    assert!(explanation.contains("rejected the request"), "{shown}");

    let stranger = Uuid::now_v7();
    let body = with_actor(json!({"ids": [id, stranger]}));
    let replay = "/admin/v1/dead-letters/replay";
    let (_, done) = client.post(replay, body.clone()).await;
    assert_eq!(
        (&done["replayed"], &done["unknown"]),
        (&json!(1), &json!([stranger]))
    );
    let (_, again) = client.post(replay, body).await;
    assert_eq!(
        (&again["replayed"], &again["not_dead_letters"]),
        (&json!(0), &json!([id]))
    );
    let (status, problem) = client.get(&path).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("not_a_dead_letter"))
    );
    let (_, shown) = client.get(&format!("/admin/v1/callbacks/{id}")).await;
    assert_eq!(shown["generation"], 1);
    let path = format!("/admin/v1/callbacks/{stranger}");
    let (status, problem) = client.get(&path).await;
    assert_eq!(
        (status, &problem["code"]),
        (404, &json!("unknown_callback"))
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn each_look_at_a_message_and_the_answers_is_one_audit_row() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let mut letter = record(&message("demo"), dead("rejected"));
    letter.message = Some(message("demo").encode().into());
    letter.attempted = Some(AttemptRecord {
        generation: 0,
        number: 3,
        run: 1,
        started_at: letter.at,
        duration_ms: 7,
        outcome: "answered_4xx".to_owned(),
        http_status: Some(400),
        detail: None,
        cause: Some("told to operators".to_owned()),
        answer: Some(TargetAnswer {
            content_type: Some("text/plain".to_owned()),
            text: "字段缺失".to_owned(),
        }),
    });
    let id = letter.origin.request_id;
    fixture.journal.record(&[letter]).await.unwrap();
    for path in ["callbacks", "dead-letters"] {
        let (status, shown) = client.get(&format!("/admin/v1/{path}/{id}")).await;
        assert_eq!(status, 200);
        assert_eq!(shown["attempts"][0]["cause"], "told to operators");
        let shown = shown.to_string();
        assert!(
            !shown.contains("字段缺失") && !shown.contains("request_message"),
            "{shown}"
        );
    }
    assert_eq!(
        all_pages(&client, "/admin/v1/audit").await,
        [json!(null); 0]
    );

    let payload = format!("/admin/v1/callbacks/{id}/payload");
    for (query, sentence) in [
        ("", "\"actor\" is missing"),
        ("?actor=a&x=1", "unknown parameter"),
    ] {
        let (status, problem) = client.get(&format!("{payload}{query}")).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(sentence), "{problem}");
    }
    let (status, _) = client
        .get(&format!(
            "/admin/v1/callbacks/{}/payload?actor=ann",
            Uuid::now_v7()
        ))
        .await;
    assert_eq!(status, 404);
    for reason in ["", "&reason=ticket%207"] {
        let (status, shown) = client.get(&format!("{payload}?actor=ann{reason}")).await;
        assert_eq!(status, 200);
        assert_eq!(shown["message"]["request_message"], json!({"n": 1}));
        let answer = &shown["answers"][0];
        assert_eq!(answer["answer"], "字段缺失");
        assert_eq!(
            (
                &answer["number"],
                &answer["http_status"],
                &answer["content_type"]
            ),
            (&json!(3), &json!(400), &json!("text/plain"))
        );
    }
    let entries = all_pages(&client, "/admin/v1/audit").await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    for (entry, reason) in entries.iter().zip(["ticket 7", "no reason given"]) {
        assert_eq!(
            (
                &entry["action"],
                &entry["actor"],
                &entry["subject"],
                &entry["reason"]
            ),
            (&json!("look"), &json!("ann"), &json!(id), &json!(reason))
        );
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn discarded_dead_letters_are_no_longer_listed() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for _ in 0..5 {
        fixture.dead_letter("demo", "exhausted").await;
    }
    let kept = fixture.dead_letter("demo", "rejected").await.request_id;
    let body = with_actor(json!({"filter": {"reason": "exhausted"}, "limit": 4}));
    let path = "/admin/v1/dead-letters/discard";
    for (discarded, more) in [(4, true), (1, false)] {
        let (_, done) = client.post(path, body.clone()).await;
        assert_eq!(
            (&done["discarded"], &done["more"]),
            (&json!(discarded), &json!(more))
        );
    }
    let left = all_pages(&client, "/admin/v1/dead-letters").await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["request_id"], json!(kept));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn the_pages_of_dead_letters_are_newest_first_whatever_their_status() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let mut all = Vec::new();
    for index in 0..23 {
        let message = message("demo");
        let state = if index % 3 == 0 {
            RecordedState::Expired
        } else {
            dead("exhausted")
        };
        fixture
            .journal
            .record(&[record(&message, state)])
            .await
            .unwrap();
        all.push(json!(message.request_id));
    }
    all.reverse();
    for path in [
        "/admin/v1/dead-letters?limit=5",
        "/admin/v1/callbacks?app_id=demo&limit=5",
    ] {
        let (_, page) = client.get(path).await;
        assert_eq!(page["items"].as_array().unwrap().len(), 5);
        let found = all_pages(&client, path).await;
        let ids: Vec<Value> = found
            .iter()
            .map(|item| item["request_id"].clone())
            .collect();
        assert_eq!(ids, all, "{path}");
    }
    let expired = all_pages(&client, "/admin/v1/dead-letters?status=expired").await;
    assert_eq!(expired.len(), 8);
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn pauses_are_made_listed_by_page_and_ended() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let path = "/admin/v1/pauses";
    let mut expected = Vec::new();
    for number in 0..7 {
        let target = format!("https://h{number}.example:443");
        let body = with_actor(json!({ "target": format!("{target}/any?x=y") }));
        let (status, paused) = client.post(path, body.clone()).await;
        assert_eq!(status, 200);
        let scope = "this_process"; // The registry of the fixture has no journal.
        let made = json!({"paused": target, "new": true, "scope": scope});
        assert_eq!(paused, made);
        let (_, again) = client.post(path, body).await;
        assert_eq!(again["new"], false);
        expected.push(json!(target));
    }
    for limit in [1, 3, 7, 8] {
        let found = all_pages(&client, &format!("{path}?limit={limit}")).await;
        let targets: Vec<Value> = found.iter().map(|item| item["target"].clone()).collect();
        assert_eq!(targets, expected, "{limit}");
        assert_eq!(found[0]["actor"], "me@here");
    }
    let resume = format!("{path}?target=https://h0.example&actor=me&reason=x");
    let (status, resumed) = client.delete(&resume).await;
    assert_eq!((status, &resumed["resumed"]["target"]), (200, &expected[0]));
    let (status, problem) = client.delete(&resume).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_paused")));
    for (body, status, code) in [
        (json!({"callee_no": "EO1"}), 404, "unknown_callee"),
        (json!({"target": "h.example"}), 400, "invalid_parameter"),
        (json!({"target": "ftp://h"}), 400, "invalid_parameter"),
        (json!({}), 400, "invalid_parameter"),
        (json!({"switch": "all"}), 400, "invalid_parameter"),
        (json!({"app_id": " "}), 400, "invalid_parameter"),
        (
            json!({"app_id": "a", "switch": "intake"}),
            400,
            "invalid_parameter",
        ),
        (json!({"actor": 1}), 400, "invalid_body"),
    ] {
        let mut body = body;
        if body["actor"].is_null() {
            body = with_actor(body);
        }
        let (found, problem) = client.post(path, body.clone()).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{body}");
    }
    let (status, targets) = client.get("/admin/v1/targets?limit=5").await;
    assert_eq!(status, 200);
    let seen_by = json!({"answered": 1, "silent": [], "complete": true});
    let mut expected = json!({"items": [], "next": null, "seen_by": seen_by, "warnings": []});
    let (_, apps) = client.get("/admin/v1/apps").await;
    assert_eq!(apps, expected);
    let (_, holders) = client
        .get(&format!("/admin/v1/callbacks/{}/holders", Uuid::now_v7()))
        .await;
    assert_eq!(holders, expected);
    expected["others"] = json!({"count": 0});
    assert_eq!(targets, expected);
    let (status, instances) = client.get("/admin/v1/instances").await;
    assert_eq!(
        (status, &instances["items"][0]["role"]),
        (200, &json!("admin"))
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_switch_in_force_is_named_by_every_list() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let path = "/admin/v1/pauses";
    let lists = [
        "callbacks",
        "dead-letters",
        "pauses",
        "targets",
        "audit",
        "unreadable",
    ];
    for body in [json!({"switch": "deliveries"}), json!({"app_id": "crm"})] {
        let (status, paused) = client.post(path, with_actor(body)).await;
        assert_eq!((status, &paused["new"]), (200, &json!(true)));
    }
    for list in lists {
        let (status, body) = client.get(&format!("/admin/v1/{list}")).await;
        assert_eq!(status, 200, "{body}");
        // The pause of an app is not one.
        assert_eq!(
            body["switches"].as_array().unwrap().len(),
            1,
            "{list}: {body}"
        );
        assert_eq!(body["switches"][0]["kind"], "deliveries", "{list}: {body}");
        assert_eq!(body["switches"][0]["actor"], "me@here", "{list}: {body}");
    }
    let resume = format!("{path}?switch=deliveries&actor=me&reason=x");
    assert_eq!(client.delete(&resume).await.0, 200);
    for list in lists {
        let (_, body) = client.get(&format!("/admin/v1/{list}")).await;
        assert_eq!(body["switches"], Value::Null, "{list}: {body}");
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn intake_is_not_said_to_be_stopped_where_nobody_would_know() {
    let fixture = ApiFixture::new().await;
    let dependencies = AdminDependencies {
        has_ingress: false,
        ..fixture.dependencies()
    };
    let client = ApiFixture::serve_dependencies(AdminConfig::default(), dependencies);
    let stop = |switch: &str| with_actor(json!({ "switch": switch }));
    let path = "/admin/v1/pauses";
    // Without a journal a pause stays in this process, which has no ingress.
    let (status, problem) = client.post(path, stop("intake")).await;
    assert_eq!((status, &problem["code"]), (501, &json!("no_journal")));
    let (status, paused) = client.post(path, stop("deliveries")).await;
    assert_eq!((status, &paused["scope"]), (200, &json!("this_process")));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn an_invalid_or_forbidden_request_is_answered_with_a_problem() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(Some("secret"), true);
    assert_eq!(client.get("/admin/v1/dead-letters").await.0, 401);
    assert_eq!(client.get("/nothing").await.0, 401);
    drop(client);

    let client = fixture.serve(None, true);
    for path in [
        "/admin/v1/callbacks?app=x",
        "/admin/v1/dead-letters?status=queued",
        "/admin/v1/dead-letters?limit=2000",
        "/admin/v1/callbacks/7",
        "/admin/v1/dead-letters/7",
        "/admin/v1/callbacks?after=7",
        "/admin/v1/audit?since=1",
        "/admin/v1/audit?after=x",
        "/admin/v1/pauses?after=1-host",
        "/admin/v1/targets?after=-1",
        "/admin/v1/instances?limit=1",
        "/admin/v1/callbacks/7/holders",
    ] {
        let response = client.send(Method::GET, path, None).await;
        let media_type = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(media_type, "application/problem+json", "{path}");
        let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(problem["status"], 400, "{path}");
        assert_eq!(problem["code"], "invalid_parameter", "{path}");
        let kind = "urn:problem-type:ringback:invalid_parameter";
        assert_eq!(problem["type"], kind);
        assert!(problem["detail"].is_string() && problem["title"].is_string());
    }
    let replay = "/admin/v1/dead-letters/replay";
    let (status, problem) = client.post(replay, json!({"filter": {}})).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_body")));
    let large = Some(format!("{{\"ids\":[\"{}\"]}}", "x".repeat(130 * 1024)));
    let response = client.send(Method::POST, replay, large).await;
    assert_eq!(response.status(), 413);
    let media_type = response.headers()["content-type"].to_str().unwrap();
    assert_eq!(media_type, "application/problem+json");
    let url = format!("{}/admin/v1/dead-letters/reconcile", client.base);
    assert_eq!(client.http.post(url).send().await.unwrap().status(), 415);
    let url = format!("{}/admin/v1/dead-letters", client.base);
    let foreign = client.http.get(url).header("host", "evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let (status, problem) = client.get("/api/dead").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_route")));
    drop(client);

    let client = fixture.serve(None, false);
    let (status, problem) = client.get("/admin/v1/dead-letters").await;
    assert_eq!((status, &problem["code"]), (501, &json!("no_journal")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("journal.url"), "{detail}");
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn the_document_needs_no_token_and_its_page_is_there_by_setting_alone() {
    let fixture = ApiFixture::new().await;
    let closed = fixture.serve(Some("0123456789abcdef"), true);
    let get =
        |client: &TestClient, path: &str| client.http.get(format!("{}{path}", client.base)).send();
    let document = get(&closed, "/openapi.json?lang=zh").await.unwrap();
    assert_eq!(document.status(), 200);
    assert_eq!(document.bytes().await.unwrap(), openapi::chinese());
    assert_eq!(get(&closed, "/api-docs/").await.unwrap().status(), 404);
    assert_eq!(
        get(&closed, "/admin/v1/doctor").await.unwrap().status(),
        401
    );
    drop(closed);
    let config = AdminConfig {
        api_page: true,
        ..AdminConfig::default()
    };
    let shown = fixture.serve_with(config, true);
    let page = get(&shown, "/api-docs/").await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers().contains_key("content-security-policy"));
    drop(shown);
    fixture.close().await;
}

#[tokio::test]
async fn large_answers_are_compressed_for_clients_that_accept_it() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for (path, accepted, encoding) in [
        ("/openapi.json", Some("gzip, deflate"), Some("gzip")),
        ("/openapi.json", Some("gzip;q=0"), None),
        ("/openapi.json", None, None),
        ("/admin/v1/audit", Some("gzip"), None),
    ] {
        let mut request = client.http.get(format!("{}{path}", client.base));
        if let Some(accepted) = accepted {
            request = request.header("accept-encoding", accepted);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let found = response.headers().get("content-encoding");
        let found = found.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(found.as_deref(), encoding, "{path} {accepted:?}");
        let body = response.bytes().await.unwrap();
        match encoding {
            Some(_) => assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < 100_000),
            None => assert!(body.starts_with(b"{")),
        }
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn an_unsupported_method_is_answered_with_those_of_the_path() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for endpoint in &routes::ENDPOINTS {
        let path = endpoint
            .path
            .replace("{id}", &Uuid::from_u128(7).to_string());
        let body = Some("{}".to_owned());
        let response = client.send(Method::PUT, &path, body).await;
        assert_eq!(response.status(), 405, "{path}");
        let allowed = response.headers()["allow"].to_str().unwrap();
        let allowed: Vec<&str> = allowed.split(", ").collect();
        assert!(allowed.contains(&endpoint.method.as_str()), "{path}");
    }
    let response = client
        .send(Method::GET, "/admin/v1/dead-letters/replay", None)
        .await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST, OPTIONS");
    // Whatever its body is.
    let bare = client.http.post(format!("{}/admin/v1/doctor", client.base));
    assert_eq!(bare.send().await.unwrap().status(), 405);
    let response = client.send(Method::PATCH, "/admin/v1/pauses", None).await;
    assert_eq!(
        response.headers()["allow"],
        "GET, HEAD, POST, DELETE, OPTIONS"
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_waiting_callback_is_cancelled_and_the_audit_log_says_by_whom() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let message = message("demo");
    let next_attempt_at = now_ms() + 60_000;
    let waiting = record(&message, RecordedState::Retrying { next_attempt_at });
    fixture.journal.record(&[waiting]).await.unwrap();
    let path = format!("/admin/v1/callbacks/{}/cancel", message.request_id);
    let (status, answer) = client.post(&path, with_actor(json!({}))).await;
    let expected = json!({"request_id": message.request_id, "result": "cancelled"});
    assert_eq!((status, answer), (200, expected));
    let found = fixture
        .journal
        .find(message.request_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.status, CallbackStatus::Cancelled);
    let (_, log) = client.get("/admin/v1/audit?limit=1").await;
    assert_eq!(log["items"][0]["action"], "cancel");

    let dead = fixture.dead_letter("demo", "rejected").await.request_id;
    let path = format!("/admin/v1/callbacks/{dead}/cancel");
    let (status, problem) = client.post(&path, with_actor(json!({}))).await;
    assert_eq!((status, &problem["code"]), (409, &json!("already_ended")));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_listener_that_others_can_reach_needs_a_token() {
    let fixture = ApiFixture::new().await;
    let config = AdminConfig {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        token: None,
        ..AdminConfig::default()
    };
    let error = serve(&config, fixture.dependencies(), CancellationToken::new()).err();
    let sentence = error.unwrap().to_string();
    assert!(sentence.contains("admin.token"), "{sentence}");
    fixture.close().await;
}
