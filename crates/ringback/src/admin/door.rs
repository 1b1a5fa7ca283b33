//! Who may ask the operators' API?
//!
//! With tokens: whoever bears one, as far as its role reaches. Without one the API is on loopback alone, where every web page
//! that somebody on this machine looks at can send requests to it; three checks keep those out. A
//! page that had its own name resolve to loopback shows that name in `Host`. A page may send a form
//! or a text to any address, but JSON only with leave, which is never given. And what it may send
//! all the same names the page in `Origin`.

use std::hint::black_box;
use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, web};
use boot::SettingsError;
use boot::settings::{AdminSettings, Role, TokenSettings};
use delivery::callers::KeyHash;
use secrecy::{ExposeSecret, SecretString};

use super::refusal::Refusal;

/// The tokens that are asked for, if any.
pub(super) struct Door {
    token: Option<SecretString>,
    operators: Vec<Operator>,
}

/// Whoever bears a token with a name.
struct Operator {
    name: String,
    hash: KeyHash,
    role: Role,
}

/// The name of the token that a request bears, beside the request. The token without a name leaves
/// none.
#[derive(Clone)]
pub(super) struct Named(pub(super) String);

impl Door {
    /// The door that the settings describe.
    ///
    /// # Errors
    /// The first token whose hash is none.
    pub(super) fn new(settings: &AdminSettings) -> Result<Self, SettingsError> {
        let operator = |(name, it): (&String, &TokenSettings)| {
            let hash = KeyHash::parse(&it.hash).ok_or_else(|| {
                let key = format!("admin.tokens.{name}.hash");
                let form = "it is no hash of a token (write sha256: and 64 hexadecimal digits; \
                            `ringback key --admin` makes one)";
                SettingsError::refused(&key, form)
            })?;
            let (name, role) = (name.clone(), it.role);
            Ok(Operator { name, hash, role })
        };
        let operators: Result<_, SettingsError> = settings.tokens.iter().map(operator).collect();
        Ok(Self {
            token: settings.token.clone(),
            operators: operators?,
        })
    }

    /// Whether nobody needs a token.
    pub(super) fn is_open(&self) -> bool {
        self.token.is_none() && self.operators.is_empty()
    }

