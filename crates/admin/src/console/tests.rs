//! Tests of the pages: on a served console, and rendered from fixtures with strangers' texts.

mod live_events;
mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use actix_web::ResponseError as _;
use askama::Template;
use contract::CallbackStatus;
use delivery::auth::KeyHash;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use runtime::clock::now_ms;
use serde_json::Value;
use uuid::Uuid;

use super::language::PageLanguage;
use super::visit::Visit;
use super::{audit, callbacks, dead_letters, live, overview, page, pauses, query, targets};
use crate::api::auth::Operator;
use crate::api::callbacks::ListedPage;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::process_view::{
    AttemptEndView, AttemptsView, CallsView, InstanceView, LastErrorView, OthersView, SeenBy,
    SeenPage, TargetView, TargetsView, UnfinishedView,
};
use crate::api::tests::{ApiFixture, TestClient, dead, message, record};
use crate::api::view::{
    AnswerView, AttemptView, AuditView, CallbackView, ItemsPage, PauseView, PayloadView,
};
use crate::api::{AdminTokens, session};
use crate::config::{AdminConfig, Role, TokenConfig};
use crate::doctor::{Finding, Severity};

/// What a stranger may send as any text.
pub(super) const HOSTILE: &str = "<script>alert(1)</script>'\"&\u{202e}txt.exe\u{0}乐居新房";

pub(super) const LANGUAGES: [PageLanguage; 2] = [PageLanguage::English, PageLanguage::Chinese];

/// All scripts, the style sheet and the icon.
const MAX_ASSET_BYTES: usize = 80_000;
/// The largest page, of the longest lists and texts. What pages with all assets have is measured in the
/// browser.
const MAX_PAGE_BYTES: usize = 150_000;

pub(super) fn visit(language: PageLanguage) -> Visit {
    let config = AdminConfig::default();
    let operator = AdminTokens::new(&config).unwrap();
    let headers = actix_web::http::header::HeaderMap::new();
    let operator: Option<Operator> = operator.operator(&headers, None, None, 0).unwrap();
    Visit {
        language,
        operator,
        is_open: false,
        peer: None,
        path: "/console/?a=%22%3E%3Cscript%3E".to_owned(),
        is_secure: false,
    }
}

pub(super) fn callback_view() -> CallbackView {
    let hostile = || Some(HOSTILE.to_owned());
    let attempt = |number| AttemptView {
        generation: 1,
        number,
        started_at: 1_763_900_000_000,
        duration_ms: 12,
        outcome: HOSTILE.to_owned(),
        http_status: Some(503),
        detail: hostile(),
        cause: hostile(),
    };
    CallbackView {
        request_id: Uuid::from_u128(7),
        status: CallbackStatus::Retrying,
        reason: hostile(),
        explanation: HOSTILE.to_owned(),
        explanation_zh: Some(HOSTILE.to_owned()),
        deferred_reason: hostile(),
        next_attempt_at: Some(now_ms() + 60_000),
        due_since: None,
        created_at: 1_763_900_000_000,
        updated_at: 1_763_900_000_000,
        app_id: HOSTILE.to_owned(),
        caller_no: hostile(),
        callee_no: hostile(),
        callee_name: hostile(),
        callback_url: hostile(),
        target: HOSTILE.to_owned(),
        message_type: HOSTILE.to_owned(),
        generation: 1,
        hold: 0,
        has_message: true,
        cancel_requested: true,
        discarded: true,
        discarded_by_retention: false,
        last_cause: hostile(),
        attempts: (1..=300).map(attempt).collect(),
    }
}

pub(super) fn callbacks_page() -> ListedPage {
    let view = CallbackView {
        attempts: Vec::new(),
        ..callback_view()
    };
    ListedPage {
        page: ItemsPage {
            items: vec![view; 50],
            next: Some(HOSTILE.to_owned()),
        },
        looked_back_to: Some(1_763_900_000_000),
    }
}

