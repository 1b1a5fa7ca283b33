//! Drills: a gateway is driven into a bad state, an operator runs one command, and what it prints
//! names the cause.
//!
//! - `targets.rs`: a dead callee, an open breaker, a deploy that answers 400, an expired certificate, a
//!   flood by one app
//! - `waiting.rs`: a callback that waits long, and what is being delivered
//! - `gateway.rs`: an unreadable message, a journal that is down, a broker with an alarm and one that
//!   is lost, a clock that is wrong
//! - `disk.rs`: a disk that is full, for the embedded store
//! - `dashboards.rs`: what the dashboards show of a gateway at work
//!
//! Where `ringback doctor` names a next step that is a command, the drill runs it and sees it work. And of
//! the alerts that are shipped, the metrics of the gateway in that state fire exactly those of the drill.

mod dashboards;
mod disk;
mod gateway;
mod targets;
mod waiting;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{BrokerKind, Callee, GatewayOptions, Process, SharedGateway, eventually};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

/// For how long a bad state is taken to last: longer than any alert waits that is about hours or less.
const TWO_HOURS: Duration = Duration::from_secs(2 * 3_600);

/// A gateway with a journal and these variables.
async fn start_with(variables: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions::default().with_journal();
        let with = |options: GatewayOptions, (key, value): &(&str, &str)| options.with(key, value);
        variables.iter().fold(options, with)
    })
    .await
}

fn is_rabbitmq() -> bool {
    BrokerKind::chosen() == BrokerKind::RabbitMq
}

/// A callback of this app to a URL.
fn of_app(app: &str, url: &str) -> Value {
    let mut body = tests::callback(url);
    body["app_id"] = json!(app);
    body
}

/// A callback to a registered callee.
fn to_callee(no: &str) -> Value {
    let mut body = tests::callback("");
    body.as_object_mut().unwrap().remove("callback_url");
    body["callee_no"] = json!(no);
    body
}

/// Runs `ringback` with these arguments against this operators' API: whether it succeeded, and its
/// output.
async fn run(admin: SocketAddr, words: &[&str]) -> (bool, String) {
    let url = format!("http://{admin}");
    let words: Vec<&str> = words.iter().copied().chain(["--admin", &url]).collect();
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

/// Where the operators of this gateway ask.
fn admin(fixture: &SharedGateway) -> SocketAddr {
    let gateway = &fixture.gateway;
    gateway
        .dispatchers
        .first()
        .unwrap_or(&gateway.ingress)
        .admin
}

/// The output of the command, once it has all these words.
async fn prints(admin: SocketAddr, command: &[&str], words: &[&str]) -> String {
    eventually(
        &format!("{command:?} to print {words:?}"),
        SOON,
        async || {
            let (_, output) = run(admin, command).await;
            let all = words.iter().all(|words| output.contains(words));
            all.then(|| output.clone()).ok_or(output)
        },
    )
    .await
}

/// Runs `ringback doctor`: its exit code, and its output.
async fn doctor(admin: SocketAddr) -> (Option<i32>, String) {
    let words = ["doctor", "--admin", &format!("http://{admin}")];
    let mut process = Process::ringback(&words, [("TZ", "UTC")]);
    let ended = process.wait_exit(SOON).await;
    (ended.code(), process.log())
}

/// The line of `ringback doctor` about this check, once it has all these words. A failure must make the
/// command fail, with exit code 1.
async fn doctor_says(admin: SocketAddr, check: &str, words: &[&str]) -> String {
    let what = format!("doctor to say {words:?} of {check}");
    eventually(&what, SOON, async || {
        let (code, output) = doctor(admin).await;
        let of_check = |line: &&str| {
            let check_and_more = line.split_once(' ').map(|(_, more)| more.trim_start());
            check_and_more.is_some_and(|more| more.starts_with(check))
        };
        let line = output.lines().find(of_check).unwrap_or_default().to_owned();
        let failed = output.lines().any(|line| line.starts_with("failure "));
        assert_eq!(code, Some(i32::from(failed)), "{output}");
        let all = words.iter().all(|words| line.contains(words));
        all.then_some(line).ok_or(output)
    })
    .await
}

/// `ringback doctor` ends with exit code 0: no check is a failure.
async fn doctor_passes(admin: SocketAddr) {
    eventually("doctor to pass", SOON, async || {
        let (code, output) = doctor(admin).await;
        (code == Some(0)).then_some(()).ok_or(output)
    })
    .await;
}

/// `ringback callback show`, once it has all these words.
async fn shows(admin: SocketAddr, id: &str, words: &[&str]) -> String {
    prints(admin, &["callback", "show", id], words).await
}

/// The status word that the caller hears.
async fn status(fixture: &SharedGateway, id: &str) -> String {
    let answer = fixture.gateway.query(id).await;
    match answer.status {
        200 => answer.json()["status"].as_str().unwrap().to_owned(),
        other => other.to_string(),
    }
}
