//! Access to the operators' listener: neither apps nor web pages of another origin get in.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use delivery::auth::KeyHash;
use reqwest::Method;
use tests::gateway::GatewayResponse;
use tests::{Callee, GatewayOptions, SharedGateway, http, on_shared_runtime};

const KEY: &str = "rbk_key-of-an-app-0123456789";
const TOKEN: &str = "token-of-the-operators-0123456789";
const PATHS: [&str; 18] = [
    "/admin/v1/callbacks",
    "/admin/v1/callbacks/00000000-0000-7000-8000-000000000007",
    "/admin/v1/callbacks/00000000-0000-7000-8000-000000000007/cancel",
    "/admin/v1/callbacks/00000000-0000-7000-8000-000000000007/payload",
    "/admin/v1/dead-letters",
    "/admin/v1/dead-letters/00000000-0000-7000-8000-000000000007",
    "/admin/v1/dead-letters/replay",
    "/admin/v1/dead-letters/discard",
    "/admin/v1/dead-letters/reconcile",
    "/admin/v1/pauses",
    "/admin/v1/callbacks/00000000-0000-7000-8000-000000000007/holders",
    "/admin/v1/instances",
    "/admin/v1/targets",
    "/admin/v1/apps",
    "/admin/v1/audit",
    "/admin/v1/doctor",
    "/admin/v1/guard",
    "/nothing/here",
];

async fn fixture(more: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
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

/// How many wrong tokens of one address are answered without a delay.
const UNDELAYED: usize = 10;

/// A client of the operators' API, from another address whenever one has failed so often that its
/// answers would be delayed; that is tested elsewhere.
struct Asker {
    operators: String,
    asked: AtomicUsize,
    client: Mutex<reqwest::Client>,
}

impl Asker {
    fn of(fixture: &SharedGateway) -> Self {
        Self {
            operators: fixture.gateway.admin_url(),
            asked: AtomicUsize::new(0),
            client: Mutex::new(http::client()),
        }
    }

    fn client(&self) -> reqwest::Client {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut client = self.client.lock().unwrap();
        if asked.is_multiple_of(UNDELAYED) {
            let number = u32::try_from(asked / UNDELAYED + 2).unwrap();
            let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 0).to_bits() + number);
            *client = http::client_from(address.into());
        }
        client.clone()
    }
}

async fn ask(
    asker: &Asker,
    method: &Method,
    path: &str,
    headers: &[(&str, String)],
) -> GatewayResponse {
    let url = format!("{}{path}", asker.operators);
    let mut request = asker.client().request(method.clone(), url);
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
    GatewayResponse {
        status,
        headers,
        body,
    }
}

/// The headers of a CORS preflight request.
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

fn assert_no_leave(answered: &GatewayResponse, what: &str) {
    let leave = answered
        .headers
        .keys()
        .find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(leave, None, "{what}");
}

/// No request of a page of any of these origins gets CORS headers, and the preflight request is
/// refused.
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
fn neither_an_apps_key_nor_a_web_page_has_access() {
    on_shared_runtime(async {
        let fixture = fixture(&[("RINGBACK__ADMIN__TOKEN", TOKEN)]).await;
        let fixture = fixture.in_test();
        let asker = Asker::of(&fixture);
        let mut good = fixture.callback("/ok");
        good["app_id"] = "A".into();
        let bearer = |word: &str| vec![("authorization", format!("Bearer {word}"))];
        // The key is valid: it is accepted by the ingress.
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*bearer(KEY)[0].1),
        ];
        let posted = fixture.gateway.post_raw(good.to_string(), &headers).await;
        let id = posted.accepted();
        fixture.received(&id, 1).await;
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
        let own = ask(&asker, &Method::GET, "/admin/v1/callbacks", &bearer(TOKEN)).await;
        assert_eq!(own.status, 200);
        for credentials in [bearer(TOKEN), bearer(KEY), Vec::new()] {
            assert_no_pages(&asker, &credentials).await;
        }
    });
}

#[test]
fn without_a_token_no_web_page_has_access_either() {
    on_shared_runtime(async {
        let fixture = fixture(&[]).await;
        let fixture = fixture.in_test();
        let asker = Asker::of(&fixture);
        let here = ask(&asker, &Method::GET, "/admin/v1/callbacks", &[]).await;
        assert_eq!(here.status, 200, "it is open to this machine");
        assert_no_pages(&asker, &[]).await;
        let from = [("origin", "https://evil.test".to_owned())];
        let page = ask(&asker, &Method::GET, "/admin/v1/callbacks", &from).await;
        assert_eq!(page.status, 403);
    });
}
