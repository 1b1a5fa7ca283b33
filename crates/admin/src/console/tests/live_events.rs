//! Tests of the live page and its stream of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contract::control::{
    AppsSeen, Ask, AttemptSeen, AttemptsSeen, ControlAnswerBody, InstanceReport, TargetsSeen,
};
use reqwest::Response;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Browser, HOSTILE, SAME_ORIGIN, sent_back, with_tokens};
use crate::api::AdminTokens;
use crate::api::tests::ApiFixture;
use crate::control::{ControlPlane, Responder};

/// How long anything may take.
const SOON: Duration = Duration::from_secs(20);

/// As `MAX_WATCHERS` of the stream.
const PLACES: usize = 10;

/// A process that has made so many attempts, and counts how often it is asked for them.
struct Busy {
    attempts: u64,
    asked: Arc<AtomicU64>,
}

impl Responder for Busy {
    fn identity(&self) -> InstanceReport {
        InstanceReport::default()
    }

    fn answer(&self, ask: Ask) -> ControlAnswerBody {
        match ask {
            Ask::Identity => ControlAnswerBody::Identity(Box::new(self.identity())),
            Ask::Targets => ControlAnswerBody::Targets(TargetsSeen::default()),
            Ask::Apps => ControlAnswerBody::Apps(AppsSeen::default()),
            Ask::Held(_) => ControlAnswerBody::Held(None),
            Ask::ProbeNow(_) => ControlAnswerBody::Probed(0),
            Ask::Attempts(asked) => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let all = (1..=self.attempts).map(|sequence| AttemptSeen {
                    sequence,
                    app_id: HOSTILE.to_owned(),
                    outcome: "timeout".to_owned(),
                    verdict: "retry".to_owned(),
                    ..AttemptSeen::default()
                });
                ControlAnswerBody::Attempts(AttemptsSeen {
                    attempts: all.filter(|it| asked.selects(it)).collect(),
                    left_out: false,
                })
            }
        }
    }
}

fn busy(fixture: &ApiFixture, attempts: u64) -> (ControlPlane, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let busy = Arc::new(Busy {
        attempts,
        asked: Arc::clone(&asked),
    });
    let never = CancellationToken::new();
    let plane = ControlPlane::start(&fixture.broker, false, busy, &never);
    (plane, asked)
}

/// Reads the stream until it says this. `None`: it ended before.
async fn read_until(answer: &mut Response, part: &str) -> Option<String> {
    let reading = async {
        let mut read = String::new();
        while !read.contains(part) {
            let chunk = answer.chunk().await.ok().flatten()?;
            read.push_str(&String::from_utf8_lossy(&chunk));
        }
        Some(read)
    };
    timeout(SOON, reading).await.unwrap()
}

#[tokio::test]
async fn attempts_are_sent_as_rows_at_most_two_hundred_at_a_time_until_the_session_ends() {
    let fixture = ApiFixture::new().await;
    let mut dependencies = fixture.dependencies();
    let (plane, asked) = busy(&fixture, 203);
    dependencies.control = plane;
    let tokens = dependencies.tokens.clone();
    let client = ApiFixture::serve_dependencies(with_tokens(), dependencies);
    let browser = Browser::of(&client);
    let path = "/console/live/events";
    assert_eq!(browser.get(path, &[]).await.status(), 303);
    let (_, cookie) = browser.sign_in("the-admin-token").await;
    let head = browser.http.head(format!("{}{path}", browser.base));
    let head = head.header("cookie", sent_back(&cookie.unwrap()));
    let head = head.send().await.unwrap();
    assert_eq!(head.status(), 405);
    assert_eq!(head.headers()["allow"], "GET");
    let part = browser.get(path, &[("hx-request", "true")]).await;
    assert_eq!(part.status(), 401);
    let to = part.headers()["hx-redirect"].to_str().unwrap();
    assert!(to.starts_with("/console/sign-in?next="), "{to}");

    let (_, cookie) = browser.sign_in("token-of-a-reader").await;
    let cookie = sent_back(&cookie.unwrap());
    let reader = ("cookie", &*cookie);
    let page = browser.get("/console/live", &[reader]).await;
    let html = page.text().await.unwrap();
    assert!(
        html.contains("sse-connect=\"/console/live/events\""),
        "{html}"
    );
    assert_eq!(html.matches("<tr data-key=").count(), 50, "the newest");
    let paused = browser.get("/console/live?paused=1", &[reader]).await;
    let html = paused.text().await.unwrap();
    assert!(
        !html.contains("sse-connect") && !html.contains("http-equiv"),
        "{html}"
    );
    let wrong = browser.get("/console/live?outcome=x", &[reader]).await;
    assert_eq!(wrong.status(), 400);

    let mut stream = browser.get(path, &[reader]).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let read = read_until(&mut stream, "event: notes").await.unwrap();
    let read = format!(
        "{read}{}",
        read_until(&mut stream, "\n\n").await.unwrap_or_default()
    );
    assert_eq!(read.matches("<tr data-key=").count(), 200);
    assert!(read.contains("more than 200 a second: 3"), "{read}");
    assert!(!read.contains("<script") && read.contains(r"\u{202e}txt.exe"));
    // What a filter does not select is not sent.
    let other = format!("{path}?app_id=other");
    let mut other = browser.get(&other, &[reader]).await;
    let nothing = timeout(Duration::from_millis(1_500), other.chunk()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    drop(other);
    // The token goes, and with it the session.
    let mut fewer = with_tokens();
    fewer.tokens.clear();
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    tokens.set(AdminTokens::reloaded(&fewer, listen).ok().unwrap());
    let end = read_until(&mut stream, "event: end").await.unwrap();
    assert_eq!(read_until(&mut stream, "never said").await, None);
    assert!(!end.contains("<tr data-key="), "each attempt comes once");
    // Nobody watches: nobody is asked.
    let before = asked.load(Ordering::Relaxed);
    assert!(before > 2, "{before}");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn few_watch_at_a_time_and_streams_end_with_the_process() {
    let fixture = ApiFixture::new().await;
    let mut dependencies = fixture.dependencies();
    dependencies.control = busy(&fixture, 1).0;
    let client = ApiFixture::serve_dependencies(with_tokens(), dependencies);
    let browser = Browser::of(&client);
    let (_, cookie) = browser.sign_in("the-admin-token").await;
    let cookie = sent_back(&cookie.unwrap());
    let admin = [("cookie", &*cookie), SAME_ORIGIN];
    let path = "/console/live/events";
    let mut streams = Vec::new();
    for _ in 0..PLACES {
        let mut stream = browser.get(path, &admin).await;
        read_until(&mut stream, "event: attempts").await.unwrap();
        streams.push(stream);
    }
    let refused = browser.get(path, &admin).await.text().await.unwrap();
    assert!(
        refused.starts_with("event: end\ndata: Too many operators"),
        "{refused}"
    );
    drop(streams.pop());
    let placed = async {
        loop {
            let mut stream = browser.get(path, &admin).await;
            if read_until(&mut stream, "event: attempts").await.is_some() {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    streams.push(timeout(SOON, placed).await.unwrap());
    drop(client);
    for mut stream in streams {
        assert_eq!(read_until(&mut stream, "never said").await, None);
    }
    fixture.close().await;
}
