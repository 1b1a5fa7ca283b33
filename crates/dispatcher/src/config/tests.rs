//! Tests of the settings: defaults, range checks and error sentences.

use super::*;
use delivery::limits::LimitsConfig;
use delivery::{AddressRule, OutcomeMatcher};
use runtime::config::NamedSection;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A secret that must not be shown anywhere.
const CANARY: &str = "c4n4ry-p4ss";

fn callee(fields: Value) -> CalleeConfig {
    serde_json::from_value(fields).unwrap()
}

/// The reports about a callee with these fields, as `key: reason`.
fn refused(fields: Value) -> Vec<String> {
    let mut reports = Vec::new();
    callee(fields).validate(&LimitsConfig::default(), &mut |key, reason| {
        reports.push(format!("{key}: {reason}"));
    });
    reports
}

fn dispatcher_refused(fields: Value) -> Vec<String> {
    let config: DispatcherConfig = serde_json::from_value(fields).unwrap();
    let mut reports = Vec::new();
    config.validate(&mut |key, reason| reports.push(format!("{key}: {reason}")));
    reports
}

/// A callee with everything set.
fn everything() -> CalleeConfig {
    callee(json!({
        "name": "one",
        "url": "https://user:c4n4ry-p4ss@one.example/in?token=c4n4ry-p4ss",
        "schedule": ["1s", "90s"],
        "timeout": "20s",
        "in_flight": 7,
        "rate": 2.5,
        "burst": 3,
        "queue_timeout": "1s",
        "breaker_failure_ratio": 0.75,
        "breaker_min_calls": 9,
        "breaker_window": "1min",
        "breaker_open_duration": "5s",
        "breaker_max_open_duration": "20s",
        "retry_on": ["404", "timeout"],
        "never_retry": ["503"],
        "success_pointer": "/result/code",
        "success_values": ["0", "ok"],
        "headers": { "x-key": CANARY, "x-other": "env:OTHER" },
        "auth": "basic",
        "user": "file:/run/secrets/eo001-user",
        "secret": "env:EO001_SECRET",
        "ca_file": "/etc/ringback/ca.pem",
        "cert_file": "/etc/ringback/cert.pem",
        "key_file": "/etc/ringback/key.pem",
        "signing_secrets": [CANARY, "env:NEXT"],
        "allowed_addresses": ["10.0.0.0/8"],
        "paused": true,
    }))
}

#[test]
fn everything_of_a_callee_can_be_set() {
    let callee = everything();
    assert_eq!(callee.schedule, [1, 90].map(Duration::from_secs));
    assert_eq!(callee.timeout, Some(Duration::from_secs(20)));
    let texts = |matchers: &[OutcomeMatcher]| -> Vec<String> {
        matchers.iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts(&callee.retry_on), ["404", "timeout"]);
    assert_eq!(texts(&callee.never_retry), ["503"]);
    let network = AddressRule::Net("10.0.0.0/8".parse().unwrap());
    assert_eq!(callee.allowed_addresses, [network]);
    assert_eq!(callee.success_pointer.as_deref(), Some("/result/code"));
    assert_eq!(callee.success_values, ["0", "ok"]);
    let value = callee.headers["x-key"].read().unwrap();
    assert_eq!(value.expose_secret(), CANARY);
    assert_eq!(callee.headers.len(), 2);
    assert_eq!(callee.auth, Some(CalleeAuth::Basic));
    let files: Vec<_> = callee.files().map(|file| file.to_str().unwrap()).collect();
    assert_eq!(
        files,
        [
            "/etc/ringback/ca.pem",
            "/etc/ringback/cert.pem",
            "/etc/ringback/key.pem",
            "/run/secrets/eo001-user"
        ]
    );
    assert!(callee.paused);
    let own = callee.limits(&LimitsConfig::default());
    assert_eq!(
        (own.in_flight, own.rate, own.burst),
        (Some(7), Some(2.5), 3)
    );
    assert_eq!(
        (own.breaker_failure_ratio, own.breaker_min_calls),
        (0.75, 9)
    );
    let seconds = [
        own.queue_timeout,
        own.breaker_window,
        own.breaker_open_duration,
        own.breaker_max_open_duration,
    ];
    assert_eq!(seconds, [1, 60, 5, 20].map(Duration::from_secs));
    assert_eq!(refused(serde_json::to_value(json!({})).unwrap()), [""; 0]);
}

