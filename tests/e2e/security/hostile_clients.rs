//! Clients that attack the listeners: what they cost stays small, and what they hold up ends.

use std::net::SocketAddr;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::ports::free_port;
use tests::process::binary;
use tests::{
    Gateway, GatewayOptions, HostileConnections, HostileKind, Process, SharedGateway, eventually,
    http, on_shared_runtime,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Hostile connections of each kind.
const MANY: usize = 200;
/// What one may cost, in bytes.
const MAX_COST: u64 = 64 * 1024;
/// The longest timeout is 10 s; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// How long the memory is watched.
const WATCHED: Duration = Duration::from_secs(5);

/// Every listener with a path that it answers without credentials. In one process the health pages
/// of a dispatcher are on ingress.
fn listeners(gateway: &Gateway<'_>) -> Vec<(&'static str, SocketAddr, &'static str, u32)> {
    let dispatcher = gateway.dispatchers.first().unwrap_or(&gateway.ingress);
    let pid = |instance: &tests::gateway::Instance| instance.process.pid();
    let (ingress, dispatching) = (pid(&gateway.ingress), pid(dispatcher));
    let mut all = vec![
        ("ingress", gateway.ingress.address, "/nothing", ingress),
        ("metrics", gateway.ingress.metrics, "/metrics", ingress),
        (
            "admin",
            dispatcher.admin,
            "/admin/v1/callbacks",
            dispatching,
        ),
    ];
    if !gateway.dispatchers.is_empty() {
        all.push(("health", dispatcher.address, "/healthz", dispatching));
    }
    all
}

fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn unread_answers_and_pipelined_requests_cost_little_on_every_listener() {
    on_shared_runtime(async {
        let token = ("RINGBACK__ADMIN__TOKEN", "a-token-0123456789");
        let fixture =
            SharedGateway::start(|_| GatewayOptions::default().with(token.0, token.1)).await;
        let fixture = fixture.in_test();
        for kind in [HostileKind::UnreadAnswers, HostileKind::PipelinedFlood] {
            for (listener, address, path, pid) in listeners(&fixture.gateway) {
                let before = rss(pid);
                let _hostile = HostileConnections::open(kind, address, path, MANY).await;
                let (begun, mut most) = (Instant::now(), 0);
                while begun.elapsed() < WATCHED {
                    most = most.max(rss(pid));
                    sleep(Duration::from_millis(20)).await;
                }
                let each = most.saturating_sub(before) / MANY as u64;
                assert!(each < MAX_COST, "{listener}, {kind:?}: {each} bytes each");
            }
        }
    });
}

#[test]
fn a_client_that_is_too_slow_or_reads_nothing_loses_its_connection_on_every_listener() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_| GatewayOptions::default()).await;
        let fixture = fixture.in_test();
        let mut all = Vec::new();
        for kind in [
            HostileKind::UnreadAnswers,
            HostileKind::DrippedHead,
            HostileKind::DrippedBody,
            HostileKind::DrippedChunks,
        ] {
            for (listener, address, _, _) in listeners(&fixture.gateway) {
                for path in ["/nothing", "/healthz"] {
                    let hostile = HostileConnections::open(kind, address, path, 5).await;
                    all.push((format!("{listener} {path} {kind:?}"), hostile));
                }
            }
        }
        for (what, hostile) in all {
            all_end(&hostile, &what).await;
        }
    });
}

async fn all_end(hostile: &HostileConnections, what: &str) {
    eventually(
        &format!("the end of the connections: {what}"),
        SOON,
        async || {
            let left = hostile.count();
            (left == 0).then_some(()).ok_or(format!("{left} left"))
        },
    )
    .await;
}

#[test]
fn a_client_that_pipelines_is_answered_in_order() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_| GatewayOptions::default()).await;
        let fixture = fixture.in_test();
        let body = fixture.callback("/ok").to_string();
        let head = "POST /api/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let length = body.len();
        let requests = [
            "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            format!("{head}content-length: {length}\r\n\r\n{body}"),
            "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            format!("{head}content-length: 2\r\n\r\n{{}}"),
        ];
        let statuses = ["200", "200", "404", "200", "400"];
        let mut stream = TcpStream::connect(fixture.gateway.ingress.address)
            .await
            .unwrap();
        let (mut read, mut write) = stream.split();
        let rounds = 40;
        let sending = async {
            let all = requests.concat().repeat(rounds);
            write.write_all(all.as_bytes()).await.unwrap();
        };
        let reading = async {
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while text.matches("HTTP/1.1 ").count() < rounds * statuses.len() {
                let length = read.read(&mut buffer).await.unwrap();
                assert_ne!(length, 0, "{text}");
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            text
        };
        let ((), text) = timeout(SOON, async { tokio::join!(sending, reading) })
            .await
            .unwrap();
        let seen: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|it| &it[..3]).collect();
        assert_eq!(seen, statuses.repeat(rounds));
    });
}

