//! Tests of loading: the order of the layers, every kind of value, every error sentence.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::*;

/// A password that must not be shown anywhere.
const CANARY: &str = "c4n4ry-p4ss";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleSettings {
    server: SampleServer,
    store: SampleStore,
    admin: SampleAdmin,
    callees: BTreeMap<String, SampleCallee>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleServer {
    listen: SocketAddr,
    workers: u16,
    declare: bool,
    mode: SampleMode,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    ratio: f64,
    name: String,
    dns_servers: Vec<SocketAddr>,
    allow: Vec<String>,
    ports: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SampleMode {
    ByCode,
    Always,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleStore {
    #[serde(serialize_with = "mask_secret")]
    url: Option<SecretString>,
    directory: Option<PathBuf>,
    rate: Option<f64>,
    limit: Option<u32>,
    #[serde(with = "humantime_serde")]
    wait: Option<Duration>,
    mode: Option<SampleMode>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleAdmin {
    #[serde(serialize_with = "mask_secret")]
    token: Option<SecretString>,
    tokens: BTreeMap<String, SampleToken>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleToken {
    #[serde(serialize_with = "mask_text")]
    hash: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleCallee {
    name: Option<String>,
    #[serde(serialize_with = "mask_url")]
    url: Option<String>,
    secrets: Vec<SecretRef>,
    #[serde(serialize_with = "mask_texts")]
    keys: Vec<String>,
    headers: BTreeMap<String, SecretRef>,
}

impl Default for SampleServer {
    fn default() -> Self {
        Self {
            listen: ([0, 0, 0, 0], 5106).into(),
            workers: 2,
            declare: true,
            mode: SampleMode::ByCode,
            timeout: Duration::from_secs(5),
            ratio: 0.5,
            name: "ringback".to_owned(),
            dns_servers: Vec::new(),
            allow: Vec::new(),
            ports: Vec::new(),
        }
    }
}

impl Config for SampleSettings {
    const NAMED_SECTIONS: &'static [NamedSection] = &[
        NamedSection {
            path: "callees",
            placeholder: "NUMBER",
        },
        NamedSection {
            path: "admin.tokens",
            placeholder: "NAME",
        },
    ];
    const SECRETS: &'static [SecretSetting] = &[
        SecretSetting::text("store.url"),
        SecretSetting::text("admin.token"),
        SecretSetting::text("admin.tokens.*.hash"),
        SecretSetting::text("callees.*.url"),
        SecretSetting::list("callees.*.keys"),
        SecretSetting::unread("callees.*.secrets"),
        SecretSetting::unread("callees.*.headers"),
    ];
    const ORDER: &'static [&'static str] = &["server", "store"];

    fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        if let Err(reason) = in_range(self.server.workers, 0..=512) {
            report("server.workers", reason);
        }
        let longest = Duration::from_secs(60);
        if let Err(reason) = duration_in_range(self.server.timeout, Duration::ZERO..=longest) {
            report("server.timeout", reason);
        }
        for number in self.callees.keys().filter(|number| number.contains('!')) {
            report(&format!("callees.{number}.url"), "it is bad".to_owned());
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.store.directory.as_deref().into_iter().collect()
    }
}

/// A settings file that is removed when the test ends.
struct SettingsFile(PathBuf);

impl SettingsFile {
    fn new(text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringback-config-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::File::create_new(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        Self(path)
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<SampleSettings, String> {
    let file = SettingsFile::new(file);
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    super::load::<SampleSettings>(Some(&file.0), variables).map_err(|error| {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(CANARY), "{shown}");
        let path = file.0.display().to_string();
        error.to_string().replace(&path, "FILE")
    })
}

/// The sentence that refuses this file, its name written `FILE`.
fn refused_file(file: &str) -> String {
    load(file, &[]).expect_err(file)
}

fn refused_variable(name: &str, value: &str) -> String {
    load("", &[(name, value)]).expect_err(name)
}

#[test]
fn the_environment_wins_over_the_file_key_by_key() {
    let file = "[server]\nname = \"file\"\nworkers = 3\n";
    let settings = load(file, &[("RINGBACK__SERVER__NAME", "env")]).unwrap();
    assert_eq!(settings.server.name, "env");
    assert_eq!(settings.server.workers, 3);
    assert!(settings.server.declare);
}

#[test]
fn every_kind_of_value_can_be_given_as_text() {
    let settings = load(
        "",
        &[
            ("RINGBACK__STORE__URL", "amqp://guest:guest@127.0.0.1/%2f\n"),
            ("RINGBACK__STORE__RATE", "2.5"),
            ("RINGBACK__STORE__LIMIT", "7"),
            ("RINGBACK__STORE__WAIT", "250ms"),
            ("RINGBACK__STORE__MODE", "always"),
            ("RINGBACK__SERVER__DECLARE", "false"),
            ("RINGBACK__SERVER__WORKERS", "4"),
            ("RINGBACK__SERVER__LISTEN", "127.0.0.1:0"),
            ("RINGBACK__SERVER__MODE", "always"),
            ("RINGBACK__SERVER__TIMEOUT", "1min"),
            ("RINGBACK__SERVER__RATIO", "1"),
            (
                "RINGBACK__SERVER__DNS_SERVERS",
                "10.0.0.53:53, [fd00::53]:53",
            ),
            ("RINGBACK__SERVER__ALLOW", "127.0.0.0/8,10.0.0.1:80"),
            ("RINGBACK__SERVER__PORTS", "25, 6000-6063"),
            ("RINGBACK__CALLEES__A__SECRETS", "env:A, whsec_b"),
            ("RINGBACK_CONFIG", "not a setting"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    let (server, store) = (settings.server, settings.store);
    let url = store.url.unwrap();
    assert_eq!(url.expose_secret(), "amqp://guest:guest@127.0.0.1/%2f");
    assert_eq!((store.rate, store.limit), (Some(2.5), Some(7)));
    assert_eq!(store.wait, Some(Duration::from_millis(250)));
    assert_eq!(store.mode, Some(SampleMode::Always));
    assert!(!server.declare);
    assert_eq!((server.workers, server.ratio), (4, 1.0));
    assert_eq!(server.listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!(server.mode, SampleMode::Always);
    assert_eq!(server.timeout, Duration::from_secs(60));
    assert_eq!(server.dns_servers.len(), 2);
    assert_eq!(server.allow, ["127.0.0.0/8", "10.0.0.1:80"]);
    assert_eq!(server.ports, ["25", "6000-6063"]);
    let secrets = &settings.callees["A"].secrets;
    assert_eq!(secrets[1].read().unwrap().expose_secret(), "whsec_b");
}

#[test]
fn a_number_in_place_of_text_is_refused_and_not_shown() {
    for file in [
        "[server]\nports = [8812345]",
        "[server]\nports = 8812345",
        "[server]\nname = 8812345",
        "[callees.A]\nheaders = { x = 8812345 }",
    ] {
        let refused = load(file, &[]).unwrap_err();
        assert!(
            refused.contains("a number is not text in quotes"),
            "{refused}"
        );
        assert!(!refused.contains("8812345"), "{refused}");
    }
}

#[test]
fn text_is_trimmed() {
    let file = "[server]\nname = \" shop\\n\"\nlisten = \" 127.0.0.1:0 \"\ndns_servers = [\" 1.1.1.1:53\"]\n";
    let server = load(file, &[]).unwrap().server;
    assert_eq!(
        (server.name.as_str(), server.dns_servers.len()),
        ("shop", 1)
    );
}

#[test]
fn a_blank_value_empties_a_list_and_unsets_an_optional_one() {
    let file = "[store]\nurl = \"amqp://host\"\nrate = 1\n[server]\nallow = \"10.0.0.0/8\"\n";
    let variables = [
        ("RINGBACK__STORE__URL", ""),
        ("RINGBACK__STORE__RATE", " "),
        ("RINGBACK__STORE__MODE", ""),
        ("RINGBACK__SERVER__ALLOW", ""),
    ];
    let settings = load(file, &variables).unwrap();
    assert!(settings.store.url.is_none());
    assert!(settings.store.rate.is_none());
    assert!(settings.store.mode.is_none());
    assert!(settings.server.allow.is_empty());
}

#[test]
fn names_of_the_operators_choice_keep_their_case() {
    let file = "[callees.EO001]\nname = \"one\"\n[callees.eo001]\nname = \"small\"\n";
    let variables = [
        ("RINGBACK__CALLEES__EO001__URL", "http://one.example/"),
        ("RINGBACK__CALLEES__A__B__NAME", "two underscores inside"),
        ("RINGBACK__ADMIN__TOKENS__Ann__HASH", "sha256:x"),
        ("RINGBACK__ADMIN__TOKEN", "t"),
    ];
    let SampleSettings { callees, admin, .. } = load(file, &variables).unwrap();
    assert_eq!(callees["EO001"].name.as_deref(), Some("one"));
    assert_eq!(callees["EO001"].url.as_deref(), Some("http://one.example/"));
    assert_eq!(callees["eo001"].url, None);
    assert_eq!(
        callees["A__B"].name.as_deref(),
        Some("two underscores inside")
    );
    assert_eq!(callees.len(), 3);
    assert_eq!(admin.tokens["Ann"].hash, "sha256:x");
    assert!(admin.token.is_some());
    for (name, shape) in [
        ("RINGBACK__CALLEES__EO001", "RINGBACK__CALLEES__NUMBER__KEY"),
        (
            "RINGBACK__ADMIN__TOKENS__ann",
            "RINGBACK__ADMIN__TOKENS__NAME__KEY",
        ),
    ] {
        let refusal = refused_variable(name, "x");
        assert!(refusal.contains(shape), "{refusal}");
    }
}

#[test]
fn a_bad_value_in_the_environment_is_named_by_its_variable() {
    for (name, value, reason) in [
        (
            "SERVER__TIMEOUT",
            "1x",
            "\"1x\" is not a duration (write 5s, 2min or 1h)",
        ),
        (
            "SERVER__TIMEOUT",
            "30",
            "\"30\" is not a duration (write 5s, 2min or 1h)",
        ),
        ("SERVER__TIMEOUT", "61s", "61s is not between 0s and 1m"),
        (
            "STORE__WAIT",
            "1x",
            "\"1x\" is not a duration (write 5s, 2min or 1h)",
        ),
        ("SERVER__WORKERS", "two", "\"two\" is not a whole number"),
        ("SERVER__WORKERS", "-1", "\"-1\" is not a whole number"),
        ("SERVER__WORKERS", "", "\"\" is not a whole number"),
        ("SERVER__WORKERS", "65536", "65536 is too large"),
        ("SERVER__WORKERS", "513", "513 is not between 0 and 512"),
        ("SERVER__RATIO", "nan", "\"nan\" is not a number"),
        ("SERVER__DECLARE", "yes", "\"yes\" is not true or false"),
        (
            "SERVER__MODE",
            "never",
            "\"never\" is none of by_code, always",
        ),
        (
            "SERVER__DNS_SERVERS",
            "10.0.0.53",
            "\"10.0.0.53\" is not an IP address with a port (write 127.0.0.1:5106)",
        ),
        ("SERVER__ALLOW", "10.0.0.0/8,", "one of its items is blank"),
        (
            "CALLEES__A__SECRETS",
            "env:A,,",
            "one of its items is blank",
        ),
        ("CALLEES__A.B!__URL", "x", "it is bad"),
    ] {
        let name = format!("RINGBACK__{name}");
        assert_eq!(refused_variable(&name, value), format!("{name}: {reason}"));
    }
}

#[test]
fn a_bad_value_in_the_file_is_named_by_its_key() {
    for (file, sentence) in [
        (
            "server.workers = 513",
            "server.workers in FILE: 513 is not between 0 and 512",
        ),
        (
            "server.workers = 2.7",
            "server.workers in FILE: a number with a point is not a whole number",
        ),
        (
            "server.workers = true",
            "server.workers in FILE: true is not a whole number",
        ),
        (
            "server.workers = -1",
            "server.workers in FILE: -1 is not a whole number",
        ),
        (
            "server.declare = 1",
            "server.declare in FILE: 1 is not true or false",
        ),
        (
            "server.name = 5",
            "server.name in FILE: a number is not text in quotes",
        ),
        (
            "store.directory = 5",
            "store.directory in FILE: a number is not text in quotes",
        ),
        (
            "server.mode = 5",
            "server.mode in FILE: 5 is not text in quotes",
        ),
        (
            "server.timeout = 30",
            "server.timeout in FILE: 30 is not a duration (write 5s, 2min or 1h)",
        ),
        (
            "server.listen = 30",
            "server.listen in FILE: 30 is not an IP address with a port (write 127.0.0.1:5106)",
        ),
        (
            "server.allow = { a = 1 }",
            "server.allow in FILE: a section is not a list (write \"a,b\")",
        ),
        (
            "server.allow = [[]]",
            "server.allow in FILE: a list is not text in quotes",
        ),
        (
            "server = []",
            "server in FILE: no such setting; a section is written [server]",
        ),
        (
            "callees.A = 1",
            "callees.A in FILE: no such setting; a section is written [callees.A]",
        ),
        (
            "callees.A.headers = \"c4n4ry-p4ss\"",
            "callees.A.headers in FILE: it is not a table (write { \"name\" = \"value\" })",
        ),
        (
            "callees.A.headers = { x = 1 }",
            "callees.A.headers.x in FILE: a number is not text in quotes",
        ),
        ("[callees.\"B!\"]", "callees.B!.url in FILE: it is bad"),
    ] {
        assert_eq!(refused_file(file), sentence);
    }
}

#[test]
fn an_unknown_key_is_named_with_where_it_came_from() {
    for (file, variable, place) in [
        ("[server]\nuri = \"x\"", None, "server.uri in FILE"),
        ("[serve]\nurl = \"x\"", None, "serve in FILE"),
        (
            "[callees.\"E.1\"]\nurls = \"x\"",
            None,
            "callees.E.1.urls in FILE",
        ),
        ("", Some("RINGBACK__SERVER__URI"), "RINGBACK__SERVER__URI"),
        (
            "",
            Some("RINGBACK__SERVER__NAME__X"),
            "RINGBACK__SERVER__NAME__X",
        ),
        ("", Some("RINGBACK__SERVE__NAME"), "RINGBACK__SERVE__NAME"),
        (
            "",
            Some("RINGBACK__CALLEES__E.1__URLS"),
            "RINGBACK__CALLEES__E.1__URLS",
        ),
        (
            "",
            Some("RINGBACK__CALLEES__EO001"),
            "RINGBACK__CALLEES__EO001",
        ),
        (
            "",
            Some("RINGBACK__CALLEES____URL"),
            "RINGBACK__CALLEES____URL",
        ),
        ("", Some("RINGBACK__SERVER"), "RINGBACK__SERVER"),
        ("", Some("RINGBACK__"), "RINGBACK__"),
    ] {
        let variables: Vec<(&str, &str)> = variable.into_iter().map(|name| (name, "x")).collect();
        let refusal = load(file, &variables).unwrap_err();
        let begin = format!("{place}: no such setting");
        assert!(refusal.starts_with(&begin), "{refusal}");
    }
    let refusal = refused_variable("RINGBACK__ADMIN__X", "x");
    assert!(refusal.ends_with("(expected token or tokens)"), "{refusal}");
    let refusal = refused_variable("RINGBACK__ADMIN__TOKENS__A__X", "x");
    assert!(refusal.ends_with("(expected hash)"), "{refusal}");
    let refusal = refused_variable("RINGBACK__X__Y", "x");
    let sections = "(expected one of server, store, admin, callees)";
    assert!(refusal.ends_with(sections), "{refusal}");
    assert!(!refusal.contains("did you mean"), "{refusal}");
    let refusal = refused_variable("RINGBACK__ADMIN__TOKNE", "x");
    let similar = ": no such setting; did you mean token? (expected token or tokens)";
    assert!(refusal.ends_with(similar), "{refusal}");
    let refusal = refused_file("[sevrer]\nname = \"x\"\n");
    assert!(refusal.contains("; did you mean server? "), "{refusal}");
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    let refusal = refused_file("[server]\nname = \"x\"\nmode = c4n4ry-p4ss\n");
    let begin = "the settings file FILE is not TOML: line 3, ";
    assert!(refusal.starts_with(begin), "{refusal}");
    assert!(!refusal.contains('\n'), "{refusal}");
    let refusal = refused_file("[server]\nname = \"x\"\nname = \"x\"\n");
    let duplicate = refusal.contains("line 3, ") && refusal.contains("duplicate key");
    assert!(duplicate, "{refusal}");
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("/nowhere/ringback.toml");
    let refusal = super::load::<SampleSettings>(Some(path), std::iter::empty()).unwrap_err();
    let begin = "cannot read the settings file /nowhere/ringback.toml: ";
    assert!(refusal.to_string().starts_with(begin), "{refusal}");
}

#[test]
fn a_value_refused_by_its_user_is_named_by_key_and_variable() {
    for (key, place) in [
        ("guard.allow", "guard.allow (RINGBACK__GUARD__ALLOW)"),
        (
            "callees.EO001.url",
            "callees.EO001.url (RINGBACK__CALLEES__EO001__URL)",
        ),
        (
            "callees.A.b.url",
            "callees.A.b.url (RINGBACK__CALLEES__A.b__URL)",
        ),
        (
            "admin.tokens.Ann.hash",
            "admin.tokens.Ann.hash (RINGBACK__ADMIN__TOKENS__Ann__HASH)",
        ),
    ] {
        let refused = ConfigError::refused(key, "it is bad");
        assert_eq!(refused.to_string(), format!("{key}: it is bad"));
        let located = refused.with_variable(SampleSettings::NAMED_SECTIONS);
        assert_eq!(located.to_string(), format!("{place}: it is bad"));
    }
}

#[test]
fn the_files_of_the_settings_are_watched_with_the_settings_file() {
    let (file, other) = (SettingsFile::new(""), SettingsFile::new("a"));
    let text = format!("[store]\ndirectory = {:?}\n", other.0.display().to_string());
    std::fs::write(&file.0, text).unwrap();
    let source = Source::new(Some(file.0.clone()), std::iter::empty());
    let loaded = source.load::<SampleSettings>().unwrap();
    assert_eq!(loaded.files, loaded.files.now());
    std::fs::write(&other.0, "b").unwrap();
    assert_ne!(loaded.files, loaded.files.now());
}

#[test]
fn a_secret_setting_is_read_from_the_file_or_variable_that_it_names() {
    let secret = SettingsFile::new("c4n4ry-p4ss\r\n");
    let key = SettingsFile::new("key,with,commas\n");
    let (secret_file, key_file) = (secret.0.display(), key.0.display());
    let text = format!(
        "[store]\nurl = \"file:{secret_file}\"\n[admin]\ntoken = \" env:CARGO_PKG_NAME \"\n\
         [admin.tokens.Ann]\nhash = \"file:{secret_file}\"\n\
         [callees.A]\nurl = \"file:{secret_file}\"\nkeys = [\"plain\", \"file:{key_file}\"]\n\
         secrets = [\"file:/not/read/yet\"]\n"
    );
    let keys = format!("env:CARGO_PKG_NAME, file:{key_file}");
    let variables = [("RINGBACK__CALLEES__B__KEYS", keys.as_str())];
    let settings = load(&text, &variables).unwrap();
    let exposed =
        |secret: &Option<SecretString>| secret.as_ref().unwrap().expose_secret().to_owned();
    assert_eq!(exposed(&settings.store.url), CANARY);
    assert_eq!(exposed(&settings.admin.token), "runtime");
    assert_eq!(settings.admin.tokens["Ann"].hash, CANARY);
    assert_eq!(settings.callees["A"].url.as_deref(), Some(CANARY));
    assert_eq!(settings.callees["A"].keys, ["plain", "key,with,commas"]);
    assert_eq!(settings.callees["B"].keys, ["runtime", "key,with,commas"]);
    let printed = settings.to_toml_redacted();
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(
        printed.contains("secrets = [\"file:/not/read/yet\"]"),
        "{printed}"
    );
}

#[test]
fn a_secret_that_cannot_be_read_is_refused_by_its_key_and_its_place() {
    let blank = SettingsFile::new(" \n\n");
    let blank = blank.0.display();
    for (reference, reason) in [
        (
            "env:RINGBACK_NOT_THERE",
            "the variable RINGBACK_NOT_THERE is not set",
        ),
        (
            "file:/nowhere/c4n4ry",
            "the file /nowhere/c4n4ry cannot be read: No such file or directory (os error 2)",
        ),
        (
            "file:/",
            "the file / cannot be read: Is a directory (os error 21)",
        ),
        (
            &format!("file:{blank}"),
            &format!("the file {blank} is empty"),
        ),
    ] {
        for (section, key) in [
            ("store", "url"),
            ("admin", "token"),
            ("admin.tokens.Ann", "hash"),
            ("callees.A", "url"),
            ("callees.A", "keys"),
        ] {
            let refused = refused_file(&format!("[{section}]\n{key} = \"{reference}\"\n"));
            assert_eq!(refused, format!("{section}.{key} in FILE: {reason}"));
        }
        let refused = refused_variable("RINGBACK__ADMIN__TOKEN", reference);
        assert_eq!(refused, format!("RINGBACK__ADMIN__TOKEN: {reason}"));
    }
    // Other settings are text.
    let name = load("[server]\nname = \"env:RINGBACK_NOT_THERE\"\n", &[]).unwrap();
    assert_eq!(name.server.name, "env:RINGBACK_NOT_THERE");
}

#[test]
fn the_file_of_a_secret_is_watched_and_its_content_is_the_settings() {
    let (secret, file) = (SettingsFile::new("one\n"), SettingsFile::new(""));
    let text = format!("[admin]\ntoken = \"file:{}\"\n", secret.0.display());
    std::fs::write(&file.0, text).unwrap();
    let source = Source::new(Some(file.0.clone()), std::iter::empty());
    let first = source.load::<SampleSettings>().unwrap();
    assert_eq!(first.files, first.files.now());
    std::fs::write(&secret.0, "two\n").unwrap();
    assert_ne!(first.files, first.files.now());
    let second = source.load::<SampleSettings>().unwrap();
    assert_eq!(second.keys.changed(&first.keys), ["admin.token"]);
    let token = second.settings.admin.token.unwrap();
    assert_eq!(token.expose_secret(), "two");
}

#[test]
fn the_printed_settings_show_where_a_secret_stands() {
    let secret = SettingsFile::new("c4n4ry-p4ss\n");
    let reference = format!("file:{}", secret.0.display());
    let text = format!(
        "[admin]\ntoken = \"{reference}\"\n[callees.A]\nurl = \"{reference}\"\n\
         keys = [\"c4n4ry-p4ss\", \"{reference}\"]\n"
    );
    let file = SettingsFile::new(&text);
    let source = Source::new(Some(file.0.clone()), std::iter::empty());
    let loaded = source.load::<SampleSettings>().unwrap();
    let token = loaded.settings.admin.token.as_ref().unwrap();
    assert_eq!(token.expose_secret(), CANARY);
    let printed = loaded.to_toml_redacted();
    for line in [
        format!("token = \"{reference}\"\n"),
        format!("url = \"{reference}\"\n"),
        format!("keys = [\"***\",\"{reference}\"]\n"),
    ] {
        assert!(printed.contains(&line), "{line} in {printed}");
    }
    assert!(!printed.contains(CANARY), "{printed}");
}

#[test]
fn no_refusal_shows_what_stands_in_the_place_of_a_secret() {
    for setting in SampleSettings::SECRETS {
        let (section, key) = setting.key.rsplit_once('.').unwrap();
        let section = section.replace('*', "A");
        for value in [
            "8812345",
            "-8812345",
            "8812345.5",
            "8812345e5",
            "88_123_45",
            "0x8812345",
            "true",
            "[8812345]",
            "[8812345.5]",
            "[true]",
            "[[8812345]]",
            "{ a = 8812345 }",
            "{ a = { b = 8812345 } }",
            "{ a = [8812345] }",
            "2024-01-01T88:12:34",
            "88123450000000000000000000000",
            "8812345c4n4ry-p4ss",
            "c4n4ry-p4ss",
            "\"c4n4ry-p4ss",
            "[\"c4n4ry-p4ss\", 8812345]",
            "{ a = true, b = \"c4n4ry-p4ss\" }",
        ] {
            let loaded = load(&format!("[{section}]\n{key} = {value}\n"), &[]);
            // A list of texts is a value of some of them.
            let refused = loaded.err().unwrap_or_default();
            for secret in ["88", CANARY, "true is"] {
                assert!(!refused.contains(secret), "{value}: {refused}");
            }
        }
    }
    let refused = refused_file("[callees.A]\nsecrets = true\n");
    assert_eq!(
        refused,
        "callees.A.secrets in FILE: true or false is not a list (write \"a,b\")"
    );
}

const SECRETS: &str = r#"
[server]
name = "x"
ports = ["25"]
[store]
url = "postgres://user:c4n4ry-p4ss@host/db?sslmode=require"
wait = "250ms"
[admin]
token = "c4n4ry-p4ss"
[admin.tokens."Ann B."]
hash = "c4n4ry-p4ss"
[callees.EO001]
name = "乐居新房"
url = "https://user:c4n4ry-p4ss@callee.example/hook?token=c4n4ry-p4ss#c4n4ry-p4ss"
secrets = ["env:SECRET", "whsec_c4n4ry-p4ss"]
keys = ["c4n4ry-p4ss"]
headers = { "x-key" = "c4n4ry-p4ss", "x other" = "file:/x" }
[callees."二.\"手\" 房[1]"]
name = "x\u007Fy\u202Ez\U000E0041"
"#;

#[test]
fn the_printed_settings_show_all_but_the_secrets() {
    let settings = load(SECRETS, &[]).unwrap();
    assert_eq!(
        settings.to_toml_redacted(),
        r#"[server]
allow = []
declare = true
dns_servers = []
listen = "0.0.0.0:5106"
mode = "by_code"
name = "x"
ports = ["25"]
ratio = 0.5
timeout = "5s"
workers = 2

[store]
# directory is not set
# limit is not set
# mode is not set
# rate is not set
url = "***"
wait = "250ms"

[admin]
token = "***"

[admin.tokens."Ann B."]
hash = "***"

[callees."EO001"]
headers = { "x other" = "file:/x", "x-key" = "***" }
keys = ["***"]
name = "乐居新房"
secrets = ["env:SECRET","***"]
url = "https://user:***@callee.example/hook?***"

[callees."二.\"手\" 房[1]"]
headers = {  }
keys = []
name = "x\u007Fy\u202Ez\U000E0041"
secrets = []
# url is not set
"#
    );
}

#[test]
fn the_printed_settings_can_be_loaded_again() {
    let printed = load(SECRETS, &[]).unwrap().to_toml_redacted();
    let again = load(&printed, &[]).unwrap_or_else(|error| panic!("{error} in:\n{printed}"));
    assert_eq!(again.to_toml_redacted(), printed);
}

#[test]
fn a_masked_url_shows_neither_password_nor_token() {
    for (url, masked) in [
        (
            "https://u:c4n4ry-p4ss@h/p?token=c4n4ry-p4ss#x",
            "https://u:***@h/p?***",
        ),
        ("https://h/p#c4n4ry-p4ss", "https://h/p"),
        ("c4n4ry-p4ss", "***"),
    ] {
        assert_eq!(masked_url(url), masked);
    }
}

#[test]
fn no_refusal_shows_a_secret() {
    for url in [
        "\"amqp://user:c4n4ry-p4ss@host",     // No end of text.
        "[\"amqp://user:c4n4ry-p4ss@host\"]", // Not text.
        "{ a = \"c4n4ry-p4ss\" }",
    ] {
        let refusal = refused_file(&format!("[store]\nurl = {url}\n"));
        assert!(refusal.contains("FILE"), "{refusal}");
    }
}

#[test]
fn durations_are_written_as_they_are_read() {
    for (millis, text) in [
        (0, "0s"),
        (250, "250ms"),
        (1_500, "1500ms"),
        (75_000, "75s"),
        (120_000, "2m"),
        (5_400_000, "90m"),
        (36_000_000, "10h"),
        (604_800_000, "168h"),
    ] {
        let duration = Duration::from_millis(millis);
        assert_eq!(duration_text(duration), text);
        assert_eq!(humantime::parse_duration(text), Ok(duration), "{text}");
    }
}