pub(super) fn target_view(breaker: &str, failed: u64) -> TargetView {
    let calls = CallsView {
        calls: failed + 1,
        delivered: 1,
        failed: BTreeMap::from([(HOSTILE.to_owned(), failed)]),
        ..CallsView::default()
    };
    TargetView {
        callee_no: Some(HOSTILE.to_owned()),
        name: Some(HOSTILE.to_owned()),
        target: None,
        in_flight: 0,
        waiting: 0,
        slots: None,
        per_second: None,
        last_5_min: calls.clone(),
        since_start: calls,
        success_ratio: None,
        last_error: Some(LastErrorView {
            outcome: HOSTILE.to_owned(),
            http_status: None,
            cause: Some(HOSTILE.to_owned()),
            at: 1_763_900_000_000,
            process: HOSTILE.to_owned(),
        }),
        breaker: breaker.to_owned(),
        breaker_apps: 1,
        breaker_app_ids: vec![HOSTILE.to_owned()],
        breaker_reason: Some(HOSTILE.to_owned()),
        probe_in_s: Some(1.5),
        retry_after_s: Some(f64::MAX),
        p50_ms: None,
        p99_ms: None,
        paused: true,
        unfinished: Some(UnfinishedView {
            count: 7,
            at_least: true,
            oldest_accepted_at: Some(1_763_900_000_000),
            next_attempt_at: None,
        }),
    }
}

pub(super) fn seen<T>(items: Vec<T>) -> SeenPage<T> {
    SeenPage {
        page: ItemsPage { items, next: None },
        seen_by: SeenBy::default(),
        warnings: vec![HOSTILE.into()],
    }
}

/// An hour in which 7 were accepted in its last minute.
fn hour() -> Vec<journal::RollupPoint> {
    let point = |minute: u64| journal::RollupPoint {
        at: minute * journal::MINUTE_MS,
        figures: journal::RollupFigures {
            accepted: if minute == 59 { 7 } else { 0 },
            ..journal::RollupFigures::default()
        },
    };
    (0..60).map(point).collect()
}

pub(super) fn instance_view() -> InstanceView {
    InstanceView {
        instance: Uuid::from_u128(1),
        role: HOSTILE.to_owned(),
        host: HOSTILE.to_owned(),
        pid: 1,
        version: HOSTILE.to_owned(),
        started_at: 1_763_900_000_000,
        uptime_s: 1,
        answered: true,
        heard_s_ago: None,
        clock_offset_ms: Some(1),
        settings: String::new(),
        settings_differ: Vec::new(),
        reload: None,
    }
}

fn overview_of(severity: Severity) -> overview::Overview {
    let instance = instance_view();
    overview::Overview {
        now: now_ms(),
        process: HOSTILE.to_owned(),
        findings: vec![
            Finding::new("memory", Severity::Ok, HOSTILE),
            Finding::new("queues", severity, HOSTILE).next(HOSTILE),
        ],
        instances: seen(vec![instance]),
        targets: vec![target_view("open", 3)],
        unfinished: None,
        dead: Some(4),
        hour: Some(hour()),
    }
}

fn live_page(visit: &Visit) -> String {
    let attempt = AttemptEndView {
        ended_at: 1_763_900_000_000,
        request_id: Uuid::from_u128(7),
        app_id: HOSTILE.to_owned(),
        callee_no: Some(HOSTILE.to_owned()),
        target: HOSTILE.to_owned(),
        message_type: HOSTILE.to_owned(),
        attempt: 1,
        outcome: HOSTILE.to_owned(),
        http_status: Some(503),
        cause: Some(HOSTILE.to_owned()),
        duration_ms: 12,
        verdict: HOSTILE.to_owned(),
        next_attempt_at: Some(1_763_900_060_000),
        process: HOSTILE.to_owned(),
        instance: Uuid::from_u128(1),
        sequence: 1,
    };
    let view = AttemptsView {
        seen: seen(vec![attempt; 500]),
        left_out: true,
    };
    let filter = live::LiveFilter::of("app_id=%22%3E%3Cscript%3E");
    live::render(visit, filter, view).render().unwrap()
}