#[test]
fn beyond_the_cap_idle_connections_make_room_and_nobody_is_held_up() {
    on_shared_runtime(async {
        let cap = 50;
        let fixture = SharedGateway::start(|_| {
            GatewayOptions::default().with_ingress("RINGBACK__HTTP__MAX_CONNECTIONS", "50")
        })
        .await;
        let fixture = fixture.in_test();
        let gateway = &fixture.gateway;
        let idle = HostileConnections::open(
            HostileKind::Idle,
            gateway.ingress.address,
            "/healthz",
            4 * cap,
        );
        let idle = idle.await;
        fixture.send(&fixture.callback("/ok")).await;
        eventually("the cap", SOON, async || {
            let open = idle.count();
            (open <= cap).then_some(()).ok_or(format!("{open} open"))
        })
        .await;
        let page = gateway.metrics(tests::GatewayRole::Ingress).await;
        let line = "ringback_http_connections_closed_total{listener=\"ingress\",reason=\"shed\"} ";
        let shed = page.lines().find_map(|it| it.strip_prefix(line)).unwrap();
        assert!(shed.parse::<usize>().unwrap() >= 3 * cap, "{shed}");
    });
}

/// With few files, more connections than files hold up neither callers nor targets.
#[test]
fn at_a_low_limit_of_open_files_idle_connections_do_not_stall_the_process() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("few-files");
        let [ingress, metrics] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let data = temp.path().join("data").display().to_string();
        let environment = [
            ("RINGBACK__BROKER__DATA_DIR", &*data),
            ("RINGBACK__INGRESS__LISTEN", &*ingress),
            ("RINGBACK__METRICS__LISTEN", &*metrics),
            ("RINGBACK__GUARD__ALLOW", "127.0.0.0/8"),
        ];
        let process = Process::start_with_files(256, binary(), &["serve"], environment);
        let client = http::client();
        let url = |path: &str| format!("http://{ingress}{path}");
        let get = async |path: &str| {
            let answer = client.get(url(path)).send().await;
            answer
                .map(|it| it.status().as_u16())
                .map_err(|error| format!("{error:?}"))
        };
        eventually("ready", SOON, async || match get("/readyz").await? {
            200 => Ok(()),
            status => Err(status.to_string()),
        })
        .await;
        let address = ingress.parse().unwrap();
        let _idle = HostileConnections::open(HostileKind::Idle, address, "/healthz", 600).await;
        let files = process.open_files();
        assert!(files < 200, "{files} files open");
        let callee = tests::Callee::start().await;
        let callback = tests::callback(&callee.url("/ok")).to_string();
        let posted = client.post(url("/api/callback")).body(callback).send();
        assert_eq!(posted.await.unwrap().status(), 200);
        eventually("the callback", SOON, async || {
            let count = callee.requests.received().len();
            (count == 1).then_some(()).ok_or(count.to_string())
        })
        .await;
        assert!(process.log().contains("http.max_connections is lowered"));
    });
}

#[test]
fn a_web_page_of_another_origin_can_send_and_cancel_nothing() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_| GatewayOptions::default().with_journal()).await;
        let fixture = fixture.in_test();
        let gateway = &fixture.gateway;
        let body = fixture.callback("/ok").to_string();
        let own = format!("http://{}", gateway.ingress.address);
        for headers in [
            &[("origin", "https://evil.test")][..],
            &[("origin", "null"), ("content-type", "text/plain")],
            &[("origin", "http://localhost:1")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", &*own), ("sec-fetch-site", "cross-site")],
        ] {
            let answer = gateway.post_raw(body.clone(), headers).await;
            assert_eq!(answer.status, 403, "{headers:?}");
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.starts_with(r#"{"code":"403","msg":""#), "{text}");
        }
        let delayed = {
            let mut delayed = fixture.callback("/ok");
            delayed["options"] = serde_json::json!({"delay_seconds": 3_600});
            gateway
                .post_raw(delayed.to_string(), &[("origin", &*own)])
                .await
                .accepted()
        };
        let url = format!("{}/{delayed}", gateway.callback_url());
        let client = http::client();
        let ask = async |method: reqwest::Method, site: &str| {
            let request = client.request(method, &url).header("origin", site);
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(ask(reqwest::Method::DELETE, "https://evil.test").await, 403);
        // It may ask: a browser does not show it the answer.
        assert_eq!(ask(reqwest::Method::GET, "https://evil.test").await, 200);
        assert_eq!(ask(reqwest::Method::DELETE, &own).await, 200);
        assert!(fixture.callee.requests.received().is_empty());
    });
}