#[test]
fn a_callee_falls_back_to_the_limits_of_all() {
    let all = LimitsConfig {
        in_flight: Some(30),
        rate: Some(100.5),
        burst: 200,
        ..LimitsConfig::default()
    };
    let same = callee(json!({ "name": "x" })).limits(&all);
    assert_eq!(format!("{same:?}"), format!("{all:?}"));
    let own = callee(json!({ "rate": 3.0 })).limits(&all);
    assert_eq!(
        (own.in_flight, own.rate, own.burst),
        (Some(30), Some(3.0), 200)
    );
}

#[test]
fn no_secret_of_a_callee_is_shown() {
    let callee = everything();
    let shown = serde_json::to_string(&callee).unwrap();
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(
        shown.contains("https://user:***@one.example/in?***"),
        "{shown}"
    );
    assert!(shown.contains("env:EO001_SECRET"), "{shown}");
    let debug = format!("{callee:?}");
    assert!(!debug.contains(CANARY), "{debug}");
}

#[test]
fn printed_settings_can_be_read_again() {
    let printed = serde_json::to_value(everything()).unwrap();
    let again = callee(printed.clone());
    assert_eq!(serde_json::to_value(again).unwrap(), printed);
    let printed = serde_json::to_value(DispatcherConfig::default()).unwrap();
    let again: DispatcherConfig = serde_json::from_value(printed.clone()).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap(), printed);
    let printed = serde_json::to_value(AutoPauseConfig::default()).unwrap();
    assert!(serde_json::from_value::<AutoPauseConfig>(printed).is_ok());
}

/// Settings with callees only.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Callees {
    callees: BTreeMap<String, CalleeConfig>,
}

impl runtime::Config for Callees {
    const NAMED_SECTIONS: &'static [NamedSection] = &[NamedSection {
        path: "callees",
        placeholder: "NUMBER",
    }];
    const ORDER: &'static [&'static str] = &["callees"];

    fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        validate_callees(
            &self.callees,
            &LimitsConfig::default(),
            &mut |key, reason| {
                report(&format!("callees.{key}"), reason);
            },
        );
    }

    fn files(&self) -> Vec<&Path> {
        self.callees
            .values()
            .flat_map(CalleeConfig::files)
            .collect()
    }
}

fn load(variables: &[(&str, &str)]) -> Result<CalleeConfig, String> {
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("RINGBACK__CALLEES__E1__{key}"), (*value).to_owned()));
    let loaded = runtime::config::load::<Callees>(None, variables);
    let mut loaded = loaded.map_err(|error| error.to_string())?;
    Ok(loaded.callees.remove("E1").unwrap())
}

#[test]
fn lists_of_a_callee_can_be_set_in_the_environment() {
    let callee = load(&[
        ("RETRY_ON", "503, timeout"),
        ("NEVER_RETRY", "404"),
        ("ALLOWED_ADDRESSES", "10.0.0.0/8,*.internal"),
        ("SCHEDULE", "5s,2min"),
        ("TIMEOUT", ""),
    ])
    .unwrap();
    let printed = serde_json::to_value(&callee).unwrap();
    assert_eq!(printed["retry_on"], json!(["503", "timeout"]));
    assert_eq!(printed["never_retry"], json!(["404"]));
    assert_eq!(
        printed["allowed_addresses"],
        json!(["10.0.0.0/8", "*.internal"])
    );
    assert_eq!(printed["schedule"], json!(["5s", "2m"]));
    assert_eq!(callee.timeout, None);
    for (key, value, reason) in [
        ("RETRY_ON", "503,200", "\"200\" is not an outcome"),
        ("ALLOWED_ADDRESSES", "10.1", "\"10.1\" is not a range"),
        ("SCHEDULE", "1ms", "wait 1 of the schedule is 1ms"),
    ] {
        let refused = load(&[(key, value)]).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
        assert!(refused.to_uppercase().contains(key), "{refused}");
    }
}

#[test]
fn statuses_of_a_callee_may_be_written_as_numbers() {
    let name = format!("ringback-callee-{}.toml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(
        &file,
        "[callees.E1]\nretry_on = [503, \"4xx\"]\nnever_retry = [404]\n",
    )
    .unwrap();
    let loaded = runtime::config::load::<Callees>(Some(&file), std::iter::empty());
    std::fs::remove_file(&file).unwrap();
    let callee = &loaded.unwrap().callees["E1"];
    assert_eq!(
        callee.retry_on,
        [OutcomeMatcher::Status(503), OutcomeMatcher::Class(4)]
    );
    assert_eq!(callee.never_retry, [OutcomeMatcher::Status(404)]);
}

