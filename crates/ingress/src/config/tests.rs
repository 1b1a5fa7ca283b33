//! Tests of defaults, formats and range checks of the settings.

use super::*;
use serde_json::{Value, json};

fn reports(validate: impl FnOnce(&mut dyn FnMut(&str, String))) -> Vec<String> {
    let mut reports = Vec::new();
    validate(&mut |key, reason| reports.push(format!("{key}: {reason}")));
    reports
}

fn apps(apps: Value) -> BTreeMap<String, AppConfig> {
    serde_json::from_value(apps).unwrap()
}

#[test]
fn the_defaults_are_valid() {
    assert!(reports(|report| IngressConfig::default().validate(report)).is_empty());
    assert!(reports(|report| AuthConfig::default().validate(report)).is_empty());
    assert!(reports(|report| AppConfig::default().validate(report)).is_empty());
}

#[test]
fn an_origin_that_does_not_parse_is_reported_with_its_key() {
    for origin in ["https://::1", "https://["] {
        let config = IngressConfig {
            allowed_origins: vec!["https://a.example".to_owned(), origin.to_owned()],
            ..IngressConfig::default()
        };
        let reports = reports(|report| config.validate(report));
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(
            reports[0].starts_with(&format!("allowed_origins: {origin:?} is not")),
            "{reports:?}"
        );
    }
}

#[test]
fn settings_are_read_as_they_are_written() {
    let config: IngressConfig = serde_json::from_value(json!({
        "listen": "127.0.0.1:1", "body_timeout": "90s", "http_status": "always_200",
    }))
    .unwrap();
    assert_eq!(config.listen, "127.0.0.1:1".parse().unwrap());
    assert_eq!(config.body_timeout, Duration::from_secs(90));
    assert_eq!(config.http_status, HttpStatusMode::Always200);
    assert_eq!(config.target_delay, Duration::ZERO);
    assert_eq!(config.max_backlog, 500_000);
    assert_eq!(config.max_waiting, 5_000_000);
    assert!((config.app_share - 0.25).abs() < f64::EPSILON);
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(written["http_status"], "always_200");

    for (text, mode) in [
        ("open", AuthMode::Open),
        ("bearer", AuthMode::Bearer),
        ("hmac", AuthMode::Hmac),
    ] {
        let config: AuthConfig = serde_json::from_value(json!({ "mode": text })).unwrap();
        assert_eq!(config.mode, Some(mode));
        assert_eq!(serde_json::to_value(&config).unwrap()["mode"], text);
    }
    for unknown in [
        json!({ "grace": "1s" }),
        json!({ "http_status": "always" }),
        json!({ "body_timeout": 30 }),
    ] {
        assert!(serde_json::from_value::<IngressConfig>(unknown).is_err());
    }
}

#[test]
fn the_rules_of_an_app_are_checked_when_they_are_read() {
    let shop = json!({ "allow": ["10.0.0.0/8"], "allowed_hosts": ["*.shop.example"] });
    let app: AppConfig = serde_json::from_value(shop.clone()).unwrap();
    let written = serde_json::to_value(&app).unwrap();
    for key in ["allow", "allowed_hosts"] {
        assert_eq!(written[key], shop[key]);
        for bad in ["", "10.0.0.1/8", "127.0.0.1:0"] {
            let app = json!({ key: ["10.0.0.0/8", bad] });
            let error = serde_json::from_value::<AppConfig>(app).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{bad:?} ")),
                "{error}"
            );
        }
    }
}

#[test]
fn neither_a_key_nor_a_secret_is_shown() {
    let app = json!({
        "keys": ["sha256:c4n4ry"],
        "secrets": ["whsec_c4n4ry"],
        "signing_secrets": ["env:NAME", "whsec_c4n4ry"],
    });
    let app: AppConfig = serde_json::from_value(app).unwrap();
    let written = serde_json::to_value(&app).unwrap();
    assert_eq!(written["keys"], json!(["***"]));
    assert_eq!(written["secrets"], json!(["***"]));
    assert_eq!(written["signing_secrets"], json!(["env:NAME", "***"]));
}

#[test]
fn every_value_out_of_range_is_reported() {
    let config = json!({
        "body_limit_bytes": 1023,
        "body_timeout": "9ms",
        "target_delay": "99ms",
        "max_backlog": 0,
        "max_waiting": 0,
        "app_share": 1.5,
        "workers": 513,
        "max_wait": "301s",
        "default_wait": "302s",
        "shutdown_timeout": "2h",
    });
    let config: IngressConfig = serde_json::from_value(config).unwrap();
    assert_eq!(
        reports(|report| config.validate(report)),
        [
            "body_limit_bytes: 1023 is not between 1024 and 8388608",
            "body_timeout: 9ms is not between 10ms and 5m",
            "target_delay: 99ms is not between 100ms and 1m",
            "max_backlog: 0 is not between 1 and 1000000000",
            "max_waiting: 0 is not between 1 and 1000000000",
            "app_share: 1.5 is not between 0.01 and 1",
            "workers: 513 is not between 0 and 512",
            "max_wait: 301s is not between 0s and 5m",
            "default_wait: 302s is not between 0s and 301s",
            "shutdown_timeout: 2h is not between 10ms and 1h",
        ]
    );
    let config: AuthConfig =
        serde_json::from_value(json!({ "timestamp_tolerance": "0s" })).unwrap();
    assert_eq!(
        reports(|report| config.validate(report)),
        ["timestamp_tolerance: 0s is not between 1s and 24h"]
    );
}

#[test]
fn every_bad_app_is_reported() {
    for (app, expected) in [
        (
            json!({ "shop": { "keys": ["a", "b", "c"] } }),
            "shop.keys: it has 3 entries; at most two are allowed",
        ),
        (
            json!({ "shop": { "keys": ["a", ""] } }),
            "shop.keys: one of its items is blank",
        ),
        (
            json!({ "shop": { "max_in_flight": 1_000_001 } }),
            "shop.max_in_flight: 1000001 is not between 0 and 1000000",
        ),
        (
            json!({ "shop": { "in_flight": 0 } }),
            "shop.in_flight: 0 is not between 1 and 65535",
        ),
        (
            json!({ "shop": { "burst": 1 } }),
            "shop.burst: it needs a rate, and none is set",
        ),
        (
            json!({ "a\nb": {} }),
            "a\\nb: an app's id is 1 to 128 bytes, not blank, no control characters",
        ),
        (
            json!({ "a": { "secrets": ["env:X"] }, "b": { "signing_secrets": ["env:X"] } }),
            "b.signing_secrets: an app signs its requests with it; use another secret to sign \
             callbacks",
        ),
    ] {
        let apps = apps(app);
        assert_eq!(reports(|report| validate_apps(&apps, report)), [expected]);
    }
}
