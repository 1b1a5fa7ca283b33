//! Who is let in at the operators' listener of a running gateway? No app, and no page of another
//! site.

use delivery::callers::KeyHash;
use reqwest::Method;
use tests::gateway::Answered;
use tests::{Callee, GatewayOptions, World, http, together};

const KEY: &str = "rbk_key-of-an-app-0123456789";
const TOKEN: &str = "token-of-the-operators-0123456789";
const PATHS: [&str; 13] = [
    "/",
    "/api/callbacks",
    "/api/callbacks/00000000-0000-7000-8000-000000000007",
    "/api/callbacks/00000000-0000-7000-8000-000000000007/cancel",
    "/api/dead",
    "/api/dead/00000000-0000-7000-8000-000000000007",
    "/api/dead/replay",
    "/api/dead/discard",
    "/api/dead/sweep",
    "/api/pauses",
    "/api/targets",
    "/api/audit",
    "/nothing/here",
];

async fn world(more: &[(&str, &str)]) -> World {
    World::start(|_: &Callee| {
        let hash = KeyHash::of(KEY.as_bytes()).to_string();
        let options = GatewayOptions::default()
            .with_journal()
            .with("RINGBACK__AUTH__MODE", "bearer")
            .with("RINGBACK__APPS__A__KEYS", &hash);
        more.iter()
            .fold(options, |options, (key, value)| options.with(key, value))
    })
    .await
}

/// Somebody who asks operators' questions.
struct Asker {
    operators: String,
    client: reqwest::Client,
}

impl Asker {
    fn of(world: &World) -> Self {
        Self {
            operators: world.gateway.operators_url(),
            client: http::client(),
        }
    }
}

async fn ask(asker: &Asker, method: &Method, path: &str, headers: &[(&str, String)]) -> Answered {
    let url = format!("{}{path}", asker.operators);
    let mut request = asker.client.request(method.clone(), url);
    if *method == Method::POST {
        request = request
            .header("content-type", "application/json")
            .body("{}");
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    Answered {
        status,
        headers,
        body,
    }
}

/// A page's question beforehand whether it may send what it wants to.
fn preflight() -> Vec<(&'static str, String)> {
    [
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,authorization",
        ),
        ("access-control-request-private-network", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn assert_no_leave(answered: &Answered, what: &str) {
    let leave = answered
        .headers
        .keys()
        .find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(leave, None, "{what}");
}

/// Every question, as a page of each of these sites would send it, gets no leave, and the question
/// beforehand is refused.
async fn assert_no_pages(asker: &Asker, credentials: &[(&'static str, String)]) {
    let own = asker.operators.clone();
    let sites = ["https://evil.test", "null", &own, "http://localhost:1"].map(Some);
    for site in sites.into_iter().chain([None]) {
        let mut headers = credentials.to_vec();
        headers.extend(site.map(|site| ("origin", site.to_owned())));
        for path in PATHS {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
                let answered = ask(asker, &method, path, &headers).await;
                assert_no_leave(&answered, &format!("{method} {path} from {site:?}"));
            }
            let what = format!("OPTIONS {path} from {site:?}");
            let mut headers = headers.clone();
            headers.extend(preflight());
            let answered = ask(asker, &Method::OPTIONS, path, &headers).await;
            assert_no_leave(&answered, &what);
            let refused = (400..500).contains(&answered.status);
            assert!(refused, "{what}: {}", answered.status);
        }
    }
}

#[test]
fn the_key_of_an_app_opens_nothing_to_it_and_no_page_is_given_leave() {
    together(async {
        let world = world(&[("RINGBACK__ADMIN__TOKEN", TOKEN)]).await;
        let world = world.visit();
        let asker = Asker::of(&world);
        let mut good = world.callback("/ok");
        good["app_id"] = "A".into();
        let bearer = |word: &str| vec![("authorization", format!("Bearer {word}"))];
        // A real one: it lets its app in where callers come in.
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*bearer(KEY)[0].1),
        ];
        let posted = world.gateway.post_raw(good.to_string(), &headers).await;
        let id = posted.accepted();
        world.received(&id, 1).await;
        for path in PATHS {
            for method in [
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::DELETE,
                Method::OPTIONS,
            ] {
                let answered = ask(&asker, &method, path, &bearer(KEY)).await;
                let refused = [401, 403].contains(&answered.status);
                assert!(refused, "{method} {path}: {}", answered.status);
                let text = String::from_utf8_lossy(&answered.body);
                assert!(!text.contains(&id), "{method} {path}: {text}");
            }
        }
        let own = ask(&asker, &Method::GET, "/api/callbacks", &bearer(TOKEN)).await;
        assert_eq!(own.status, 200);
        for credentials in [bearer(TOKEN), bearer(KEY), Vec::new()] {
            assert_no_pages(&asker, &credentials).await;
        }
    });
}

#[test]
fn without_a_token_no_page_is_given_leave_either() {
    together(async {
        let world = world(&[]).await;
        let world = world.visit();
        let asker = Asker::of(&world);
        let here = ask(&asker, &Method::GET, "/api/callbacks", &[]).await;
        assert_eq!(here.status, 200, "it is open to this machine");
        assert_no_pages(&asker, &[]).await;
        let from = [("origin", "https://evil.test".to_owned())];
        let page = ask(&asker, &Method::GET, "/api/callbacks", &from).await;
        assert_eq!(page.status, 403);
    });
}
