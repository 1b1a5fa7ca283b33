//! The `admin` section of the settings: listener and tokens of the operators' API. And the section
//! `dead_letters`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use delivery::auth::KeyHash;
use runtime::http::PeerRange;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, IntoDeserializer as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shown::{PayloadMask, TRACE_ID};

const MAX_TOKEN_NAME_BYTES: usize = 128;
const HOUR: Duration = Duration::from_secs(60 * 60);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// Dead letters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLettersConfig {
    /// How long they are kept, and can be replayed. It is counted from the time when the callback
    /// was given up. After it they are discarded, and leave the journal and the queue.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl DeadLettersConfig {
    /// Reports every value that cannot be used: its key within the section, and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        if !(HOUR..=TEN_YEARS).contains(&self.retention) {
            let value = humantime::format_duration(self.retention);
            report("retention", format!("{value} is not between 1h and 87600h"));
        }
    }
}

/// How long `admin.token` must be where others can reach the listener.
const MIN_TOKEN_CHARACTERS: usize = 16;

/// The operators' HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// The address and port of the listener.
    pub listen: SocketAddr,
    /// The bearer token that grants everything. Without any token the API accepts requests from
    /// loopback only.
    #[serde(serialize_with = "runtime::config::mask_secret")]
    pub token: Option<SecretString>,
    /// Tokens of single operators, by the name that the audit log shows.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// The header in which a proxy in front of the console names the operator. `None`: operators sign in
    /// with a token.
    pub proxy_user_header: Option<String>,
    /// The addresses and networks of the proxies whose header is believed.
    pub proxy_addresses: Vec<PeerRange>,
    /// What the operators that a proxy names may do. All others may read.
    pub proxy_users: BTreeMap<String, Roles>,
    /// Whether `/api-docs/` shows the API in a browser. `/openapi.json` is always served.
    pub api_page: bool,
    /// Values of messages that operators with the role `payload` are not shown.
    pub payload_masks: Vec<PayloadMask>,
    /// Where the trace of a callback is shown: a URL with `{trace_id}`. `None`: the id is shown alone.
    pub trace_url: Option<String>,
}

/// One operator's token.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// The SHA-256 of the token (`sha256:...`).
    #[serde(serialize_with = "runtime::config::mask_text")]
    pub hash: String,
    /// What the token grants: a role, or several separated by commas.
    pub role: Roles,
}

/// What an operator may do. `Payload` stands beside the others: none of them includes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read everything but payloads.
    Read,
    /// Read payloads too: messages, and what targets answered.
    Payload,
    /// Read everything but payloads; replay, discard and cancel callbacks.
    Replay,
    /// Everything but payloads.
    Configure,
}

/// The roles of a token: at least one, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Role {
    /// The name in settings and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Payload => "payload",
            Self::Replay => "replay",
            Self::Configure => "configure",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Roles {
    /// Whether one of them grants what `needed` grants.
    #[must_use]
    pub fn grant(&self, needed: Role) -> bool {
        let has = |role| self.0.contains(&role);
        match needed {
            Role::Read => true, // Each of them.
            Role::Payload => has(Role::Payload),
            Role::Replay => has(Role::Replay) || has(Role::Configure),
            Role::Configure => has(Role::Configure),
        }
    }
}

impl Default for Roles {
    fn default() -> Self {
        Role::Read.into()
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(vec![role])
    }
}

/// As in the settings: `configure,payload`.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|role| role.as_str()).collect();
        f.write_str(&names.join(","))
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RolesVisitor)
    }
}

/// Reads a list, or text whose items are separated by commas.
struct RolesVisitor;

impl RolesVisitor {
    fn roles<E: de::Error>(mut roles: Vec<Role>) -> Result<Roles, E> {
        roles.sort_unstable();
        roles.dedup();
        match roles.is_empty() {
            true => Err(E::custom("it names no role")),
            false => Ok(Roles(roles)),
        }
    }
}

