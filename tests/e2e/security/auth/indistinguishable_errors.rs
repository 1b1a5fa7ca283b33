//! Errors reveal nothing: not what is wrong with a credential, and not whether another app has a
//! callback.

use super::*;

/// An answer without its date.
fn visible(answered: &GatewayResponse) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<_> = answered
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let body = String::from_utf8(answered.body.to_vec()).unwrap();
    (answered.status, headers, body)
}

/// Sends the request with each of the credentials, and checks that all answers are the same.
async fn assert_indistinguishable(
    fixture: &SharedGateway,
    (method, path, body): (&str, &str, &str),
    credentials: &[(&str, Vec<(String, String)>)],
) {
    let mut first = None;
    for (what, headers) in credentials {
        let answered = ask(fixture, method, path, body, headers).await;
        assert_eq!(answered.status, 401, "{method}: {what}");
        let visible = visible(&answered);
        assert!(!visible.2.is_empty(), "{method}: {what}");
        let first = first.get_or_insert_with(|| visible.clone());
        assert_eq!(visible, *first, "{method}: {what}");
    }
}

#[test]
fn no_401_reveals_what_is_wrong_with_a_key() {
    on_shared_runtime(async {
        let fixture = fixture("bearer", &[]).await;
        let plain = |value: &str| vec![("authorization".to_owned(), value.to_owned())];
        let credentials = [
            ("none", vec![]),
            ("an unknown key", bearer("rbk_wrong")),
            ("a key and a byte", bearer(&format!("{KEY_A}0"))),
            ("a key but a byte", bearer(&KEY_A[..KEY_A.len() - 1])),
            ("the hash of a key", bearer(&hash(KEY_A))),
            ("no key", bearer("")),
            ("no scheme", plain(KEY_A)),
            ("another scheme", plain("Basic QXBwQTp4")),
            (
                "the other way of proof",
                signed("AppA", &SECRET, &fresh(), now(), "{}"),
            ),
        ];
        let text = body(&fixture, "AppA");
        let at = format!("{PATH}/{}", fresh());
        for asked in [
            ("POST", PATH, &*text),
            ("GET", &at, ""),
            ("DELETE", &at, ""),
        ] {
            assert_indistinguishable(&fixture, asked, &credentials).await;
        }
    });
}

#[test]
fn no_401_reveals_what_is_wrong_with_a_signature() {
    on_shared_runtime(async {
        let fixture = fixture("hmac", &[]).await;
        let text = body(&fixture, "AppA");
        let at = format!("{PATH}/{}", fresh());
        let question = format!("GET {at}");
        for (asked, payload) in [
            (("POST", PATH, &*text), &*text),
            (("GET", &*at, ""), &*question),
        ] {
            let of = |app, secret: &[u8], time| signed(app, secret, &fresh(), time, payload);
            let used = of("AppA", &SECRET, now());
            let (method, path, sent) = asked;
            let first = ask(&fixture, method, path, sent, &used).await;
            assert_ne!(first.status, 401, "{method}: it was good once");
            let mut cut = of("AppA", &SECRET, now());
            cut.retain(|(name, _)| name != "webhook-id");
            let mut no_number = of("AppA", &SECRET, now());
            no_number[2].1 = "soon".to_owned();
            let mut no_app = of("AppA", &SECRET, now());
            no_app.remove(0);
            let credentials = [
                ("none", vec![]),
                ("a key", bearer(KEY_A)),
                ("a part", cut),
                ("no time", no_number),
                ("no app", no_app),
                ("a wrong secret", of("AppA", &[9; 32], now())),
                ("another app's secret", of("AppA", &[7; 32], now())),
                ("an unknown app", of("nobody", &SECRET, now())),
                ("too old", of("AppA", &SECRET, now() - 400)),
                ("too young", of("AppA", &SECRET, now() + 400)),
                (
                    "of something else",
                    signed("AppA", &SECRET, &fresh(), now(), "{ }"),
                ),
                ("used before", used),
            ];
            assert_indistinguishable(&fixture, asked, &credentials).await;
        }
    });
}

#[test]
fn a_waiting_query_for_another_apps_callback_is_answered_like_one_for_an_unknown_id() {
    on_shared_runtime(async {
        const WAIT: Duration = Duration::from_secs(5);
        // No recent id is known to be unused while a publish may be in progress.
        let slowly = [("RINGBACK__BROKER__PUBLISH_TIMEOUT", "60s")];
        let fixture = fixture("bearer", &slowly).await;
        // One ends during the wait, one has ended before, and one goes on.
        let ids = join_all(["/slow/1500", "/ok", "/slow/9000"].map(async |path| {
            let mut callback = fixture.callback(path);
            callback["app_id"] = Value::from("AppA");
            let text = callback.to_string();
            let answer = ask(&fixture, "POST", PATH, &text, &bearer(KEY_A)).await;
            answer.accepted()
        }))
        .await;
        let own = |id: String| format!("{PATH}/{id}");
        eventually("an end", Duration::from_secs(30), async || {
            let answer = ask(&fixture, "GET", &own(ids[1].clone()), "", &bearer(KEY_A)).await;
            let ended = answer.status == 200 && answer.json()["status"] == "delivered";
            ended.then_some(())
        })
        .await;
        let mut waits = bearer(KEY_B);
        waits.push(("prefer".to_owned(), format!("wait={}", WAIT.as_secs())));
        let waits = &waits;
        let absent = fresh();
        let asked = ids.iter().chain([&absent]).map(async |id| {
            let begun = Instant::now();
            let answer = ask(&fixture, "GET", &own(id.clone()), "", waits).await;
            let (status, headers, body) = visible(&answer);
            let body = body.replace(id, "ID");
            ((status, headers, body), begun.elapsed())
        });
        let answers = join_all(asked).await;
        let (none, _) = &answers[3];
        assert_eq!(none.0, 503, "{none:?}");
        for (place, (visible, took)) in answers.iter().enumerate() {
            assert_eq!(visible, none, "{place}");
            assert!(*took >= WAIT, "{place}: after {took:?}");
        }
    });
}

#[test]
fn a_signed_request_sent_a_hundred_times_at_once_is_accepted_once() {
    on_shared_runtime(async {
        let fixture = fixture("hmac", &[]).await;
        let text = body(&fixture, "AppA");
        for _ in 0..3 {
            let before = fixture.callee.requests.count();
            let headers = signed("AppA", &SECRET, &fresh(), now(), &text);
            let client = http::client();
            let url = fixture.gateway.callback_url();
            let at_once = (0..100).map(|_| {
                let request = client.post(&url).body(text.clone());
                let with = |request: reqwest::RequestBuilder, (name, value): &(String, String)| {
                    request.header(name, value)
                };
                tokio::spawn(headers.iter().fold(request, with).send())
            });
            let answers = join_all(at_once.collect::<Vec<_>>()).await;
            let statuses: Vec<u16> = answers
                .into_iter()
                .map(|it| it.unwrap().unwrap().status().as_u16())
                .collect();
            let of = |status| statuses.iter().filter(|it| **it == status).count();
            assert_eq!((of(200), of(401)), (1, 99), "{statuses:?}");
            // Any other accepted request would be delivered before this one.
            let last = signed("AppA", &SECRET, &fresh(), now(), &text);
            let last = ask(&fixture, "POST", PATH, &text, &last).await.accepted();
            fixture.received(&last, 1).await;
            eventually("both", Duration::from_secs(30), async || {
                (fixture.callee.requests.count() >= before + 2).then_some(())
            })
            .await;
            assert_eq!(fixture.callee.requests.count(), before + 2);
        }
    });
}
