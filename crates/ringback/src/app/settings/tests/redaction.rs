//! Tests that the printed settings show everything but the secrets.

use super::*;

#[test]
fn nothing_set_gives_the_defaults() {
    let settings = load_config(None, std::iter::empty()).unwrap();
    assert_eq!(
        settings.to_toml_redacted(),
        r#"[broker]
# ca_file is not set
# cert_file is not set
# data_dir is not set
declare = true
# key_file is not set
min_free_bytes = 268435456
prefix = "ringback"
publish_channels = 2
publish_timeout = "5s"
# url is not set

[ingress]
accept_blank_message_type = false
allowed_origins = []
api_page = false
app_share = 0.25
body_limit_bytes = 262144
body_timeout = "10s"
canary = true
default_wait = "0s"
http_status = "by_code"
listen = "0.0.0.0:5106"
max_backlog = 500000
max_wait = "30s"
max_waiting = 5000000
shutdown_timeout = "30s"
strict_options = false
target_delay = "0s"
workers = 0

[dispatcher]
attempt_timeout = "15s"
# ca_file is not set
connect_timeout = "3s"
dns_servers = []
first_concurrency = 256
listen = "0.0.0.0:5108"
retry_concurrency = 64
shutdown_timeout = "1m 15s"

[retry]
schedule = ["5s","30s","2m","10m","30m","2h","5h","10h"]

[limits]
# app_in_flight is not set
breaker_failure_ratio = 0.5
breaker_max_open_duration = "1m"
breaker_min_calls = 20
breaker_open_duration = "15s"
breaker_window = "30s"
burst = 1
# in_flight is not set
queue_timeout = "2s"
# rate is not set

[auth]
# mode is not set
timestamp_tolerance = "5m"

[journal]
audit_retention = "365days"
# body_retention is not set
buffer = 100000
keep_answers = true
keep_delivered = "0s"
keep_waiting = true
max_backlog = 1000000
retention = "30days"
rollup_retention = "30days"
# spool_dir is not set
# unaccounted_after is not set
# url is not set

[dead_letters]
retention = "30days"

[admin]
api_page = false
listen = "127.0.0.1:5109"
payload_masks = []
proxy_addresses = []
# proxy_user_header is not set
proxy_users = {  }
# token is not set
# trace_url is not set

[http]
max_connections = 10000
# max_connections_per_peer is not set
trusted_proxies = []

[metrics]
listen = "127.0.0.1:5110"

[auto_pause]
after = "0s"
on_gone = false

[guard]
allow = []
denied_ports = []
https_only = false

[log]
format = "auto"
level = "info"

[telemetry]

[telemetry.otlp]
# endpoint is not set
ratio = 0.01
"#
    );
}

#[test]
fn the_printed_settings_can_be_loaded_again() {
    let printed = load(EVERYTHING, &[]).unwrap().to_toml_redacted();
    // A masked hash is refused when it is loaded, and a masked token is too short.
    let readable = printed
        .replace("hash = \"***\"", &format!("hash = \"{HASH}\""))
        .replace("token = \"***\"", &format!("token = \"{CANARY}\""));
    let again = load(&readable, &[]).unwrap_or_else(|error| panic!("{error} in:\n{printed}"));
    assert_eq!(again.to_toml_redacted(), printed);
}

#[test]
fn no_secret_is_ever_printed() {
    let settings = load(EVERYTHING, &[]).unwrap();
    assert!(
        settings
            .broker
            .url
            .as_ref()
            .unwrap()
            .expose_secret()
            .contains(CANARY)
    );
    let toml = settings.to_toml_redacted();
    for printed in [
        format!("{settings:?}"),
        format!("{settings:#?}"),
        toml.clone(),
    ] {
        assert!(!printed.contains(CANARY), "{printed}");
    }
    assert!(toml.contains("token = \"***\"\n"), "{toml}");
    let secrets = "signing_secrets = [\"file:/run/secrets/shop-signing\",\"***\"]\n";
    assert!(toml.contains(secrets), "{toml}");
    let url = "url = \"postgres://user:***@journal.example/ringback?sslmode=require\"\n";
    assert!(toml.contains(url), "{toml}");
    let url = "url = \"amqps://user:***@broker.example:5671/%2f?heartbeat=10\"\n";
    assert!(toml.contains(url), "{toml}");
    assert!(
        toml.contains("url = \"https://user:***@callee.example/hook?***\"\n"),
        "{toml}"
    );
}

#[test]
fn no_refusal_shows_a_secret() {
    for url in [
        "\"amqp://user:c4n4ry-p4ssw0rd-x@host",     // No end of text.
        "\"http://user:c4n4ry-p4ssw0rd-x@host\"",   // Another scheme.
        "\"amqp://user:c4n4ry-p4ssw0rd-x@\"",       // No host.
        "\"amqp://user:1/c4n4ry-p4ssw0rd-x@host\"", // A password that looks like a path,
        "\"amqp://user:1?c4n4ry-p4ssw0rd-x@host\"", // like a query,
        "\"amqp://user:1#c4n4ry-p4ssw0rd-x@host\"", // like a fragment.
        "[\"amqp://user:c4n4ry-p4ssw0rd-x@host\"]", // Not text.
        "{ a = \"c4n4ry-p4ssw0rd-x\" }",
    ] {
        let refusal = refused_file(&format!("[broker]\nurl = {url}\n"));
        assert!(!refusal.contains(CANARY), "{refusal}");
        assert!(refusal.contains("FILE"), "{refusal}");
    }
    let refusal = refused_file("[callees.A]\nurl = \"ftp://user:c4n4ry-p4ssw0rd-x@host\"\n");
    assert!(!refusal.contains(CANARY), "{refusal}");
    for (name, value) in [
        ("RINGBACK__BROKER__URL", "amqp:c4n4ry-p4ssw0rd-x@host"),
        (
            "RINGBACK__JOURNAL__URL",
            "postgres://user:1/c4n4ry-p4ssw0rd-x@host/db",
        ),
        (
            "RINGBACK__JOURNAL__URL",
            "mysql://user:c4n4ry-p4ssw0rd-x@host/db",
        ),
        ("RINGBACK__ADMIN__TOKEN", "c4n4ry-p4ssw0rd-x 乐"),
    ] {
        let refusal = refused_variable(name, value);
        assert!(!refusal.contains(CANARY), "{refusal}");
    }
}