#[test]
fn a_burst_needs_a_rate_of_the_callee_or_of_all() {
    assert_eq!(
        refused(json!({ "burst": 5 })),
        ["burst: it needs a rate, and none is set"]
    );
    assert_eq!(refused(json!({ "rate": 1.0, "burst": 5 })), [""; 0]);
    let all = LimitsConfig {
        rate: Some(2.0),
        ..LimitsConfig::default()
    };
    let with_burst = callee(json!({ "burst": 5 }));
    with_burst.validate(&all, &mut |key, reason| panic!("{key}: {reason}"));
    assert_eq!(with_burst.limits(&all).burst, 5);
}

#[test]
fn limits_of_a_callee_have_the_bounds_of_those_of_all() {
    for (fields, reason) in [
        (
            json!({ "in_flight": 0 }),
            "in_flight: 0 is not between 1 and 65535",
        ),
        (
            json!({ "rate": 0.0 }),
            "rate: 0 is not between 0.000012 and 1000000",
        ),
        (
            json!({ "rate": 1.0, "burst": 0 }),
            "burst: 0 is not between 1 and 1000000",
        ),
        (
            json!({ "queue_timeout": "61s" }),
            "queue_timeout: 1m 1s is not between 0s and 1m",
        ),
        (
            json!({ "breaker_failure_ratio": 1.1 }),
            "breaker_failure_ratio: 1.1 is not between 0.01 and 1",
        ),
        (
            json!({ "breaker_window": "0s" }),
            "breaker_window: 0s is not between 1s and 1h",
        ),
        // Beside the default for all: 1 min at most.
        (
            json!({ "breaker_open_duration": "2min" }),
            "breaker_max_open_duration: 1m is not between 2m and 1h",
        ),
        (
            json!({ "timeout": "61s" }),
            "timeout: 61s is not between 1s and 1m",
        ),
    ] {
        assert_eq!(refused(fields), [reason]);
    }
}

#[test]
fn settings_of_a_callee_that_belong_together_are_set_together() {
    for (fields, reason) in [
        (
            json!({ "cert_file": "/c" }),
            "cert_file: cert_file and key_file go together: set both, or none",
        ),
        (
            json!({ "success_pointer": "/code" }),
            "success_pointer: success_pointer and success_values go together: set both, or none",
        ),
        (
            json!({ "success_values": ["0"] }),
            "success_pointer: success_pointer and success_values go together: set both, or none",
        ),
        (
            json!({ "success_when_unreadable": true }),
            "success_when_unreadable: it needs success_pointer and success_values",
        ),
        (
            json!({
                "success_pointer": "/code",
                "success_values": ["0"],
                "success_when_unreadable": true,
                "never_retry": ["success_rule_unreadable"],
            }),
            "success_when_unreadable: success_rule_unreadable is in retry_on or never_retry as well",
        ),
        (
            json!({ "success_pointer": "code", "success_values": ["0"] }),
            "success_pointer: it is not a JSON pointer (write /code, or /result/code)",
        ),
        (
            json!({ "secret": "env:X" }),
            "auth: it is not set, but user or secret is (write basic or bearer)",
        ),
        (
            json!({ "auth": "bearer" }),
            "secret: it is not set, and auth needs it (write env:NAME or file:/path)",
        ),
        (
            json!({ "auth": "basic", "secret": "env:X" }),
            "user: it is not set, and auth = \"basic\" needs it",
        ),
        (
            json!({ "auth": "bearer", "user": "u", "secret": "env:X" }),
            "user: auth = \"bearer\" has no user, only a secret",
        ),
        (
            json!({ "auth": "bearer", "secret": CANARY }),
            "secret: it must not be written in the settings (write env:NAME or file:/path)",
        ),
        (
            json!({ "signing_secrets": ["env:A", "env:B", "env:C"] }),
            "signing_secrets: it has more than two entries",
        ),
        (
            json!({ "url": "ftp://a.example/" }),
            "url: it is not an http or https URL (write https://host/path)",
        ),
    ] {
        assert_eq!(refused(fields), [reason]);
    }
    let unknown = serde_json::from_value::<CalleeConfig>(json!({ "auth": "digest" }));
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("`basic` or `bearer`")
    );
}

#[test]
fn rules_that_contradict_each_other_are_reported() {
    for (fields, reason) in [
        (
            json!({ "schedule": ["5s", "1ms"] }),
            "schedule: wait 2 of the schedule is 1ms, shorter than 1 s",
        ),
        (
            json!({ "retry_on": ["503", "4xx"], "never_retry": ["tls", "4xx"] }),
            "never_retry: 4xx is in retry_on as well",
        ),
        (
            json!({ "url": "http://10.1.2.3/", "allowed_addresses": ["10.2.0.0/16"] }),
            "url: its host is not in allowed_addresses",
        ),
        (
            json!({ "url": "http://one.example/", "allowed_addresses": ["*.two.example"] }),
            "url: its host is not in allowed_addresses",
        ),
    ] {
        assert_eq!(refused(fields), [reason]);
    }
    // What the name resolves to is checked at each call.
    let by_network = json!({ "url": "http://one.example/", "allowed_addresses": ["10.2.0.0/16"] });
    assert_eq!(refused(by_network), [""; 0]);
}

