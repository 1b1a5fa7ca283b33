//! Can a registered callee have limits, headers and credentials of its own?

use super::*;
use crate::settings::Auth;

fn callee(lines: &str) -> CalleeSettings {
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
fn a_callee_keeps_the_case_of_its_number() {
    let file = "[callees.EO001]\nname = \"one\"\n[callees.eo001]\nname = \"small\"\n";
    let env = [
        ("RINGBACK__CALLEES__EO001__URL", "http://one.example/"),
        ("RINGBACK__CALLEES__A__B__NAME", "two underscores inside"),
    ];
    let callees = load(file, &env).unwrap().callees;
    assert_eq!(callees["EO001"].name.as_deref(), Some("one"));
    assert_eq!(callees["EO001"].url.as_deref(), Some("http://one.example/"));
    assert_eq!(callees["eo001"].url, None);
    assert_eq!(
        callees["A__B"].name.as_deref(),
        Some("two underscores inside")
    );
    assert_eq!(callees.len(), 3);
}

#[test]
fn a_file_can_set_everything_of_a_callee() {
    let settings = load(EVERYTHING, &[]).unwrap();
    let callee = &settings.callees["EO001"];
    assert_eq!(callee.schedule, [1, 90].map(Duration::from_secs));
    assert_eq!(callee.timeout, Some(Duration::from_secs(20)));
    assert_eq!(callee.retry_on, ["404", "timeout"]);
    assert_eq!(callee.never_retry, ["503"]);
    assert_eq!(callee.success_pointer.as_deref(), Some("/result/code"));
    assert_eq!(callee.success_values, ["0", "ok"]);
    assert_eq!(
        callee.headers["x-key"].read().unwrap().expose_secret(),
        CANARY
    );
    assert_eq!(callee.headers.len(), 2);
    assert_eq!(callee.auth, Some(Auth::Basic));
    let files: Vec<_> = callee.files().map(|it| it.to_str().unwrap()).collect();
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
    let own = settings.limits.of(callee);
    assert_eq!(
        (own.in_flight, own.rate, own.burst),
        (Some(7), Some(2.5), 3)
    );
    assert_eq!((own.breaker_share, own.breaker_calls), (0.75, 9));
    let seconds = [
        own.waiting,
        own.breaker_window,
        own.breaker_open,
        own.breaker_open_most,
    ];
    assert_eq!(seconds, [1, 60, 5, 20].map(Duration::from_secs));
}

#[test]
fn what_a_callee_does_not_say_is_as_for_all() {
    let settings = load(EVERYTHING, &[]).unwrap();
    let all = &settings.limits;
    assert_eq!(
        (all.in_flight, all.rate, all.burst),
        (Some(30), Some(100.5), 200)
    );
    assert_eq!(
        format!("{:?}", all.of(&callee("name = \"x\""))),
        format!("{all:?}")
    );
    let own = all.of(&callee("rate = 3"));
    assert_eq!(
        (own.in_flight, own.rate, own.burst),
        (Some(30), Some(3.0), 200)
    );
}

#[test]
fn a_burst_belongs_to_a_rate_of_its_own_or_of_all() {
    assert_eq!(
        refused("burst = 5"),
        "burst: there is no rate that it could belong to"
    );
    assert_eq!(callee("rate = 1\nburst = 5").burst, Some(5));
    let of_all = load("limits.rate = 2\n[callees.A]\nburst = 5\n", &[]).unwrap();
    assert_eq!(of_all.limits.of(&of_all.callees["A"]).burst, 5);
}

#[test]
fn limits_of_a_callee_have_the_bounds_of_those_of_all() {
    for (lines, reason) in [
        ("in_flight = 0", "in_flight: 0 is not between 1 and 65535"),
        ("rate = 0", "rate: 0 is not between 0.000012 and 1000000"),
        (
            "rate = 1\nburst = 0",
            "burst: 0 is not between 1 and 1000000",
        ),
        (
            "waiting = \"61s\"",
            "waiting: 61s is not between 0s and 1min",
        ),
        (
            "breaker_share = 1.1",
            "breaker_share: 1.1 is not between 0.01 and 1",
        ),
        (
            "breaker_window = \"0s\"",
            "breaker_window: 0s is not between 1s and 1h",
        ),
        // Beside what holds for all: 1 min at most.
        (
            "breaker_open = \"2min\"",
            "breaker_open_most: 1min is not between 2min and 1h",
        ),
        (
            "timeout = \"61s\"",
            "timeout: 61s is not between 1s and 1min",
        ),
    ] {
        assert_eq!(refused(lines), reason);
    }
}

#[test]
fn what_belongs_together_of_a_callee_is_set_together() {
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
            "auth = \"bearer\"\nsecret = \"c4n4ry-p4ss\"",
            "secret: it is not to stand in the settings (write env:NAME or file:/path)",
        ),
        (
            "auth = \"digest\"",
            "auth: \"digest\" is none of basic, bearer",
        ),
    ] {
        assert_eq!(refused(lines), reason);
    }
}

#[test]
fn headers_that_are_the_gateways_own_are_refused() {
    for (name, reason) in [
        ("Content-Type", "it is the gateway's own to set"),
        ("webhook-id", "it is the gateway's own to set"),
        ("X-Callback-App-Id", "it is the gateway's own to set"),
        ("host", "it is the gateway's own to set"),
        ("two words", "it is no name of a header"),
        ("", "it is no name of a header"),
    ] {
        let lines = format!("headers = {{ \"{name}\" = \"c4n4ry-p4ss\" }}");
        assert_eq!(refused(&lines), format!("headers.{name}: {reason}"));
    }
    let taken = "headers = { authorization = \"env:A\" }";
    assert_eq!(callee(taken).headers.len(), 1);
    assert_eq!(
        refused(&format!("{taken}\nauth = \"bearer\"\nsecret = \"env:X\"")),
        "headers.authorization: it is the gateway's own to set"
    );
    assert_eq!(
        refused("headers = \"c4n4ry-p4ss\""),
        "headers: it is no section of texts (write { \"x-key\" = \"env:KEY\" })"
    );
}

#[test]
fn a_secret_is_read_where_the_settings_say_it_is() {
    let file = SettingsFile::new("s3cret\r\n");
    let there = callee(&format!(
        "headers = {{ x = \"file:{}\" }}",
        file.0.display()
    ));
    assert_eq!(there.headers["x"].read().unwrap().expose_secret(), "s3cret");
    for (place, reason) in [
        (
            "env:RINGBACK_NOT_THERE",
            "the variable RINGBACK_NOT_THERE is not set",
        ),
        ("file:/dev/null", "the file /dev/null is empty"),
        (
            "file:/nowhere/secret",
            "the file /nowhere/secret cannot be read: No such file or directory (os error 2)",
        ),
    ] {
        let callee = callee(&format!("headers = {{ x = \"{place}\" }}"));
        assert_eq!(callee.headers["x"].read().unwrap_err(), reason);
    }
}
