//! Tests of the settings of registered callees: limits, headers and credentials.

use dispatcher::CalleeAuth;

use super::*;

fn callee(lines: &str) -> CalleeConfig {
    let mut settings = load(&format!("[callees.A]\n{lines}\n"), &[]).unwrap();
    settings.callees.remove("A").unwrap()
}

/// Why these lines of a callee are refused.
fn refused(lines: &str) -> String {
    let sentence = refused_file(&format!("[callees.A]\n{lines}\n"));
    let begin = "callees.A.";
    assert!(sentence.starts_with(begin), "{sentence}");
    sentence[begin.len()..].replace(" in FILE", "")
}

#[test]
fn a_file_can_set_everything_of_a_callee() {
    let settings = load(EVERYTHING, &[]).unwrap();
    let callee = &settings.callees["EO001"];
    assert_eq!(callee.schedule, [1, 90].map(Duration::from_secs));
    assert_eq!(callee.timeout, Some(Duration::from_secs(20)));
    assert_eq!(texts(&callee.retry_on), ["404", "timeout"]);
    assert_eq!(texts(&callee.never_retry), ["503"]);
    assert_eq!(callee.success_pointer.as_deref(), Some("/result/code"));
    assert_eq!(callee.success_values, ["0", "ok"]);
    assert_eq!(
        callee.headers["x-key"].read().unwrap().expose_secret(),
        CANARY
    );
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
    let own = callee.limits(&settings.limits);
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
}

#[test]
fn what_a_callee_does_not_set_is_as_for_all() {
    let settings = load(EVERYTHING, &[]).unwrap();
    let all = &settings.limits;
    assert_eq!(
        (all.in_flight, all.rate, all.burst),
        (Some(30), Some(100.5), 200)
    );
    // The cap of an app is not one of a callee.
    let for_all = format!("{all:?}").replace("app_in_flight: Some(40)", "app_in_flight: None");
    assert_eq!(format!("{:?}", callee("name = \"x\"").limits(all)), for_all);
    let own = callee("rate = 3").limits(all);
    assert_eq!(
        (own.in_flight, own.rate, own.burst),
        (Some(30), Some(3.0), 200)
    );
}

#[test]
fn a_burst_needs_a_rate_of_the_callee_or_of_all() {
    assert_eq!(
        refused("burst = 5"),
        "burst: it needs a rate, and none is set"
    );
    assert_eq!(callee("rate = 1\nburst = 5").burst, Some(5));
    let of_all = load("limits.rate = 2\n[callees.A]\nburst = 5\n", &[]).unwrap();
    assert_eq!(of_all.callees["A"].limits(&of_all.limits).burst, 5);
}

#[test]
fn limits_of_a_callee_have_the_same_ranges() {
    for (lines, reason) in [
        ("in_flight = 0", "in_flight: 0 is not between 1 and 65535"),
        ("rate = 0", "rate: 0 is not between 0.000012 and 1000000"),
        (
            "rate = 1\nburst = 0",
            "burst: 0 is not between 1 and 1000000",
        ),
        (
            "queue_timeout = \"61s\"",
            "queue_timeout: 1m 1s is not between 0s and 1m",
        ),
        (
            "breaker_failure_ratio = 1.1",
            "breaker_failure_ratio: 1.1 is not between 0.01 and 1",
        ),
        (
            "breaker_window = \"0s\"",
            "breaker_window: 0s is not between 1s and 1h",
        ),
        // Beside what holds for all: 1 min at most.
        (
            "breaker_open_duration = \"2min\"",
            "breaker_max_open_duration: 1m is not between 2m and 1h",
        ),
        ("timeout = \"61s\"", "timeout: 61s is not between 1s and 1m"),
    ] {
        assert_eq!(refused(lines), reason);
    }
}

#[test]
fn settings_of_a_callee_that_belong_together_are_set_together() {
    for (lines, reason) in [
        (
            "cert_file = \"/c\"",
            "cert_file: cert_file and key_file go together: set both, or none",
        ),
        (
            "success_pointer = \"/code\"",
            "success_pointer: success_pointer and success_values go together: set both, or none",
        ),
        (
            "success_values = \"0\"",
            "success_pointer: success_pointer and success_values go together: set both, or none",
        ),
        (
            "success_pointer = \"code\"\nsuccess_values = \"0\"",
            "success_pointer: it is not a JSON pointer (write /code, or /result/code)",
        ),
        (
            "secret = \"env:X\"",
            "auth: it is not set, but user or secret is (write basic or bearer)",
        ),
        (
            "auth = \"bearer\"",
            "secret: it is not set, and auth needs it (write env:NAME or file:/path)",
        ),
        (
            "auth = \"basic\"\nsecret = \"env:X\"",
            "user: it is not set, and auth = \"basic\" needs it",
        ),
        (
            "auth = \"bearer\"\nuser = \"u\"\nsecret = \"env:X\"",
            "user: auth = \"bearer\" has no user, only a secret",
        ),
        (
            "auth = \"bearer\"\nsecret = \"c4n4ry-p4ssw0rd-x\"",
            "secret: it must not be written in the settings (write env:NAME or file:/path)",
        ),
        ("auth = \"digest\"", "auth: it is none of basic, bearer"),
    ] {
        assert_eq!(refused(lines), reason);
    }
}

#[test]
fn headers_that_the_gateway_sets_are_refused() {
    for (name, reason) in [
        ("Content-Type", "it is set by the gateway itself"),
        ("webhook-id", "it is set by the gateway itself"),
        ("X-Callback-App-Id", "it is set by the gateway itself"),
        ("host", "it is set by the gateway itself"),
        ("two words", "it is not a header name"),
        ("", "it is not a header name"),
    ] {
        let lines = format!("headers = {{ \"{name}\" = \"c4n4ry-p4ssw0rd-x\" }}");
        assert_eq!(refused(&lines), format!("headers.{name}: {reason}"));
    }
    let taken = "headers = { authorization = \"env:A\" }";
    assert_eq!(callee(taken).headers.len(), 1);
    assert_eq!(
        refused(&format!("{taken}\nauth = \"bearer\"\nsecret = \"env:X\"")),
        "headers.authorization: it is set by the gateway itself"
    );
    assert_eq!(
        refused("headers = \"c4n4ry-p4ssw0rd-x\""),
        "headers: it is not a table (write { \"name\" = \"value\" })"
    );
}