    fn may_enter(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Named>, Refusal> {
        let named = match self.is_open() {
            true => comes_from_here(headers).map(|()| None)?,
            false => self.bearer(method, path, headers)?,
        };
        if method == Method::POST && !is_json(headers) {
            return Err(Refusal::NotJson);
        }
        Ok(named)
    }

    fn bearer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Named>, Refusal> {
        let shown = bearer(headers).ok_or(Refusal::NoToken)?;
        let whole = self.token.as_ref().map(ExposeSecret::expose_secret);
        if whole.is_some_and(|token| same(shown.as_bytes(), token.as_bytes())) {
            return Ok(None);
        }
        let hash = KeyHash::of(shown.as_bytes());
        let found = self.operators.iter().find(|it| it.hash.same(&hash));
        let operator = found.ok_or(Refusal::NoToken)?;
        let needed = needed(method, path);
        if operator.role < needed {
            tracing::warn!(
                who = operator.name,
                role = operator.role.as_str(),
                %method,
                needed = needed.as_str(),
                "an operator may not do this"
            );
            return Err(Refusal::MayNot(needed.as_str()));
        }
        Ok(Some(Named(operator.name.clone())))
    }
}

/// What a request needs. What is not named here changes something, and needs the most.
fn needed(method: &Method, path: &str) -> Role {
    if method == Method::GET || method == Method::HEAD {
        Role::Read
    } else if path.starts_with("/api/dead/") || path.starts_with("/api/callbacks/") {
        Role::Replay
    } else {
        Role::Configure
    }
}

/// Lets a request in, or answers why not. The middleware before every route.
pub(super) async fn admit(
    door: web::Data<Door>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let named = door.may_enter(request.method(), request.path(), request.headers())?;
    if let Some(named) = named {
        request.extensions_mut().insert(named);
    }
    next.call(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, shown) = text(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
}

/// Compares in a time that does not tell where the first difference is.
fn same(shown: &[u8], token: &[u8]) -> bool {
    let different = |sum: u8, (a, b): (&u8, &u8)| black_box(sum | (a ^ b));
    shown.len() == token.len() && shown.iter().zip(token).fold(0, different) == 0
}

fn comes_from_here(headers: &HeaderMap) -> Result<(), Refusal> {
    // One that cannot be read as text is not missing.
    let local = |name: &HeaderName| match headers.get(name).map(|value| value.to_str()) {
        None => true,
        Some(value) => value.is_ok_and(|value| {
            let host = value.split_once("://").map_or(value, |(_, host)| host);
            is_loopback(host)
        }),
    };
    if !local(&HOST) {
        return Err(Refusal::Foreign(
            "without a token this is for localhost alone, and the Host header names another",
        ));
    }
    if !local(&ORIGIN) {
        return Err(Refusal::Foreign(
            "without a token this is not for pages of other sites",
        ));
    }
    Ok(())
}

/// Whether `host:port`, or `host`, is this machine by one of its own names.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address: Result<IpAddr, _> = address.unwrap_or(host).parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = text(headers, &CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn enter(token: Option<&str>, method: &Method, lines: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let settings = AdminSettings {
            token: token.map(SecretString::from),
            ..AdminSettings::default()
        };
        let door = Door::new(&settings).unwrap();
        door.may_enter(method, "/", &headers).map(drop)
    }

    fn status(token: Option<&str>, lines: &[(&str, &str)]) -> Option<Refusal> {
        enter(token, &Method::GET, lines).err()
    }

    #[test]
    fn only_the_very_token_opens() {
        let bearer = |value| status(Some("secret"), &[("authorization", value)]);
        assert_eq!(bearer("Bearer secret"), None);
        assert_eq!(bearer("bearer  secret"), None);
        for wrong in [
            "Bearer secreT",
            "Bearer secret1",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert_eq!(bearer(wrong), Some(Refusal::NoToken), "{wrong}");
        }
        assert_eq!(status(Some("secret"), &[]), Some(Refusal::NoToken));
        let anywhere = [
            ("authorization", "Bearer secret"),
            ("host", "admin.example"),
        ];
        assert_eq!(status(Some("secret"), &anywhere), None);
    }

    #[test]
    fn without_a_token_the_host_must_be_this_machine() {
        for host in [
            "127.0.0.1:5109",
            "localhost",
            "LocalHost:1",
            "[::1]:5109",
            "127.9.9.9",
        ] {
            assert_eq!(status(None, &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example:5109",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "[::1",
        ] {
            let refused = status(None, &[("host", host)]);
            assert!(matches!(refused, Some(Refusal::Foreign(_))), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let origin = |value| status(None, &[("host", "localhost:5109"), ("origin", value)]);
        assert_eq!(origin("http://localhost:5109"), None);
        for foreign in ["https://evil.example", "null"] {
            assert!(
                matches!(origin(foreign), Some(Refusal::Foreign(_))),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_post_is_json_or_nothing() {
        let post = |lines: &[_]| enter(None, &Method::POST, lines).err();
        assert_eq!(
            post(&[("content-type", "application/json; charset=utf-8")]),
            None
        );
        assert_eq!(
            post(&[("content-type", "text/plain")]),
            Some(Refusal::NotJson)
        );
        assert_eq!(post(&[]), Some(Refusal::NotJson));
    }

    #[test]
    fn a_role_reaches_as_far_as_it_says_and_a_token_names_its_bearer() {
        let token = |word: &str, role| TokenSettings {
            hash: KeyHash::of(word.as_bytes()).to_string(),
            role,
        };
        let all = [Role::Read, Role::Replay, Role::Configure];
        let tokens = all.map(|role| (role.as_str().to_owned(), token(role.as_str(), role)));
        let mut settings = AdminSettings {
            token: Some("whole".into()),
            tokens: tokens.into(),
            ..AdminSettings::default()
        };
        let door = Door::new(&settings).unwrap();
        let enter = |word: &str, method: &Method, path: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("Bearer {word}")).unwrap();
            headers.insert(AUTHORIZATION, value);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let named = door.may_enter(method, path, &headers);
            named.map(|named| named.map(|Named(name)| name))
        };
        for (method, path, reach) in [
            (Method::GET, "/api/dead", 0),
            (Method::GET, "/api/audit", 0),
            (Method::POST, "/api/dead/replay", 1),
            (Method::POST, "/api/callbacks/x/cancel", 1),
            (Method::POST, "/api/targets/x/pause", 2),
            (Method::PUT, "/api/dead", 2),
            (Method::DELETE, "/anything", 2),
        ] {
            for (place, role) in all.iter().enumerate() {
                let expected = match place >= reach {
                    true => Ok(Some(role.as_str().to_owned())),
                    false => Err(Refusal::MayNot(all[reach].as_str())),
                };
                assert_eq!(
                    enter(role.as_str(), &method, path),
                    expected,
                    "{method} {path}"
                );
            }
            assert_eq!(enter("whole", &method, path), Ok(None));
            assert_eq!(enter("other", &method, path), Err(Refusal::NoToken));
        }
        settings
            .tokens
            .insert("x".to_owned(), TokenSettings::default());
        assert!(Door::new(&settings).is_err());
    }
}