impl<'de> Visitor<'de> for RolesVisitor {
    type Value = Roles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read, payload, replay or configure, or several of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Roles, E> {
        let names = text.split(',').map(str::trim);
        let roles = names.map(|name| Role::deserialize(name.into_deserializer()));
        Self::roles(roles.collect::<Result<_, E>>()?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Roles, A::Error> {
        let mut roles = Vec::new();
        while let Some(role) = list.next_element()? {
            roles.push(role);
        }
        Self::roles(roles)
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5109)),
            token: None,
            tokens: BTreeMap::new(),
            proxy_user_header: None,
            proxy_addresses: Vec::new(),
            proxy_users: BTreeMap::new(),
            api_page: false,
            payload_masks: Vec::new(),
            trace_url: None,
        }
    }
}

impl AdminConfig {
    /// Reports every value that cannot be used: its key within the section, and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        for (name, token) in &self.tokens {
            let key = format!("tokens.{}", name.escape_debug());
            if !is_operator_name(name) {
                let reason = "a token's name is 1 to 128 bytes, not blank, no control characters";
                report(&key, reason.to_owned());
            }
            if KeyHash::parse(&token.hash).is_none() {
                let reason = "it is not a token hash (write sha256: and 64 hexadecimal digits; \
                              `ringback key --admin` makes one)";
                report(&format!("{key}.hash"), reason.to_owned());
            }
        }
        match &self.token {
            None if self.tokens.is_empty() && !self.listen.ip().is_loopback() => {
                let listen = self.listen;
                let reason =
                    format!("it is not set, and admin.listen is {listen}, which others can reach");
                report("token", reason);
            }
            Some(token) if !is_visible_ascii(token.expose_secret()) => {
                let reason = "it contains a character that is not visible ASCII";
                report("token", reason.to_owned());
            }
            Some(_) | None => {}
        }
        if let Some(reason) = self.weak_token() {
            report("token", reason);
        }
        self.validate_proxy(report);
        if let Some(url) = &self.trace_url {
            let is_web = url.starts_with("https://") || url.starts_with("http://");
            if !is_web || !url.contains(TRACE_ID) || url.contains(char::is_whitespace) {
                let reason = "it is not an http or https URL with {trace_id} in it";
                report("trace_url", reason.to_owned());
            }
        }
    }

    /// The same for the sign-in by a proxy.
    fn validate_proxy(&self, report: &mut dyn FnMut(&str, String)) {
        for name in self
            .proxy_users
            .keys()
            .filter(|name| !is_operator_name(name))
        {
            let key = format!("proxy_users.{}", name.escape_debug());
            let reason = "a user's name is 1 to 128 bytes, not blank, no control characters";
            report(&key, reason.to_owned());
        }
        let mut wide = self
            .proxy_addresses
            .iter()
            .map(|range| String::from(*range));
        if let Some(range) = wide.find(|range| range.ends_with("/0")) {
            let reason = format!("{range} believes everybody");
            report("proxy_addresses", reason);
        }
        let Some(header) = &self.proxy_user_header else {
            for (key, is_set) in [
                ("proxy_addresses", !self.proxy_addresses.is_empty()),
                ("proxy_users", !self.proxy_users.is_empty()),
            ] {
                if is_set {
                    let reason = "it has no effect without admin.proxy_user_header";
                    report(key, reason.to_owned());
                }
            }
            return;
        };
        let is_taken = TAKEN_HEADERS
            .iter()
            .any(|taken| taken.eq_ignore_ascii_case(header));
        if is_taken || !is_header_name(header) {
            let reason = format!("{header:?} is not a name for a header of its own");
            report("proxy_user_header", reason);
        }
        if self.proxy_addresses.is_empty() {
            let reason = "it is empty, so no proxy could set admin.proxy_user_header";
            report("proxy_addresses", reason.to_owned());
        }
        if self.token.is_none() && self.tokens.is_empty() {
            let reason = "it needs admin.token or admin.tokens beside it: without a token everybody on \
                          this machine has every right";
            report("proxy_user_header", reason.to_owned());
        }
    }

    /// Why the token is too weak for its listener, if it is: others could try all short ones.
    pub(crate) fn weak_token(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        let is_short = token.expose_secret().chars().count() < MIN_TOKEN_CHARACTERS;
        (is_short && !self.listen.ip().is_loopback()).then(|| {
            format!(
                "it has fewer than {MIN_TOKEN_CHARACTERS} characters, and admin.listen is {}, which \
                 others can reach (`ringback key --admin` makes one)",
                self.listen
            )
        })
    }
}

