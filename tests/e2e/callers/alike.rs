//! Does a refusal tell anything beside that it is one? Of a credential: why it is none. Of a
//! callback: whether another app has it.

use super::*;

/// An answer but for what no refusal can help telling: when it was given.
fn told(answered: &Answered) -> (u16, Vec<(String, String)>, String) {
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

/// Asks with each of the credentials, and checks that all are turned away in the same words.
async fn assert_alike(
    world: &World,
    (method, path, body): (&str, &str, &str),
    credentials: &[(&str, Vec<(String, String)>)],
) {
    let mut first = None;
    for (what, headers) in credentials {
        let answered = ask(world, method, path, body, headers).await;
        assert_eq!(answered.status, 401, "{method}: {what}");
        let told = told(&answered);
        assert!(!told.2.is_empty(), "{method}: {what}");
        let first = first.get_or_insert_with(|| told.clone());
        assert_eq!(told, *first, "{method}: {what}");
    }
}

#[test]
fn no_401_tells_what_is_wrong_with_a_key() {
    together(async {
        let world = world("bearer", &[]).await;
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
        let text = body(&world, "AppA");
        let at = format!("{PATH}/{}", fresh());
        for asked in [
            ("POST", PATH, &*text),
            ("GET", &at, ""),
            ("DELETE", &at, ""),
        ] {
            assert_alike(&world, asked, &credentials).await;
        }
    });
}

#[test]
fn no_401_tells_what_is_wrong_with_a_signature() {
    together(async {
        let world = world("hmac", &[]).await;
        let text = body(&world, "AppA");
        let at = format!("{PATH}/{}", fresh());
        let question = format!("GET {at}");
        for (asked, payload) in [
            (("POST", PATH, &*text), &*text),
            (("GET", &*at, ""), &*question),
        ] {
            let of = |app, secret: &[u8], time| signed(app, secret, &fresh(), time, payload);
            let used = of("AppA", &SECRET, now());
            let (method, path, sent) = asked;
            let first = ask(&world, method, path, sent, &used).await;
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
            assert_alike(&world, asked, &credentials).await;
        }
    });
}

#[test]
fn a_waiting_question_for_another_apps_callback_is_answered_like_one_for_none() {
    together(async {
        const WAIT: Duration = Duration::from_secs(5);
        // As long as a publish may take, no young id is known to be none.
        let slowly = [("RINGBACK__BROKER__PUBLISH_TIMEOUT", "60s")];
        let world = world("bearer", &slowly).await;
        // One ends while it is waited for, one has ended before, and one goes on.
        let ids = join_all(["/slow/1500", "/ok", "/slow/9000"].map(async |path| {
            let mut callback = world.callback(path);
            callback["app_id"] = Value::from("AppA");
            let text = callback.to_string();
            let answer = ask(&world, "POST", PATH, &text, &bearer(KEY_A)).await;
            answer.accepted()
        }))
        .await;
        let own = |id: String| format!("{PATH}/{id}");
        eventually("an end", Duration::from_secs(30), async || {
            let answer = ask(&world, "GET", &own(ids[1].clone()), "", &bearer(KEY_A)).await;
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
            let answer = ask(&world, "GET", &own(id.clone()), "", waits).await;
            let (status, headers, body) = told(&answer);
            let body = body.replace(id, "ID");
            ((status, headers, body), begun.elapsed())
        });
        let answers = join_all(asked).await;
        let (none, _) = &answers[3];
        assert_eq!(none.0, 503, "{none:?}");
        for (place, (told, took)) in answers.iter().enumerate() {
            assert_eq!(told, none, "{place}");
            assert!(*took >= WAIT, "{place}: after {took:?}");
        }
    });
}

#[test]
fn a_signed_request_sent_a_hundred_times_at_once_gets_in_once() {
    together(async {
        let world = world("hmac", &[]).await;
        let text = body(&world, "AppA");
        for _ in 0..3 {
            let before = world.callee.book.count();
            let headers = signed("AppA", &SECRET, &fresh(), now(), &text);
            let client = http::client();
            let url = world.gateway.callback_url();
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
            // Whatever else got in would be delivered before this one.
            let last = signed("AppA", &SECRET, &fresh(), now(), &text);
            let last = ask(&world, "POST", PATH, &text, &last).await.accepted();
            world.received(&last, 1).await;
            eventually("both", Duration::from_secs(30), async || {
                (world.callee.book.count() >= before + 2).then_some(())
            })
            .await;
            assert_eq!(world.callee.book.count(), before + 2);
        }
    });
}