#[test]
fn values_that_cannot_be_parsed_are_refused_when_they_are_read() {
    for (fields, reason) in [
        (json!({ "retry_on": ["200"] }), "\"200\" is not an outcome"),
        (
            json!({ "never_retry": ["2xx"] }),
            "\"2xx\" is not an outcome",
        ),
        (
            json!({ "allowed_addresses": ["10.1"] }),
            "\"10.1\" is not a range",
        ),
        (json!({ "schedule": ["5"] }), "invalid value"),
    ] {
        let error = serde_json::from_value::<CalleeConfig>(fields).unwrap_err();
        assert!(error.to_string().starts_with(reason), "{error}");
    }
}

#[test]
fn headers_that_the_gateway_sets_are_refused() {
    for (name, reason) in [
        ("Content-Type", "it is set by the gateway itself"),
        ("webhook-id", "it is set by the gateway itself"),
        ("X-Callback-App-Id", "it is set by the gateway itself"),
        ("host", "it is set by the gateway itself"),
        ("X_Callback_App_Id", "it is set by the gateway itself"),
        ("webhook.id", "it is set by the gateway itself"),
        ("content_length", "it is set by the gateway itself"),
        ("User_Agent", "it is set by the gateway itself"),
        ("proxy", "it is set by the gateway itself"),
        ("two words", "it is not a header name"),
        ("", "it is not a header name"),
    ] {
        assert_eq!(
            refused(json!({ "headers": { name: CANARY } })),
            [format!("headers.{name}: {reason}")]
        );
    }
    let authorization = json!({ "authorization": "env:A" });
    assert_eq!(refused(json!({ "headers": authorization })), [""; 0]);
    assert_eq!(
        refused(json!({ "headers": authorization, "auth": "bearer", "secret": "env:X" })),
        ["headers.authorization: it is set by the gateway itself"]
    );
    assert_eq!(
        refused(json!({ "headers": { "X-Key": "env:A", "x_key": "env:B" } })),
        ["X-Key", "x_key"]
            .map(|name| format!("headers.{name}: it is there twice (_ and . are taken for -)"))
    );
    let text = serde_json::from_value::<CalleeConfig>(json!({ "headers": CANARY }));
    assert!(text.is_err());
}

#[test]
fn a_callee_is_reported_under_its_number() {
    let callees = [("", json!({})), ("E.1", json!({ "timeout": "61s" }))];
    let callees: BTreeMap<String, CalleeConfig> = callees
        .into_iter()
        .map(|(no, fields)| (no.to_owned(), callee(fields)))
        .collect();
    let mut reports = Vec::new();
    validate_callees(&callees, &LimitsConfig::default(), &mut |key, reason| {
        reports.push(format!("{key}: {reason}"));
    });
    assert_eq!(
        reports,
        [
            ": a callee's number is 1 to 128 bytes, not blank, no control characters",
            "E.1.timeout: 61s is not between 1s and 1m",
        ]
    );
}

#[test]
fn a_value_of_the_dispatcher_outside_its_range_is_reported() {
    for (fields, reason) in [
        (
            json!({ "first_concurrency": 0 }),
            "first_concurrency: 0 is not between 1 and 65535",
        ),
        (
            json!({ "attempt_timeout": "61s" }),
            "attempt_timeout: 61s is not between 1s and 1m",
        ),
        (
            json!({ "shutdown_timeout": "60s" }),
            "shutdown_timeout: 1m is not longer than the longest attempt (1m)",
        ),
        (
            json!({ "shutdown_timeout": "61min" }),
            "shutdown_timeout: 61m is not between 10ms and 1h",
        ),
    ] {
        assert_eq!(dispatcher_refused(fields), [reason]);
    }
    assert_eq!(dispatcher_refused(json!({})), [""; 0]);
    let mut reports = 0;
    AutoPauseConfig {
        on_gone: false,
        after: 31 * 24 * HOUR,
    }
    .validate(&mut |key, reason| {
        assert_eq!(
            (key, &*reason),
            ("after", "744h is not between 0s and 720h")
        );
        reports += 1;
    });
    assert_eq!(reports, 1);
}