/// Every page in a language, from strangers' texts.
pub(super) fn all_pages(language: PageLanguage) -> Vec<(&'static str, String)> {
    let visit = visit(language);
    let payload = PayloadView {
        request_id: Uuid::from_u128(7),
        message: Some(
            serde_json::value::to_raw_value(&serde_json::json!({ "a": HOSTILE })).unwrap(),
        ),
        answers: vec![AnswerView {
            generation: 0,
            number: 1,
            started_at: 1_763_900_000_000,
            http_status: Some(500),
            content_type: Some(HOSTILE.to_owned()),
            answer: HOSTILE.to_owned(),
        }],
    };
    let targets_view = TargetsView {
        seen: seen(vec![target_view("open", 3), target_view("closed", 0)]),
        others: OthersView { count: 5 },
    };
    let entry = AuditView {
        occurred_at: 1_763_900_000_000,
        updated_at: 1_763_900_000_000,
        actor: HOSTILE.to_owned(),
        action: HOSTILE.to_owned(),
        subject: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
        count: 1,
    };
    let pause = PauseView {
        kind: "app".to_owned(),
        callee_no: None,
        callee_name: Some(HOSTILE.to_owned()),
        target: None,
        app_id: Some(HOSTILE.to_owned()),
        message_type: None,
        actor: HOSTILE.to_owned(),
        paused_at: 1_763_900_000_000,
        reason: HOSTILE.to_owned(),
    };
    let entries = ItemsPage {
        items: vec![entry],
        next: Some("1-2".to_owned()),
    };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for key in [
        "app_id",
        "callee_no",
        "target",
        "message_type",
        "reason",
        "since",
        "after",
    ] {
        form.append_pair(key, HOSTILE);
    }
    let form = form.finish();
    let failure = overview::render(&visit, overview_of(Severity::Failure));
    let list = callbacks::render_list(&visit, &form, callbacks_page());
    let trace = callbacks::TraceLine {
        id: "7f".to_owned(),
        link: Some("/console/of-another-host".to_owned()),
    };
    let one = callbacks::render(&visit, callback_view(), Some(trace), None);
    let looked = callbacks::render(&visit, callback_view(), None, Some(payload));
    let dead = dead_letters::render(&visit, &form, callbacks_page());
    let mut pages = super::page_tests::pages(&visit);
    pages.extend([
        ("overview", failure.render().unwrap()),
        ("live", live_page(&visit)),
        (
            "targets",
            targets::render(&visit, targets_view).render().unwrap(),
        ),
        ("callbacks", list.render().unwrap()),
        ("callback", one.render().unwrap()),
        ("payload", looked.render().unwrap()),
        ("dead letters", dead.render().unwrap()),
        ("audit", audit::render(&visit, entries).render().unwrap()),
        (
            "pauses",
            pauses::render(&visit, vec![pause]).render().unwrap(),
        ),
    ]);
    pages
}

/// The page without the scripts that every page has.
fn without_own_scripts(html: &str) -> String {
    html.replace("<script src=\"/console/", "")
}

#[test]
fn strangers_texts_are_inert_on_every_page_in_both_languages() {
    for language in LANGUAGES {
        for (name, html) in all_pages(language) {
            assert!(
                !without_own_scripts(&html).contains("<script"),
                "{name}: {html}"
            );
            assert!(!html.contains(['\u{202e}', '\u{0}']), "{name}");
            assert!(html.contains("&#60;script&#62;"), "{name}: {html}");
            assert!(html.contains(r"\u{202e}txt.exe"), "{name}");
            assert!(html.contains("乐居新房"), "{name}");
        }
    }
}

#[test]
fn no_page_needs_scripts_styles_of_its_own_or_another_host() {
    for language in LANGUAGES {
        for (name, html) in all_pages(language) {
            for banned in [
                " style=",
                "<style",
                "javascript:",
                " onclick",
                " onload",
                " hx-on",
            ] {
                assert!(!html.contains(banned), "{name}: {banned}");
            }
            for part in html
                .split("href=\"")
                .skip(1)
                .chain(html.split("action=\"").skip(1))
                .chain(html.split("src=\"").skip(1))
                .chain(html.split("hx-get=\"").skip(1))
                .chain(html.split("sse-connect=\"").skip(1))
            {
                assert!(
                    part.starts_with("/console/") || part.starts_with("#content"),
                    "{name}"
                );
            }
            assert!(html.len() < MAX_PAGE_BYTES, "{name}: {} bytes", html.len());
            let lang = format!(
                "<html lang=\"{}\">",
                super::texts::Texts::of(language).html_lang
            );
            assert!(html.contains(&lang), "{name}");
        }
    }
    let style = include_str!("style.css");
    assert!(!style.contains("url(") && !style.contains("@import"));
    for needed in [
        "prefers-color-scheme: dark",
        "@media print",
        "max-width: 40rem",
    ] {
        assert!(style.contains(needed), "{needed}");
    }
}