/// Headers with a meaning of their own, which browsers or clients set.
const TAKEN_HEADERS: [&str; 8] = [
    "authorization",
    "content-type",
    "cookie",
    "host",
    "hx-request",
    "origin",
    "sec-fetch-site",
    "user-agent",
];

fn is_operator_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.len() <= MAX_TOKEN_NAME_BYTES
        && !name.contains(char::is_control)
}

/// Letters, digits and hyphens: what every proxy passes on unchanged.
fn is_header_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.is_empty() && name.len() <= MAX_TOKEN_NAME_BYTES && name.bytes().all(is_plain)
}

/// Anything else cannot be sent in an `Authorization` header.
fn is_visible_ascii(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: [Role; 4] = [Role::Read, Role::Payload, Role::Replay, Role::Configure];

    fn reported(config: &AdminConfig) -> Vec<(String, String)> {
        let mut found = Vec::new();
        config.validate(&mut |key, reason| found.push((key.to_owned(), reason)));
        found
    }

    fn config(section: serde_json::Value) -> AdminConfig {
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn the_defaults_are_valid_and_listen_on_loopback() {
        let defaults = config(json!({}));
        assert_eq!(defaults.listen, SocketAddr::from(([127, 0, 0, 1], 5109)));
        assert_eq!(reported(&defaults), []);
    }

    #[test]
    fn every_invalid_value_is_reported_with_its_key() {
        let hash = KeyHash::of(b"token").to_string();
        let open = config(json!({"listen": "0.0.0.0:5109"}));
        let expected = "it is not set, and admin.listen is 0.0.0.0:5109, which others can reach";
        assert_eq!(reported(&open), [("token".to_owned(), expected.to_owned())]);
        let named = json!({"listen": "0.0.0.0:5109", "tokens": {"ann": {"hash": hash}}});
        assert_eq!(reported(&config(named)), []);
        for good in [
            json!({"listen": "127.0.0.1:5109", "token": "short"}),
            json!({"listen": "0.0.0.0:5109", "token": "0123456789abcdef"}),
        ] {
            assert_eq!(reported(&config(good)), []);
        }
        for (section, key, word) in [
            (json!({"token": "乐"}), "token", "visible ASCII"),
            (json!({"token": "a b"}), "token", "visible ASCII"),
            (
                json!({"token": "short", "listen": "[::]:5109"}),
                "token",
                "fewer than 16 characters",
            ),
            (
                json!({"tokens": {"ann": {"hash": "x"}}}),
                "tokens.ann.hash",
                "64 hexadecimal",
            ),
            (
                json!({"tokens": {"ann": {}}}),
                "tokens.ann.hash",
                "64 hexadecimal",
            ),
            (
                json!({"tokens": {" ": {"hash": hash}}}),
                "tokens. ",
                "1 to 128 bytes",
            ),
            (
                json!({"tokens": {"a\nb": {"hash": hash}}}),
                "tokens.a\\nb",
                "1 to 128 bytes",
            ),
        ] {
            let found = reported(&config(section));
            let [(found_key, reason)] = found.as_slice() else {
                panic!("{found:?}");
            };
            assert_eq!(found_key, key);
            assert!(reason.contains(word), "{reason}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let hash = KeyHash::of(b"token").to_string();
        let config = config(json!({
            "token": "secret",
            "tokens": {"ann": {"hash": hash, "role": "configure"}},
        }));
        assert_eq!(config.tokens["ann"].role, Role::Configure.into());
        let shown = serde_json::to_value(&config).unwrap();
        assert_eq!(shown["token"], "***");
        assert_eq!(
            shown["tokens"]["ann"],
            json!({"hash": "***", "role": "configure"})
        );
        assert!(!format!("{config:?}").contains("secret\""), "{config:?}");
    }

    #[test]
    fn dead_letters_are_kept_for_an_hour_to_ten_years() {
        let read = |text: &str| {
            let config: DeadLettersConfig =
                serde_json::from_value(json!({ "retention": text })).unwrap();
            let mut found = Vec::new();
            config.validate(&mut |key, reason| found.push(format!("{key}: {reason}")));
            found
        };
        for text in ["1h", "30days", "87600h"] {
            assert_eq!(read(text), [""; 0], "{text}");
        }
        assert_eq!(read("59m"), ["retention: 59m is not between 1h and 87600h"]);
        let default = DeadLettersConfig::default().retention;
        assert_eq!(default, 30 * 24 * HOUR);
    }

    #[test]
    fn a_proxy_is_believed_only_if_it_is_named_and_others_need_a_token() {
        let good = json!({
            "token": "t",
            "proxy_user_header": "X-Forwarded-User",
            "proxy_addresses": ["10.0.0.7", "fd00::/8"],
            "proxy_users": {"ann": "configure,payload", "乐": "read"},
        });
        assert_eq!(reported(&config(good.clone())), []);
        for (key, value, reported_key, word) in [
            (
                "proxy_user_header",
                json!(null),
                "proxy_addresses",
                "no effect",
            ),
            (
                "proxy_user_header",
                json!("cookie"),
                "proxy_user_header",
                "not a name",
            ),
            (
                "proxy_user_header",
                json!("X_User"),
                "proxy_user_header",
                "not a name",
            ),
            (
                "proxy_user_header",
                json!(""),
                "proxy_user_header",
                "not a name",
            ),
            (
                "proxy_addresses",
                json!([]),
                "proxy_addresses",
                "it is empty",
            ),
            (
                "proxy_addresses",
                json!(["::/0"]),
                "proxy_addresses",
                "everybody",
            ),
            (
                "proxy_users",
                json!({" ": "read"}),
                "proxy_users. ",
                "1 to 128 bytes",
            ),
            ("token", json!(null), "proxy_user_header", "admin.token"),
        ] {
            let mut section = good.clone();
            section[key] = value;
            let found = reported(&config(section));
            let (found_key, reason) = &found[0];
            assert_eq!(found_key, reported_key, "{found:?}");
            assert!(reason.contains(word), "{found:?}");
        }
        let mut wrong = good;
        wrong["proxy_users"] = json!({"ann": "root"});
        assert!(serde_json::from_value::<AdminConfig>(wrong).is_err());
    }

    #[test]
    fn a_role_is_written_as_it_is_read() {
        for role in ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            let roles = Roles::from(role);
            assert_eq!(serde_json::to_value(&roles).unwrap(), role.as_str());
        }
        let two = Roles(vec![Role::Payload, Role::Configure]);
        for written in [
            json!("configure, payload"),
            json!(["payload", "configure", "payload"]),
            serde_json::to_value(&two).unwrap(),
        ] {
            let read: Roles = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(read, two, "{written}");
        }
        for wrong in [
            json!(""),
            json!([]),
            json!("admin"),
            json!("read;payload"),
            json!(7),
        ] {
            let read: Result<Roles, _> = serde_json::from_value(wrong.clone());
            assert!(read.is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_other_role_includes_payloads() {
        let granted = |role: Role| {
            let roles = Roles::from(role);
            ALL.map(|needed| roles.grant(needed))
        };
        // Read, payload, replay, configure.
        assert_eq!(granted(Role::Read), [true, false, false, false]);
        assert_eq!(granted(Role::Payload), [true, true, false, false]);
        assert_eq!(granted(Role::Replay), [true, false, true, false]);
        assert_eq!(granted(Role::Configure), [true, false, true, true]);
        let both = Roles(vec![Role::Payload, Role::Replay]);
        assert_eq!(
            ALL.map(|needed| both.grant(needed)),
            [true, true, true, false]
        );
        assert_eq!(Roles::default(), Role::Read.into());
    }
}
