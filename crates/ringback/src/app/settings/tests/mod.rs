//! Tests of the whole settings: every key, error sentences, and redaction.

mod callees;
mod redaction;
mod refusals;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ingress::HttpStatusMode;
use runtime::config::ConfigError;
use runtime::telemetry::LogFormat;
use secrecy::ExposeSecret;

use super::*;

fn load_config(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    runtime::config::load(file, variables)
}

/// A password that must not be shown anywhere.
const CANARY: &str = "c4n4ry-p4ssw0rd-x";

/// A settings file that is removed when the test ends.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringback-settings-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::File::create_new(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        Self(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
    let file = TemporaryFile::new(file);
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_config(Some(&file.0), env).map_err(|error| {
        let debug = format!("{error:?}");
        assert!(!debug.contains(CANARY), "{debug}");
        error
            .to_string()
            .replace(&file.0.display().to_string(), "FILE")
    })
}

/// The sentence that refuses this file, its name written `FILE`.
fn refused_file(file: &str) -> String {
    load(file, &[]).expect_err(file)
}

fn refused_variable(name: &str, value: &str) -> String {
    load("", &[(name, value)]).expect_err(name)
}

/// The hash of a token.
const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Every setting, none at its default. `callees` has names that only a file can hold.
const EVERYTHING: &str = r#"
[broker]
url = "amqps://user:c4n4ry-p4ssw0rd-x@broker.example:5671/%2f?heartbeat=10"
ca_file = "/etc/ringback/broker-ca.pem"
cert_file = "/etc/ringback/broker-cert.pem"
key_file = "/etc/ringback/broker-key.pem"
prefix = "b-2.x_y"
declare = false
publish_timeout = "250ms"
publish_channels = 8
min_free_bytes = 1048576
[ingress]
listen = "[::1]:80"
body_limit_bytes = 1024
body_timeout = "1min 30s"
http_status = "always_200"
accept_blank_message_type = true
strict_options = true
target_delay = "250ms"
max_backlog = 10
max_waiting = 30
app_share = 0.5
default_wait = "3s"
max_wait = "4s"
workers = 3
shutdown_timeout = "1h"
[dispatcher]
listen = "127.0.0.1:0"
first_concurrency = 65535
retry_concurrency = 1
shutdown_timeout = "61s"
connect_timeout = "1s"
attempt_timeout = "1min"
dns_servers = ["10.0.0.53:53", "[fd00::53]:53"]
ca_file = "/etc/ringback/roots.pem"
[retry]
schedule = ["1s", "90s"]
[limits]
in_flight = 30
app_in_flight = 40
rate = 100.5
burst = 200
queue_timeout = "3s"
breaker_failure_ratio = 0.9
breaker_min_calls = 0
breaker_window = "2min"
breaker_open_duration = "1s"
breaker_max_open_duration = "2min"
[auth]
mode = "hmac"
timestamp_tolerance = "1min"
[apps.shop]
keys = ["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
secrets = ["whsec_c4n4ry-p4ssw0rd-x", "env:SHOP_SECRET"]
signing_secrets = ["file:/run/secrets/shop-signing", "whsec_c4n4ry-p4ssw0rd-x-2"]
allow = ["10.7.0.0/16", "*.shop.internal"]
allowed_hosts = ["*.shop.internal"]
https_only = true
disabled = true
rate = 10
burst = 20
max_in_flight = 5
in_flight = 6
[admin.tokens."Ann B."]
hash = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
role = "replay"
[journal]
url = "postgres://user:c4n4ry-p4ssw0rd-x@journal.example/ringback?sslmode=require"
retention = "7d"
audit_retention = "3d"
body_retention = "2d"
unaccounted_after = "20d"
buffer = 1000
max_backlog = 20
[dead_letters]
retention = "5d"
[admin]
listen = "0.0.0.0:9"
token = "c4n4ry-p4ssw0rd-x"
[http]
max_connections = 200
max_connections_per_peer = 20
trusted_proxies = ["10.9.0.0/16"]
[metrics]
listen = "0.0.0.0:9100"
[auto_pause]
on_gone = true
after = "1h"
[guard]
allow = ["10.0.0.0/8", "192.0.2.1:8080"]
https_only = true
denied_ports = [25, "6000-6063"]
[callees.EO001]
name = "乐居新房"
url = "https://user:c4n4ry-p4ssw0rd-x@callee.example/hook?token=c4n4ry-p4ssw0rd-x#c4n4ry-p4ssw0rd-x"
schedule = "1s,90s"
timeout = "20s"
in_flight = 7
rate = 2.5
burst = 3
queue_timeout = "1s"
breaker_failure_ratio = 0.75
breaker_min_calls = 9
breaker_window = "1min"
breaker_open_duration = "5s"
breaker_max_open_duration = "20s"
retry_on = ["404", "timeout"]
never_retry = "503"
success_pointer = "/result/code"
success_values = ["0", "ok"]
headers = { "x-key" = "c4n4ry-p4ssw0rd-x", "x-other" = "env:EO001_OTHER" }
auth = "basic"
user = "file:/run/secrets/eo001-user"
secret = "env:EO001_SECRET"
ca_file = "/etc/ringback/ca.pem"
cert_file = "/etc/ringback/cert.pem"
key_file = "/etc/ringback/key.pem"
signing_secrets = ["env:EO001_SIGNING", "whsec_c4n4ry-p4ssw0rd-x-3"]
allowed_addresses = ["10.2.0.0/16"]
paused = true
[callees."二.\"手\" 房[1]"]
name = "x\u007Fy"
[log]
format = "json"
level = "debug,lapin=info"
"#;

/// The values as they are written.
fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_can_set_everything() {
    let settings = load(EVERYTHING, &[]).unwrap();
    assert_eq!(settings.broker.publish_timeout, Duration::from_millis(250));
    assert_eq!(settings.ingress.body_timeout, Duration::from_secs(90));
    assert_eq!(settings.ingress.http_status, HttpStatusMode::Always200);
    assert_eq!(
        settings.dispatcher.dns_servers[1],
        "[fd00::53]:53".parse().unwrap()
    );
    assert_eq!(settings.retry.schedule, [1, 90].map(Duration::from_secs));
    let day = Duration::from_secs(86_400);
    let journal = &settings.journal;
    assert_eq!(
        (journal.retention, journal.audit_retention),
        (7 * day, 3 * day)
    );
    assert_eq!(settings.dead_letters.retention, 5 * day);
    assert_eq!(settings.dead_letter_retention(), 2 * day, "the older name");
    assert_eq!((journal.buffer, journal.max_backlog), (1_000, 20));
    assert_eq!(
        settings.admin.token.as_ref().unwrap().expose_secret(),
        CANARY
    );
    assert_eq!(settings.ingress.default_wait, Duration::from_secs(3));
    let auto = &settings.auto_pause;
    assert_eq!((auto.on_gone, auto.after), (true, day / 24));
    assert_eq!(
        texts(&settings.guard.allow),
        ["10.0.0.0/8", "192.0.2.1:8080"]
    );
    assert_eq!(texts(&settings.guard.denied_ports), ["25", "6000-6063"]);
    let (shop, callee) = (&settings.apps["shop"], &settings.callees["EO001"]);
    assert_eq!(texts(&shop.allow), ["10.7.0.0/16", "*.shop.internal"]);
    assert_eq!(
        (texts(&shop.allowed_hosts), shop.https_only),
        (vec!["*.shop.internal".to_owned()], true)
    );
    assert_eq!(
        (
            texts(&callee.allowed_addresses),
            callee.signing_secrets.len()
        ),
        (vec!["10.2.0.0/16".to_owned()], 2)
    );
    let files: Vec<_> = settings
        .files()
        .into_iter()
        .map(|file| file.to_str().unwrap())
        .collect();
    for file in ["/run/secrets/shop-signing", "/etc/ringback/roots.pem"] {
        assert!(files.contains(&file), "{files:?}");
    }
    assert_eq!(settings.callees["EO001"].name.as_deref(), Some("乐居新房"));
    assert!(
        settings.callees.contains_key("二.\"手\" 房[1]"),
        "{:?}",
        settings.callees.keys()
    );
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn apps_and_tokens_keep_the_case_of_their_names() {
    let env = [
        ("RINGBACK__APPS__Shop__KEYS", "a,b"),
        ("RINGBACK__APPS__shop__RATE", "7"),
        ("RINGBACK__ADMIN__TOKENS__Ann__ROLE", "configure,payload"),
        ("RINGBACK__ADMIN__TOKENS__Ann__HASH", HASH),
        ("RINGBACK__ADMIN__LISTEN", "127.0.0.1:7"),
        ("RINGBACK__AUTH__MODE", ""),
    ];
    let settings = load("", &env).unwrap();
    assert_eq!(settings.apps["Shop"].keys, ["a", "b"]);
    assert_eq!(settings.apps["shop"].rate, 7);
    assert_eq!(
        settings.admin.tokens["Ann"].role.to_string(),
        "payload,configure"
    );
    assert_eq!(settings.admin.listen.port(), 7);
    assert_eq!(settings.auth.mode, None);
    for (name, shape) in [
        ("RINGBACK__APPS__shop", "RINGBACK__APPS__APP__KEY"),
        (
            "RINGBACK__ADMIN__TOKENS__ann",
            "RINGBACK__ADMIN__TOKENS__NAME__KEY",
        ),
    ] {
        let refusal = refused_variable(name, "x");
        assert!(refusal.contains(shape), "{refusal}");
    }
    let refusal = refused_variable("RINGBACK__APPS__Shop__KEYS", "a,b,c");
    assert!(
        refusal.starts_with("RINGBACK__APPS__Shop__KEYS: it has 3 entries"),
        "{refusal}"
    );
    let list = format!("[admin.tokens.ann]\nhash = \"{HASH}\"\nrole = [\"payload\", \"replay\"]");
    let settings = load(&list, &[]).unwrap();
    assert_eq!(
        settings.admin.tokens["ann"].role.to_string(),
        "payload,replay"
    );
    let refusal = refused_variable("RINGBACK__ADMIN__TOKENS__Ann__ROLE", "payload,s3cr3t");
    assert!(!refusal.contains("s3cr3t"), "{refusal}");
}