#[test]
fn the_first_line_says_whether_all_is_well() {
    for (severity, english, chinese, class) in [
        (Severity::Ok, "All is well", "一切正常", "state good"),
        (
            Severity::Unknown,
            "not everything could be checked",
            "有些检查无法完成",
            "state unknown",
        ),
        (
            Severity::Warning,
            "look at this soon",
            "有情况需要尽快查看",
            "state warning",
        ),
        (
            Severity::Failure,
            "Something is wrong",
            "出现故障",
            "state failure",
        ),
    ] {
        for (language, sentence) in LANGUAGES.into_iter().zip([english, chinese]) {
            let page = overview::render(&visit(language), overview_of(severity));
            let html = page.render().unwrap();
            assert!(html.contains(sentence) && html.contains(class), "{html}");
            assert!(
                html.contains("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>")
                    && html.contains("hx-trigger=\"every 10s\""),
                "{html}"
            );
        }
    }
}

#[test]
fn the_figures_have_charts_of_the_last_hour_that_say_in_words_what_they_show() {
    let mut overview = overview_of(Severity::Failure);
    overview.findings[1].since = Some(now_ms() - 600_000);
    let html = overview::render(&visit(PageLanguage::English), overview);
    let html = html.render().unwrap();
    for id in ["accepted", "delivered", "failed", "deferred", "dead"] {
        let named = format!("role=\"img\" aria-labelledby=\"{id}-title {id}-description\"");
        assert!(html.contains(&named), "{id}: {html}");
    }
    let words = "in the last hour: 7; most in a minute: 7</desc>";
    assert!(html.contains(words) && html.contains("M119 24V0"), "{html}");
    assert!(html.contains("(10 min ago)"), "since when: {html}");
    // Without a journal nothing is drawn.
    let mut overview = overview_of(Severity::Ok);
    overview.hour = None;
    let html = overview::render(&visit(PageLanguage::English), overview);
    assert!(!html.render().unwrap().contains("<svg"));
}

#[test]
fn targets_are_sorted_worst_first() {
    let mut all = [
        target_view("closed", 1),
        target_view("half_open", 0),
        target_view("closed", 9),
        target_view("open", 0),
    ];
    all.sort_by_key(targets::badness);
    let order: Vec<_> = all
        .iter()
        .map(|it| (&*it.breaker, it.last_5_min.calls))
        .collect();
    assert_eq!(
        order,
        [("open", 1), ("half_open", 1), ("closed", 10), ("closed", 2)]
    );
}

#[test]
fn an_error_page_says_what_is_wrong() {
    let problem = ApiError::rejected(ProblemCode::UnknownCallback, HOSTILE.into());
    let answer = page::error(&visit(PageLanguage::Chinese), &problem);
    assert_eq!(answer.status(), problem.status_code());
    assert_eq!(query::own_path("/console/"), Some("/console/"));
}

/// A browser: it follows no redirection.
pub(super) struct Browser {
    http: Client,
    base: String,
}

impl Browser {
    pub(super) fn of(client: &TestClient) -> Self {
        let http = Client::builder().no_proxy().redirect(Policy::none());
        Self {
            http: http.build().unwrap(),
            base: client.base.clone(),
        }
    }

    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self
            .http
            .post(format!("{}{path}", self.base))
            .body(form.to_owned());
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(super) async fn sign_in(&self, token: &str) -> (u16, Option<String>) {
        let form = format!("token={token}&next=%2Fconsole%2Ftargets");
        let answer = self.post("/console/sign-in", &form, &[SAME_ORIGIN]).await;
        let cookie = answer.headers().get(SET_COOKIE);
        let cookie = cookie.map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), cookie)
    }
}

pub(super) const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

const PATHS: [&str; 15] = [
    "/console/live?app_id=demo&callee_no=&outcome=failed",
    "/console/",
    "/console/apps?app_id=demo",
    "/console/schedule?waits=1s%2C2s",
    "/console/targets",
    "/console/targets/one?target=https%3A%2F%2Fh.example%3A443",
    "/console/waiting",
    "/console/dead-letters/groups?by=hour",
    "/console/operations",
    "/console/unreadable",
    "/console/callbacks",
    "/console/dead-letters",
    "/console/audit",
    "/console/pauses",
    "/console/callbacks?app_id=demo&status=dead&reason=&http_status=",
];

/// Those that need more than the role `read`.
const PATHS_OF_ROLES: [&str; 3] = [
    "/console/settings",
    "/console/bulk/discard?app_id=demo",
    "/console/bulk/expedite?target=https%3A%2F%2Fh.example%3A443",
];

pub(super) fn location(answer: &Response) -> &str {
    answer.headers()[LOCATION].to_str().unwrap()
}

/// The cookie as a browser sends it back.
pub(super) fn sent_back(set_cookie: &str) -> String {
    set_cookie.split(';').next().unwrap().to_owned()
}