#[test]
fn what_is_masked_when_printed_is_a_secret_setting() {
    let printed = load(EVERYTHING, &[]).unwrap().to_toml_redacted();
    let mut section = String::new();
    let mut masked = 0;
    for line in printed.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
        }
        if !line.contains("***") {
            continue;
        }
        let (key, _) = line.split_once(" = ").unwrap();
        let generic = match section.split_once(".\"") {
            Some((named, _)) => format!("{named}.*.{key}"),
            None => format!("{section}.{key}"),
        };
        let is_known = Settings::SECRETS.iter().any(|secret| secret.key == generic);
        assert!(
            is_known,
            "{generic} is masked, but is not in Settings::SECRETS"
        );
        masked += 1;
    }
    assert!(masked >= 9, "{printed}");
}

#[test]
fn no_refusal_shows_what_stands_in_the_place_of_a_secret() {
    for setting in Settings::SECRETS {
        let (section, key) = setting.key.rsplit_once('.').unwrap();
        let section = section.replace('*', "A");
        for value in [
            "8812345",
            "-8812345",
            "8812345.5",
            "8812345e5",
            "0x8812345",
            "true",
            "[8812345]",
            "[8812345.5, true]",
            "[[8812345]]",
            "{ a = 8812345 }",
            "{ a = { b = 8812345 } }",
            "88123450000000000000000000000",
            "c4n4ry-p4ssw0rd-x",
            "8812345c4n4ry-p4ssw0rd-x",
            "\"c4n4ry-p4ssw0rd-x",
            "\"c4n4ry-p4ssw0rd-x\"",
            "[\"c4n4ry-p4ssw0rd-x\", 8812345]",
        ] {
            let loaded = load(&format!("[{section}]\n{key} = {value}\n"), &[]);
            // Some of the settings take a text or a list of texts.
            let refused = loaded.err().unwrap_or_default();
            for secret in ["88", CANARY, "true is"] {
                assert!(!refused.contains(secret), "{key} = {value}: {refused}");
            }
        }
    }
}

#[test]
fn the_urls_and_tokens_of_the_process_are_read_from_files_and_checked_as_if_written() {
    let file = |text: &str| TemporaryFile::new(text);
    let [broker, journal, token, url, hash] = [
        file("amqp://user:c4n4ry-p4ssw0rd-x@broker.example/%2f\n"),
        file("postgres://user:c4n4ry-p4ssw0rd-x@journal.example/db\n"),
        file("c4n4ry-p4ssw0rd-x\n"),
        file("https://callee.example/hook?token=c4n4ry-p4ssw0rd-x\n"),
        file(&format!("{HASH}\n")),
    ];
    let named = |file: &TemporaryFile| format!("file:{}", file.0.display());
    let text = format!(
        "[broker]\nurl = {:?}\n[journal]\nurl = {:?}\n[admin]\ntoken = {:?}\nlisten = \"0.0.0.0:1\"\n\
         [admin.tokens.ann]\nhash = {:?}\n[callees.A]\nurl = {:?}\n[apps.shop]\nkeys = [{:?}]\n",
        named(&broker),
        named(&journal),
        named(&token),
        named(&hash),
        named(&url),
        named(&hash),
    );
    let settings = load(&text, &[]).unwrap();
    let token_of = |settings: &Settings| {
        let token = settings.admin.token.as_ref().unwrap();
        token.expose_secret().to_owned()
    };
    assert_eq!(token_of(&settings), CANARY);
    assert_eq!(settings.admin.tokens["ann"].hash, HASH);
    assert_eq!(settings.apps["shop"].keys, [HASH]);
    let printed = settings.to_toml_redacted();
    for shown in [
        "url = \"amqp://user:***@broker.example/%2f\"",
        "url = \"postgres://user:***@journal.example/db\"",
        "url = \"https://callee.example/hook?***\"",
        "token = \"***\"",
    ] {
        assert!(printed.contains(shown), "{printed}");
    }
    assert!(!printed.contains(CANARY), "{printed}");
    let wrong = file("http://user:c4n4ry-p4ssw0rd-x@host\n");
    for (section, reason) in [
        ("broker", "it is not a broker's URL"),
        ("journal", "it is not a PostgreSQL URL"),
    ] {
        let refused = refused_file(&format!("[{section}]\nurl = {:?}\n", named(&wrong)));
        assert!(
            refused.contains(reason) && !refused.contains(CANARY),
            "{refused}"
        );
    }
    let refused = refused_variable("RINGBACK__ADMIN__TOKEN", "file:/nowhere/token");
    let reason = "the file /nowhere/token cannot be read: No such file or directory (os error 2)";
    assert_eq!(refused, format!("RINGBACK__ADMIN__TOKEN: {reason}"));
}
