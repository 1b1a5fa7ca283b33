//! Tests of error sentences: each names the variable, or the key and the file.

use super::*;

#[test]
fn a_bad_value_in_the_environment_is_named_by_its_variable() {
    for (name, value, reason) in [
        (
            "RETRY__SCHEDULE",
            "1x",
            "\"1x\" is not a duration (write 5s, 2min or 1h)",
        ),
        (
            "RETRY__SCHEDULE",
            "5s,,1h",
            "\"\" is not a duration (write 5s, 2min or 1h)",
        ),
        (
            "RETRY__SCHEDULE",
            "",
            "it needs at least one wait (write 5s,30s,2min)",
        ),
        (
            "INGRESS__SHUTDOWN_TIMEOUT",
            "30",
            "\"30\" is not a duration (write 5s, 2min or 1h)",
        ),
        ("INGRESS__WORKERS", "two", "\"two\" is not a whole number"),
        ("INGRESS__WORKERS", "-1", "\"-1\" is not a whole number"),
        (
            "INGRESS__BODY_LIMIT_BYTES",
            "1023",
            "1023 is not between 1024 and 8388608",
        ),
        (
            "DISPATCHER__FIRST_CONCURRENCY",
            "65536",
            "65536 is too large",
        ),
        (
            "DISPATCHER__FIRST_CONCURRENCY",
            "0",
            "0 is not between 1 and 65535",
        ),
        (
            "DISPATCHER__ATTEMPT_TIMEOUT",
            "61s",
            "61s is not between 1s and 1m",
        ),
        (
            "DISPATCHER__SHUTDOWN_TIMEOUT",
            "60s",
            "1m is not longer than the longest attempt (1m)",
        ),
        (
            "DISPATCHER__DNS_SERVERS",
            "10.0.0.53",
            "\"10.0.0.53\" is not an IP address with a port (write 127.0.0.1:5106)",
        ),
        (
            "INGRESS__DEFAULT_WAIT",
            "31s",
            "31s is not between 0s and 30s",
        ),
        (
            "JOURNAL__URL",
            "mysql://localhost/ringback",
            "it is not a PostgreSQL URL (write postgres://user:password@host:5432/ringback)",
        ),
        (
            "JOURNAL__RETENTION",
            "59min",
            "59m is not between 1h and 87600h",
        ),
        (
            "JOURNAL__BUFFER",
            "10",
            "10 is not between 1000 and 10000000",
        ),
        (
            "ADMIN__TOKEN",
            "乐",
            "it contains a character that is not visible ASCII",
        ),
        ("BROKER__DECLARE", "yes", "\"yes\" is not true or false"),
        (
            "BROKER__PREFIX",
            "Ring",
            "\"Ring\" is not 1 to 40 of a-z, 0-9, \".\", \"_\", \"-\"",
        ),
        (
            "INGRESS__HTTP_STATUS",
            "always",
            "\"always\" is none of by_code, always_200",
        ),
        (
            "GUARD__ALLOW",
            "10.0.0.0/8,",
            "\"\" is not a range like 10.0.0.0/8, an address like 10.1.2.3, an address with a port \
             like 127.0.0.1:5107 or [::1]:80, or a host like hooks.internal or *.hooks.internal",
        ),
        (
            "LOG__LEVEL",
            "inof",
            "\"inof\" is not a log level (write info, or info,lapin=debug)",
        ),
        (
            "CALLEES__A.B__URL",
            "x",
            "it is not an http or https URL (write https://host/path)",
        ),
    ] {
        let name = format!("RINGBACK__{name}");
        assert_eq!(refused_variable(&name, value), format!("{name}: {reason}"));
    }
}

#[test]
fn settings_that_mix_rabbitmq_and_the_embedded_store_are_refused() {
    let both = [
        (
            "RINGBACK__BROKER__URL",
            "amqp://guest:guest@127.0.0.1:5672/%2f",
        ),
        ("RINGBACK__BROKER__DATA_DIR", "/var/lib/ringback"),
    ];
    let variables = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let refused = load_config(None, variables.into_iter()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "RINGBACK__BROKER__DATA_DIR: it is for the embedded store, but broker.url names a RabbitMQ \
         (set one of them)"
    );
    let [_, alone] = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = load_config(None, [alone].into_iter()).unwrap();
    assert_eq!(
        settings.broker.data_dir.unwrap().to_str(),
        Some("/var/lib/ringback")
    );
}

#[test]
fn a_secret_that_authenticates_an_app_never_signs_for_targets() {
    let file = |section: &str| {
        format!(
            "[apps.shop]\nsecrets = [\"file:/in\", \"whsec_c4n4ry-p4ssw0rd-x\"]\n\
             [{section}]\nsigning_secrets = [\"env:OUT\", \"whsec_c4n4ry-p4ssw0rd-x\"]\n"
        )
    };
    for section in ["apps.other", "callees.EO001"] {
        let refusal = refused_file(&file(section));
        let begin = format!("{section}.signing_secrets in FILE: an app signs its requests");
        assert!(refusal.starts_with(&begin), "{refusal}");
        assert!(!refusal.contains(CANARY), "{refusal}");
        let three = format!("[{section}]\nsigning_secrets = \"env:A,env:B,env:C\"\n");
        let refusal = refused_file(&three);
        assert!(refusal.contains("signing_secrets"), "{refusal}");
    }
}

#[test]
fn tls_files_need_a_url_with_tls_and_come_in_pairs() {
    let url = |scheme: &str| format!("[broker]\nurl = \"{scheme}://a:b@broker.example\"\n");
    for name in ["ca_file", "cert_file", "key_file"] {
        let file = format!("{}{name} = \"/x.pem\"\n", url("amqp"));
        let reason = "it is for TLS, but broker.url begins with amqp:// (write amqps://)";
        assert_eq!(
            refused_file(&file),
            format!("broker.{name} in FILE: {reason}")
        );
        let blank = format!("{}{name} = \"\"\n", url("amqp"));
        assert!(load(&blank, &[]).is_ok());
    }
    for name in ["cert_file", "key_file"] {
        let file = format!("{}{name} = \"/x.pem\"\n", url("amqps"));
        assert_eq!(
            refused_file(&file),
            "broker.cert_file in FILE: cert_file and key_file go together: set both, or none"
        );
    }
    let env = [("RINGBACK__BROKER__CA_FILE", "/ca.pem")];
    let settings = load(&url("amqps"), &env).unwrap();
    assert_eq!(settings.broker.ca_file, Some(PathBuf::from("/ca.pem")));
    let refused = load(&url("amqp"), &env).unwrap_err();
    let begin = "RINGBACK__BROKER__CA_FILE: it is for TLS";
    assert!(refused.starts_with(begin), "{refused}");
}

#[test]
fn a_listener_beyond_loopback_needs_a_token() {
    let env = [("RINGBACK__ADMIN__LISTEN", "0.0.0.0:5109")];
    assert_eq!(
        load("", &env).unwrap_err(),
        "admin.token in FILE: it is not set, and admin.listen is 0.0.0.0:5109, which others can reach"
    );
    let token = ("RINGBACK__ADMIN__TOKEN", "a-token-of-16-characters");
    assert!(load("", &[env[0], token]).is_ok());
    assert!(load("", &[("RINGBACK__ADMIN__LISTEN", "[::1]:1")]).is_ok());
}