pub(super) fn with_tokens() -> AdminConfig {
    let token = |key: &str, role: Role| TokenConfig {
        hash: KeyHash::of(key.as_bytes()).to_string(),
        role: role.into(),
    };
    AdminConfig {
        token: Some("the-admin-token".into()),
        tokens: [
            ("乐".to_owned(), token("token-of-a-reader", Role::Read)),
            ("pat".to_owned(), token("token-of-pat", Role::Payload)),
        ]
        .into(),
        ..AdminConfig::default()
    }
}

#[tokio::test]
async fn without_a_token_every_page_opens_at_once_with_strict_headers() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let browser = Browser::of(&client);
    let letter = fixture.dead_letter("demo", "exhausted").await.request_id;
    for path in ["/", "/console"] {
        assert_eq!(
            browser
                .get(path, &[("host", "evil.example")])
                .await
                .status(),
            403
        );
        let answer = browser.get(path, &[]).await;
        assert_eq!(
            (answer.status().as_u16(), location(&answer)),
            (303, "/console/"),
            "{path}"
        );
    }
    let one = format!("/console/callbacks/{letter}");
    let all = PATHS.into_iter().chain(PATHS_OF_ROLES);
    for path in all.chain([&*one]) {
        for (language, lang) in [("en", "lang=\"en\""), ("zh-CN,zh;q=0.9", "lang=\"zh-CN\"")] {
            let answer = browser.get(path, &[("accept-language", language)]).await;
            assert_eq!(answer.status(), 200, "{path}");
            let headers = answer.headers();
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert_eq!(
                policy,
                "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                 img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            );
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["referrer-policy"], "same-origin");
            let html = answer.text().await.unwrap();
            assert!(html.contains(lang), "{path}: {html}");
        }
    }
    let html = browser
        .get("/console/dead-letters", &[])
        .await
        .text()
        .await
        .unwrap();
    assert!(html.contains(&one) && html.contains("exhausted"), "{html}");
    // By the first digits of its id.
    let find = format!("/console/callbacks/find?id={}", &letter.to_string()[..13]);
    let found = browser.get(&find, &[]).await;
    assert_eq!((found.status().as_u16(), location(&found)), (303, &*one));
    for (path, status) in [
        ("/console/nothing", 404),
        ("/console/callbacks/find?id=x", 400),
        ("/console/callbacks?status=wrong", 400),
        (
            "/console/callbacks/01a20a25-46b9-7361-a013-9bc3295ebef1",
            404,
        ),
        ("/console/sign-out", 405),
    ] {
        assert_eq!(browser.get(path, &[]).await.status(), status, "{path}");
    }
    let mut scripts = html.split("<script src=\"").skip(1);
    let scripts = scripts.by_ref().map(|rest| rest.split('"').next().unwrap());
    let assets = ["/console/style.css", "/console/icon.svg"];
    let mut all = 0;
    for asset in assets.into_iter().chain(scripts) {
        let answer = browser.get(asset, &[]).await;
        assert_eq!(answer.status(), 200, "{asset}");
        let kept = answer.headers()["cache-control"].to_str().unwrap();
        let is_versioned = asset.contains("htmx");
        assert_eq!(kept.contains("immutable"), is_versioned, "{asset}: {kept}");
        all += answer.bytes().await.unwrap().len();
    }
    // With a page: see MAX_PAGE_BYTES.
    assert!((55_000..MAX_ASSET_BYTES).contains(&all), "{all} bytes");
    // As the API does, the console serves this machine alone.
    for header in [("host", "evil.example"), ("origin", "null")] {
        for path in PATHS {
            assert_eq!(
                browser.get(path, &[header]).await.status(),
                403,
                "{path} {header:?}"
            );
        }
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_token_opens_a_session_that_ends_with_it() {
    let fixture = ApiFixture::new().await;
    let dependencies = fixture.dependencies();
    let tokens = dependencies.tokens.clone();
    let client = ApiFixture::serve_dependencies(with_tokens(), dependencies);
    let browser = Browser::of(&client);
    for path in PATHS {
        let answer = browser.get(path, &[]).await;
        assert_eq!(answer.status(), 303, "{path}");
        assert!(
            location(&answer).starts_with("/console/sign-in?next=%2Fconsole%2F"),
            "{path}"
        );
    }
    // A bearer token is of the API, not of pages.
    let bearer = ("authorization", "Bearer the-admin-token");
    assert_eq!(browser.get("/console/", &[bearer]).await.status(), 303);
    assert_eq!(browser.get("/console/sign-in", &[]).await.status(), 200);
    for wrong in ["", "wrong", "sha256:00", "%0d%0a", "the-admin-token0"] {
        assert_eq!(browser.sign_in(wrong).await, (401, None), "{wrong}");
    }
    for token in ["the-admin-token", "token-of-a-reader", "+the-admin-token+"] {
        let (status, cookie) = browser.sign_in(token).await;
        let cookie = cookie.unwrap();
        assert_eq!(status, 303);
        assert!(
            cookie.ends_with("Path=/; HttpOnly; SameSite=Strict"),
            "{cookie}"
        );
        assert!(!cookie.contains(token));
        for path in PATHS {
            let answer = browser.get(path, &[("cookie", &sent_back(&cookie))]).await;
            assert_eq!(answer.status(), 200, "{path}");
        }
    }
    let (_, cookie) = browser.sign_in("token-of-a-reader").await;
    let cookie = sent_back(&cookie.unwrap());
    let page = browser.get("/console/audit", &[("cookie", &cookie)]).await;
    assert!(page.text().await.unwrap().contains("Signed in as 乐"));
    for path in PATHS_OF_ROLES {
        let answer = browser.get(path, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status(), 403, "{path}");
    }
    // It opens no route of the API.
    let api = browser
        .get("/admin/v1/targets", &[("cookie", &cookie)])
        .await;
    assert_eq!(api.status(), 401);
    let end = browser
        .post("/console/sign-out", "", &[SAME_ORIGIN, ("cookie", &cookie)])
        .await;
    assert!(
        end.headers()[SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    // The token goes, and with it the session.
    let mut fewer = with_tokens();
    fewer.tokens.clear();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    tokens.set(AdminTokens::reloaded(&fewer, listen).ok().unwrap());
    let answer = browser.get("/console/", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status(), 303);
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_session_expires_and_is_valid_at_every_process() {
    let fixture = ApiFixture::new().await;
    let [one, two] = [(); 2].map(|()| fixture.serve_with(with_tokens(), true));
    let (_, cookie) = Browser::of(&one).sign_in("the-admin-token").await;
    let cookie = sent_back(&cookie.unwrap());
    let answer = Browser::of(&two)
        .get("/console/", &[(COOKIE.as_str(), &cookie)])
        .await;
    assert_eq!(answer.status(), 200);
    let hash = KeyHash::of(b"the-admin-token");
    let now = now_ms() / 1_000;
    for (ends, status) in [(now + 60, 200), (now - 1, 303)] {
        let cookie = format!("ringback_session={}", session::issue(&hash, ends).unwrap());
        let answer = Browser::of(&one)
            .get("/console/", &[("cookie", &cookie)])
            .await;
        assert_eq!(answer.status(), status);
    }
    drop((one, two));
    fixture.close().await;
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve_with(with_tokens(), true);
    let browser = Browser::of(&client);
    let host = client.base.strip_prefix("http://").unwrap();
    let own = format!("http://{host}");
    let form = "token=the-admin-token";
    for foreign in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "cross-site"), ("origin", &*own)],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ] {
        for path in [
            "/console/sign-in",
            "/console/sign-out",
            "/console/callbacks/x/payload",
        ] {
            let answer = browser.post(path, form, foreign).await;
            assert_eq!(answer.status(), 403, "{path} {foreign:?}");
            assert!(answer.headers().get(SET_COOKIE).is_none());
        }
    }
    let answer = browser
        .post("/console/sign-in", form, &[("origin", &*own)])
        .await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer)),
        (303, "/console/")
    );
    // Nobody is led to another site.
    let form = format!("{form}&next=https%3A%2F%2Fevil.example%2Fconsole%2F");
    let answer = browser
        .post("/console/sign-in", &form, &[SAME_ORIGIN])
        .await;
    assert_eq!(location(&answer), "/console/");
    let answer = browser
        .get("/console/language?to=zh&next=%2F%2Fevil.example", &[])
        .await;
    assert_eq!(location(&answer), "/console/");
    let chosen = sent_back(answer.headers()[SET_COOKIE].to_str().unwrap());
    let page = browser
        .get("/console/sign-in", &[("cookie", &chosen)])
        .await;
    assert!(page.text().await.unwrap().contains("登录"));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_message_is_shown_to_the_role_payload_alone_and_each_look_is_audited() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve_with(with_tokens(), true);
    let browser = Browser::of(&client);
    let letter = message("demo");
    fixture
        .journal
        .record(&[record(&letter, dead("exhausted"))])
        .await
        .unwrap();
    let path = format!("/console/callbacks/{}/payload", letter.request_id);
    let mut answers = Vec::new();
    for token in ["token-of-a-reader", "token-of-pat"] {
        let (_, cookie) = browser.sign_in(token).await;
        let cookie = sent_back(&cookie.unwrap());
        for form in ["reason=", "reason=a+complaint"] {
            let answer = browser
                .post(&path, form, &[SAME_ORIGIN, ("cookie", &cookie)])
                .await;
            let status = answer.status().as_u16();
            answers.push((
                status,
                answer
                    .text()
                    .await
                    .unwrap()
                    .contains("https://h.example/x?secret"),
            ));
        }
    }
    assert_eq!(
        answers,
        [(403, false), (403, false), (400, false), (200, true)]
    );
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    let entries: Vec<_> = entries
        .iter()
        .map(|it| (&*it.entry.actor, &*it.entry.reason))
        .collect();
    assert_eq!(entries, [("pat", "a complaint")]);
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn an_act_is_previewed_needs_the_role_replay_a_reason_and_this_origin_and_is_audited() {
    let fixture = ApiFixture::new().await;
    let mut config = with_tokens();
    let rita = TokenConfig {
        hash: KeyHash::of(b"token-of-rita").to_string(),
        role: Role::Replay.into(),
    };
    config.tokens.insert("rita".to_owned(), rita);
    let client = fixture.serve_with(config, true);
    let browser = Browser::of(&client);
    let letter = fixture.dead_letter("demo", "exhausted").await.request_id;
    let one = format!("/console/callbacks/{letter}");
    let replay = format!("{one}/replay");
    let (_, cookie) = browser.sign_in("token-of-a-reader").await;
    let cookie = sent_back(&cookie.unwrap());
    let reader = ("cookie", &*cookie);
    let html = browser.get(&one, &[reader]).await.text().await.unwrap();
    assert!(
        !html.contains(&replay) && html.contains("role replay"),
        "{html}"
    );
    assert_eq!(browser.get(&replay, &[reader]).await.status(), 403);
    let posted = browser
        .post(&replay, "reason=x", &[SAME_ORIGIN, reader])
        .await;
    assert_eq!(posted.status(), 403);

    let (_, cookie) = browser.sign_in("token-of-rita").await;
    let cookie = sent_back(&cookie.unwrap());
    let rita = ("cookie", &*cookie);
    let html = browser.get(&one, &[rita]).await.text().await.unwrap();
    assert!(html.contains(&format!("href=\"{replay}\"")), "{html}");
    assert!(!html.contains("/retry-now"), "{html}");
    let html = browser.get(&replay, &[rita]).await.text().await.unwrap();
    assert!(
        html.contains("This can be done now.")
            && html.contains("<form method=\"post\" action=\"/console/callbacks/"),
        "{html}"
    );
    let foreign = browser
        .post(
            &replay,
            "reason=x",
            &[("sec-fetch-site", "same-site"), rita],
        )
        .await;
    assert_eq!(foreign.status(), 403);
    let silent = browser
        .post(&replay, "reason=+", &[SAME_ORIGIN, rita])
        .await;
    assert_eq!(silent.status(), 400);
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    assert!(entries.is_empty(), "nothing was done: {entries:?}");

    let done = browser
        .post(&replay, "reason=it+is+back", &[SAME_ORIGIN, rita])
        .await;
    assert_eq!(done.status(), 200);
    assert!(
        done.text()
            .await
            .unwrap()
            .contains("Done. It is in the audit log.")
    );
    let published = fixture.next(broker::Queue::Retry).await;
    assert_eq!((published.request_id, published.generation), (letter, 1));
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    let entries: Vec<_> = entries
        .iter()
        .map(|it| (&*it.entry.actor, &*it.entry.action, &*it.entry.reason))
        .collect();
    assert_eq!(entries, [("rita", "replay", "it is back")]);
    // It is not a dead letter any more.
    let again = browser.get(&replay, &[rita]).await.text().await.unwrap();
    assert!(
        again.contains("This cannot be done.") && !again.contains("name=\"reason\""),
        "{again}"
    );
    // It waits now: it can be cancelled.
    let cancel = format!("{one}/cancel");
    let done = browser
        .post(&cancel, "reason=not+wanted", &[SAME_ORIGIN, rita])
        .await;
    assert_eq!(done.status(), 200);
    for (path, status) in [
        (format!("{one}/erase"), 404),
        (
            format!("/console/callbacks/{}/cancel", &letter.to_string()[..8]),
            400,
        ),
    ] {
        assert_eq!(browser.get(&path, &[rita]).await.status(), status, "{path}");
    }
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_pause_begins_and_ends_on_its_page_with_the_role_configure_and_is_audited() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve_with(with_tokens(), true);
    let browser = Browser::of(&client);
    let path = "/console/pauses";
    let begin = "act=pause&kind=app_id&name=demo&actor=ann&reason=repairs";
    let (_, cookie) = browser.sign_in("token-of-a-reader").await;
    let cookie = sent_back(&cookie.unwrap());
    let reader = ("cookie", &*cookie);
    assert_eq!(
        browser
            .post(path, begin, &[SAME_ORIGIN, reader])
            .await
            .status(),
        403
    );
    let html = browser.get(path, &[reader]).await.text().await.unwrap();
    assert!(
        html.contains("role configure") && html.contains("Nothing is paused."),
        "{html}"
    );

    let (_, cookie) = browser.sign_in("the-admin-token").await;
    let cookie = sent_back(&cookie.unwrap());
    let admin = ("cookie", &*cookie);
    for (form, status) in [
        // Without a reason, without a name, of nothing that can be paused.
        ("act=pause&kind=app_id&name=demo&actor=ann&reason=", 400),
        ("act=pause&kind=app_id&name=demo&reason=repairs", 400),
        ("act=pause&kind=app_id&name=&actor=ann&reason=repairs", 400),
        (
            "act=pause&kind=wrong&name=demo&actor=ann&reason=repairs",
            400,
        ),
        (
            "act=wrong&kind=app_id&name=demo&actor=ann&reason=repairs",
            400,
        ),
        (
            "act=pause&kind=callee_no&name=NOBODY&actor=ann&reason=repairs",
            404,
        ),
        (
            "act=resume&kind=app_id&name=demo&actor=ann&reason=repairs",
            404,
        ),
    ] {
        let answer = browser.post(path, form, &[SAME_ORIGIN, admin]).await;
        assert_eq!(answer.status(), status, "{form}");
    }
    let foreign = browser
        .post(path, begin, &[("sec-fetch-site", "cross-site"), admin])
        .await;
    assert_eq!(foreign.status(), 403);
    let switch = "act=pause&kind=deliveries&name=&actor=ann&reason=repairs";
    for form in [begin, switch] {
        let answer = browser.post(path, form, &[SAME_ORIGIN, admin]).await;
        assert_eq!(
            (answer.status().as_u16(), location(&answer)),
            (303, path),
            "{form}"
        );
    }
    let html = browser.get(path, &[admin]).await.text().await.unwrap();
    for part in ["demo", "ann", "repairs", "value=\"deliveries\""] {
        assert!(html.contains(part), "{part}: {html}");
    }
    for form in [begin, switch] {
        let form = form.replace("act=pause", "act=resume");
        let answer = browser.post(path, &form, &[SAME_ORIGIN, admin]).await;
        assert_eq!(answer.status(), 303, "{form}");
    }
    let html = browser.get(path, &[admin]).await.text().await.unwrap();
    assert!(html.contains("Nothing is paused."), "{html}");
    let entries = fixture.journal.audit_log(None, 10).await.unwrap().entries;
    let mut entries: Vec<_> = entries
        .iter()
        .map(|it| (&*it.entry.action, &*it.entry.actor))
        .collect();
    entries.sort_unstable();
    assert_eq!(
        entries,
        [
            ("pause", "ann"),
            ("pause", "ann"),
            ("resume", "ann"),
            ("resume", "ann")
        ]
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn without_a_journal_pages_say_so() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, false);
    let browser = Browser::of(&client);
    for (path, status) in [
        ("/console/", 200),
        ("/console/targets", 200),
        ("/console/callbacks", 501),
        ("/console/dead-letters", 501),
    ] {
        let answer = browser.get(path, &[]).await;
        assert_eq!(answer.status(), status, "{path}");
        let html = answer.text().await.unwrap();
        assert!(status == 200 || html.contains("journal.url"), "{html}");
    }
    // The API is as it was.
    let (status, _): (u16, Value) = client.get("/admin/v1/targets").await;
    assert_eq!(status, 200);
    drop(client);
    fixture.close().await;
}
