//! Bulk acts on a served console: the dry run, the operation, its stop, and who may do it.

use std::time::Duration;

use broker::Queue;
use url::form_urlencoded::Serializer;

use super::tests::{Browser, SAME_ORIGIN, location, sent_back, with_tokens};
use crate::api::tests::{ApiFixture, TestClient};
use crate::config::{AdminConfig, Role, TokenConfig};

/// For what only the machine's load delays.
const SOON: Duration = Duration::from_secs(30);

fn config() -> AdminConfig {
    let mut config = with_tokens();
    config.tokens.insert(
        "rita".to_owned(),
        TokenConfig {
            hash: delivery::auth::KeyHash::of(b"token-of-rita").to_string(),
            role: Role::Replay.into(),
        },
    );
    config
}

async fn signed_in(client: &TestClient, token: &str) -> (Browser, String) {
    let browser = Browser::of(client);
    let (_, cookie) = browser.sign_in(token).await;
    (browser, sent_back(&cookie.unwrap()))
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let begin = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = html
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{name}: {html}"));
    rest.split_once('"').unwrap().0.to_owned()
}

/// The form of a page, filled in.
fn form(html: &str, rate: &str, reason: &str) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("rate", rate);
    for name in ["matched", "counted_at"] {
        form.append_pair(name, &hidden(html, name));
    }
    form.append_pair("reason", reason);
    form.finish()
}

