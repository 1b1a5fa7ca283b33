//! Ids by their first digits, and lists that would be silently empty.

use contract::CallbackStatus;
use journal::Record;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ApiFixture, dead, message, record, with_actor};

/// A dead letter with this id.
async fn dead_letter(fixture: &ApiFixture, id: &str) -> Uuid {
    let mut message = message("demo");
    message.request_id = Uuid::try_parse(id).unwrap();
    let letter: Record = record(&message, dead("exhausted"));
    fixture.journal.record(&[letter]).await.unwrap();
    message.request_id
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap()
}

#[tokio::test]
async fn a_unique_beginning_of_an_id_is_enough_for_reading_and_not_for_acts() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let one = dead_letter(&fixture, "01a20a25-46b9-7361-a013-9bc3295ebef1").await;
    let two = dead_letter(&fixture, "01a20a25-46b9-7361-a013-9bc3295ebef2").await;
    let other = dead_letter(&fixture, "01a20a26-46b9-7361-a013-9bc3295ebef2").await;
    for path in [
        "/admin/v1/callbacks/01A20A26",
        "/admin/v1/callbacks/01a20a26-46b9-7",
        "/admin/v1/dead-letters/01a20a2646b9",
        "/admin/v1/callbacks/01a20a26/payload?actor=me",
    ] {
        let (status, shown) = client.get(path).await;
        assert_eq!(
            (status, &shown["request_id"]),
            (200, &json!(other)),
            "{path}"
        );
    }
    let (status, _) = client.get("/admin/v1/callbacks/01a20a26/holders").await;
    assert_eq!(status, 200);
    // Both have these digits.
    let (status, problem) = client.get("/admin/v1/callbacks/01a20a25-46b9").await;
    let sentence =
        format!("several request_ids begin with 01a20a25-46b9: {one}, {two}; write more digits");
    assert_eq!((status, detail(&problem)), (400, &*sentence));
    let (status, problem) = client.get("/admin/v1/dead-letters/ffffffff").await;
    let sentence = "the journal knows no callback whose request_id begins with ffffffff";
    assert_eq!((status, detail(&problem)), (404, sentence));
    assert_eq!(problem["code"], "unknown_callback");
    for path in ["/admin/v1/callbacks/01a20a2", "/admin/v1/dead-letters/x"] {
        let (status, problem) = client.get(path).await;
        assert_eq!(status, 400, "{path}");
        assert!(
            detail(&problem).contains("is not a request_id: write one as"),
            "{problem}"
        );
    }
    // What changes something takes whole ids, whatever begins like this.
    let begin = "an act needs the whole request_id: GET /admin/v1/callbacks/01a20a26 shows";
    let replay = "/admin/v1/dead-letters/replay";
    let body = with_actor(json!({"ids": [one, "01a20a26"]}));
    let single = "/admin/v1/callbacks/01a20a26/cancel";
    for (path, body) in [
        (replay, body.clone()),
        (replay, json!({"ids": ["01a20a26"], "dry_run": true})),
        ("/admin/v1/dead-letters/discard", body.clone()),
        ("/admin/v1/callbacks/replay", body.clone()),
        ("/admin/v1/callbacks/retry-now", body.clone()),
        ("/admin/v1/callbacks/cancel", body.clone()),
        ("/admin/v1/callbacks/erase", body),
        (single, with_actor(json!({}))),
    ] {
        let (status, problem) = client.post(path, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid_parameter")),
            "{path}"
        );
        assert!(detail(&problem).starts_with(begin), "{path}: {problem}");
    }
    for id in [one, two, other] {
        let found = fixture.journal.find(id).await.unwrap().unwrap();
        assert_eq!(
            (found.status, found.discarded),
            (CallbackStatus::Dead, false)
        );
    }
    // Twice the same one counts once.
    let body = with_actor(json!({"ids": [other, other.simple().to_string()]}));
    let (status, done) = client.post(replay, body).await;
    assert_eq!((status, &done["replayed"]), (200, &json!(1)), "{done}");
    let (status, done) = client
        .post(
            &format!("/admin/v1/callbacks/{other}/cancel"),
            with_actor(json!({})),
        )
        .await;
    assert_eq!(
        (status, &done["request_id"]),
        (200, &json!(other)),
        "{done}"
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn only_the_first_candidates_of_an_unclear_beginning_are_listed() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for number in 10..25 {
        dead_letter(
            &fixture,
            &format!("01a20a25-46b9-7361-a013-9bc3295ebe{number}"),
        )
        .await;
    }
    let (_, problem) = client.get("/admin/v1/callbacks/01a20a25").await;
    let sentence = detail(&problem);
    assert_eq!(sentence.matches("-9bc3295ebe").count(), 10, "{sentence}");
    assert!(
        sentence.ends_with("ebe19 and more; write more digits"),
        "{sentence}"
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn what_nobody_knows_is_refused_in_every_request_that_selects_by_it() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for filter in [
        "target=h.example:443",
        "callee_no=EO0O1",
        "reason=tired",
        "status=deda",
    ] {
        for list in ["callbacks", "dead-letters"] {
            let (status, problem) = client.get(&format!("/admin/v1/{list}?{filter}")).await;
            assert_eq!(
                (status, &problem["code"]),
                (400, &json!("invalid_parameter")),
                "{filter}"
            );
        }
    }
    for path in [
        "/admin/v1/callbacks/retry-now",
        "/admin/v1/callbacks/cancel",
        "/admin/v1/dead-letters/replay",
        "/admin/v1/dead-letters/discard",
    ] {
        for filter in [
            json!({"callee_no": "EO0O1"}),
            json!({"target": "h.example"}),
        ] {
            for body in [
                json!({"filter": filter, "dry_run": true}),
                with_actor(json!({"filter": filter})),
            ] {
                let (status, problem) = client.post(path, body.clone()).await;
                assert_eq!(status, 400, "{path} {body}");
                let known = ["known: EO001 乐居新房", "must be a URL with its scheme"];
                assert!(
                    known.iter().any(|words| detail(&problem).contains(words)),
                    "{problem}"
                );
            }
        }
    }
    let body = with_actor(json!({"callee_no": "EO0O1"}));
    let (status, problem) = client.post("/admin/v1/pauses", body).await;
    assert_eq!(status, 404);
    assert!(
        detail(&problem).contains("known: EO001 乐居新房"),
        "{problem}"
    );
    drop(client);
    fixture.close().await;
}