async fn page_with(browser: &Browser, path: &str, cookie: &str, part: &str) -> String {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let answer = browser.get(path, &[("cookie", cookie)]).await;
        let html = answer.text().await.unwrap();
        if html.contains(part) {
            return html;
        }
        assert!(tokio::time::Instant::now() < deadline, "{part}: {html}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn dead_letters_are_counted_then_replayed_in_one_operation_that_is_audited() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve_with(config(), true);
    let mut letters = Vec::new();
    for _ in 0..3 {
        letters.push(fixture.dead_letter("demo", "exhausted").await.request_id);
    }
    fixture.dead_letter("other", "rejected").await;
    let (browser, cookie) = signed_in(&client, "token-of-rita").await;
    let rita = ("cookie", &*cookie);

    let groups = "/console/dead-letters/groups?by=reason";
    let html = browser.get(groups, &[rita]).await.text().await.unwrap();
    let bulk = "/console/bulk/replay-dead-letters?status=dead&#38;reason=exhausted";
    assert!(html.contains(&format!("href=\"{bulk}\"")), "{html}");
    let bulk = bulk.replace("&#38;", "&");

    let html = browser.get(&bulk, &[rita]).await.text().await.unwrap();
    assert_eq!(hidden(&html, "matched"), "3", "{html}");
    for id in &letters {
        assert!(html.contains(&id.to_string()), "{html}");
    }
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    assert!(entries.is_empty(), "a dry run does nothing: {entries:?}");

    // What dies after the count is left alone.
    let later = fixture.dead_letter("demo", "exhausted").await.request_id;
    let sent = form(&html, "1000", "it is back");
    let foreign = [("sec-fetch-site", "cross-site"), rita];
    assert_eq!(browser.post(&bulk, &sent, &foreign).await.status(), 403);
    let own = [SAME_ORIGIN, rita];
    for (form, status) in [
        (form(&html, "1000", " "), 400),
        (form(&html, "0", "it is back"), 400),
        (form(&html, "fast", "it is back"), 400),
        (sent.clone(), 303),
    ] {
        let answer = browser.post(&bulk, &form, &own).await;
        assert_eq!(answer.status(), status, "{form}");
    }
    let html = page_with(&browser, "/console/operations", &cookie, ">done<").await;
    assert!(
        html.contains("3 / 3") && html.contains("it is back"),
        "{html}"
    );
    let mut published = Vec::new();
    for _ in 0..3 {
        published.push(fixture.next(Queue::Retry).await.request_id);
    }
    published.sort_unstable();
    letters.sort_unstable();
    assert_eq!(published, letters);
    let letter = fixture.journal.find(later).await.unwrap().unwrap();
    assert_eq!(letter.generation, 0, "it died after the count");
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    let entries: Vec<_> = entries
        .iter()
        .map(|it| (&*it.entry.actor, &*it.entry.action, it.entry.count))
        .collect();
    assert_eq!(entries, [("rita", "replay", 3)]);
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn an_operation_stops_when_it_is_told_and_the_same_act_does_the_rest() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve_with(config(), true);
    for _ in 0..4 {
        fixture.dead_letter("demo", "exhausted").await;
    }
    let (browser, cookie) = signed_in(&client, "token-of-rita").await;
    let rita = ("cookie", &*cookie);
    let own = [SAME_ORIGIN, rita];
    let bulk = "/console/bulk/discard?app_id=demo";
    let html = browser.get(bulk, &[rita]).await.text().await.unwrap();
    // One at once, and one more each second.
    let begun = browser
        .post(bulk, &form(&html, "1", "not wanted"), &own)
        .await;
    let operation = location(&begun).to_owned();
    let running = page_with(&browser, &operation, &cookie, "1 / 4").await;
    assert!(running.contains("http-equiv=\"refresh\""), "{running}");

    // A second click.
    let again = form(&html, "1", "not wanted");
    let again = browser.post(bulk, &again, &own).await;
    assert_eq!(again.status(), 409);
    let said = again.text().await.unwrap();
    assert!(said.contains(&operation), "{said}");

    let (reader, of_reader) = signed_in(&client, "token-of-a-reader").await;
    let of_reader = ("cookie", &*of_reader);
    let seen = reader.get(&operation, &[of_reader]).await;
    let stop = format!("{operation}/stop");
    assert!(!seen.text().await.unwrap().contains(&stop));
    let refused = reader.post(&stop, "", &[SAME_ORIGIN, of_reader]).await;
    assert_eq!(refused.status(), 403);
    for path in [bulk.to_owned(), format!("{bulk}&rate=7")] {
        assert_eq!(reader.get(&path, &[of_reader]).await.status(), 403);
    }
    let sent = "rate=1&matched=4&counted_at=7&actor=x&reason=x";
    let refused = reader.post(bulk, sent, &[SAME_ORIGIN, of_reader]).await;
    assert_eq!(refused.status(), 403);

    assert_eq!(browser.post(&stop, "", &own).await.status(), 303);
    let stopped = page_with(&browser, &operation, &cookie, "stopped").await;
    assert!(!stopped.contains("http-equiv=\"refresh\""), "{stopped}");
    assert!(!stopped.contains("4 / 4"), "{stopped}");

    let html = browser.get(bulk, &[rita]).await.text().await.unwrap();
    let left: u64 = hidden(&html, "matched").parse().unwrap();
    assert!((1..4).contains(&left), "{left}");
    let rest = form(&html, "1000", "not wanted");
    let begun = browser.post(bulk, &rest, &own).await;
    let done = "role=\"status\">done";
    page_with(&browser, location(&begun), &cookie, done).await;
    let nothing = "This would act on 0";
    page_with(&browser, bulk, &cookie, nothing).await;
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    let (stops, discards): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|it| &it.entry)
        .partition(|it| it.action == "stop");
    let discarded: u64 = discards.iter().map(|it| it.count).sum();
    assert_eq!((discards.len(), discarded), (2, 4), "{entries:?}");
    assert_eq!(stops.len(), 1, "{entries:?}");
    assert_eq!(
        (&*stops[0].actor, &*stops[0].reason),
        ("rita", "no reason given")
    );
    assert!(
        stops[0].subject.starts_with("discard: app_id demo"),
        "{entries:?}"
    );
    for path in [
        "/console/operations/7",
        "/console/operations/01a20a25-46b9-7361-a013-9bc3295ebef1",
        "/console/bulk/erase?app_id=demo",
    ] {
        assert_eq!(browser.get(path, &[rita]).await.status(), 404, "{path}");
    }
    for path in [
        "/console/bulk/replay?app_id=demo",
        "/console/bulk/cancel?reason=exhausted",
        "/console/bulk/discard?app=demo",
        "/console/bulk/discard?rate=0",
        "/console/dead-letters/groups?by=mood",
        "/console/targets/one",
    ] {
        assert_eq!(browser.get(path, &[rita]).await.status(), 400, "{path}");
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_search_leads_to_a_list_or_lists_what_an_id_may_mean() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve_with(config(), true);
    let one = fixture.dead_letter("demo", "exhausted").await.request_id;
    let two = fixture.dead_letter("demo", "exhausted").await.request_id;
    let (browser, cookie) = signed_in(&client, "token-of-a-reader").await;
    let reader = ("cookie", &*cookie);
    let search = |line: &str| super::links::to("/console/search", &[("q", line)]);
    for (line, to) in [
        ("app:demo", "/console/callbacks?app_id=demo".to_owned()),
        (
            "reason:exhausted http:503",
            "/console/dead-letters?reason=exhausted&http_status=503".to_owned(),
        ),
        (&*one.to_string(), format!("/console/callbacks/{one}")),
    ] {
        let answer = browser.get(&search(line), &[reader]).await;
        assert_eq!((answer.status().as_u16(), location(&answer)), (303, &*to));
        // The list takes what the search has made.
        assert_eq!(browser.get(&to, &[reader]).await.status(), 200, "{to}");
    }
    // Both were accepted in this minute, unless it has just ended.
    let beginning = &one.to_string()[..8];
    if two.to_string().starts_with(beginning) {
        let answer = browser.get(&search(beginning), &[reader]).await;
        assert_eq!(answer.status(), 200);
        let html = answer.text().await.unwrap();
        for id in [one, two] {
            assert!(html.contains(&format!("/console/callbacks/{id}")), "{html}");
        }
    }
    let wrong = browser.get(&search("app:demo mood:bad"), &[reader]).await;
    assert_eq!(wrong.status(), 400);
    let html = wrong.text().await.unwrap();
    for part in [
        "<code>mood:</code>",
        "status:dead",
        "value=\"app:demo mood:bad\"",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let unknown = browser.get(&search("ffffffff"), &[reader]).await;
    assert_eq!(unknown.status(), 404);
    drop(client);
    fixture.close().await;
}
