//! Authentication of operators: bearer tokens with roles.
//!
//! Without any token the API listens on loopback only. Any web page that is open on this machine can
//! still send requests to it. Three checks reject those requests: after DNS rebinding `Host` holds the
//! page's own name; a page may send forms and plain text to any address, but JSON only after a
//! preflight, which is never granted; and every other request names the page in `Origin`.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use actix_web::{HttpMessage as _, HttpRequest};
use delivery::auth::{KeyHash, bearer_token};
use secrecy::ExposeSecret;

use super::error::{ApiError, ProblemCode};
use super::proxy_sign_in::ProxySignIn;
use super::session;
use crate::config::{AdminConfig, Role, Roles};
use crate::doctor::said::say;

/// The tokens that grant access.
#[derive(Default)]
pub struct AdminTokens {
    /// The hash of `admin.token`. Hashes are compared in constant time.
    token: Option<KeyHash>,
    operators: Vec<OperatorToken>,
    /// Operators of the console whom a proxy names.
    proxy: Option<ProxySignIn>,
}

/// A token of `admin.tokens`.
struct OperatorToken {
    name: String,
    hash: KeyHash,
    roles: Roles,
}

/// What a sign-in to the console goes by.
#[derive(Clone, Copy, Debug)]
enum SignIn {
    /// No token is configured.
    Open,
    /// The token with this hash.
    Token(KeyHash),
    /// A proxy names the operator.
    Proxy,
}

/// Who has signed in to the console.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    /// The name of the token. `admin.token` has none, and without tokens there is none.
    pub(crate) name: Option<String>,
    /// `None`: everything is granted.
    roles: Option<Roles>,
    sign_in: SignIn,
}

impl Operator {
    /// Whether the operator has the needed role.
    pub(crate) fn may(&self, needed: Role) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.grant(needed))
    }

    /// Whether a proxy has named the operator: there is no session that could be ended here.
    pub(crate) const fn is_of_proxy(&self) -> bool {
        matches!(self.sign_in, SignIn::Proxy)
    }
}

/// The name of the token that a request was authenticated with, kept in its extensions.
/// `admin.token` has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenName(String);

impl TokenName {
    /// The name of this request's token, if it has one.
    pub(super) fn of(request: &HttpRequest) -> Option<String> {
        let extensions = request.extensions();
        extensions.get::<Self>().map(|Self(name)| name.clone())
    }
}

impl AdminTokens {
    /// The tokens of the settings.
    ///
    /// # Errors
    /// A sentence that names the first token whose hash is invalid.
    pub fn new(config: &AdminConfig) -> Result<Self, String> {
        let operators = config.tokens.iter().map(|(name, token)| {
            let hash = KeyHash::parse(&token.hash)
                .ok_or_else(|| format!("admin.tokens.{name}.hash is not a token hash"))?;
            Ok(OperatorToken {
                name: name.clone(),
                hash,
                roles: token.role.clone(),
            })
        });
        let token = config.token.as_ref();
        Ok(Self {
            token: token.map(|token| KeyHash::of(token.expose_secret().as_bytes())),
            operators: operators.collect::<Result<_, String>>()?,
            proxy: ProxySignIn::of(config)?,
        })
    }

    /// Whether no token is required.
    pub(super) fn is_open(&self) -> bool {
        self.token.is_none() && self.operators.is_empty()
    }

    /// The tokens of new settings, for a listener that is open at `listen`.
    ///
    /// # Errors
    /// As [`AdminTokens::new`], or when others could reach the API without a token or with a weak
    /// one.
    pub fn reloaded(new: &AdminConfig, listen: SocketAddr) -> Result<Self, (&'static str, String)> {
        let tokens = Self::new(new).map_err(|reason| ("admin.tokens", reason))?;
        let in_force = AdminConfig {
            listen,
            ..new.clone()
        };
        if tokens.is_open() && !listen.ip().is_loopback() {
            let reason = format!("it is not set, and the API listens on {listen}");
            return Err(("admin.token", reason));
        }
        match in_force.weak_token() {
            Some(reason) => Err(("admin.token", reason)),
            None => Ok(tokens),
        }
    }

    /// Checks that a request has the needed role. Returns the name of its token.
    ///
    /// # Errors
    /// Why the request is rejected.
    pub(super) fn authorize(
        &self,
        method: &Method,
        headers: &HeaderMap,
        needed: Role,
    ) -> Result<Option<TokenName>, ApiError> {
        let token_name = match self.is_open() {
            true => check_local(headers).map(|()| None)?,
            false => self.authenticate(method, headers, needed)?,
        };
        if method == Method::POST && !is_json(headers) {
            return Err(ApiError::NotJson);
        }
        Ok(token_name)
    }

    /// The operator whom a proxy at this address names, or else that of a session, if it is valid at
    /// `now`, Unix seconds. Without any token everybody on this machine is one.
    ///
    /// # Errors
    /// Why the request may be another site's: only without a token.
    pub(crate) fn operator(
        &self,
        headers: &HeaderMap,
        session: Option<&str>,
        peer: Option<IpAddr>,
        now: u64,
    ) -> Result<Option<Operator>, ApiError> {
        let of_everything = Operator {
            name: None,
            roles: None,
            sign_in: SignIn::Open,
        };
        if self.is_open() {
            return check_local(headers).map(|()| Some(of_everything));
        }
        let named = self.proxy.as_ref().and_then(|it| it.user(headers, peer));
        if let Some((name, roles)) = named {
            return Ok(Some(Operator {
                name: Some(name),
                roles: Some(roles),
                sign_in: SignIn::Proxy,
            }));
        }
        let Some(session) = session else {
            return Ok(None);
        };
        let is_of = |token: &KeyHash| session::is_valid(session, token, now);
        if let Some(token) = self.token.filter(is_of) {
            return Ok(Some(Operator {
                sign_in: SignIn::Token(token),
                ..of_everything
            }));
        }
        let found = self.operators.iter().find(|token| is_of(&token.hash));
        Ok(found.map(|token| Operator {
            name: Some(token.name.clone()),
            roles: Some(token.roles.clone()),
            sign_in: SignIn::Token(token.hash),
        }))
    }

    /// Whether these tokens grant a role to an operator who signed in earlier. A session that has expired
    /// or was ended makes no difference.
    pub(super) fn still_grant(&self, operator: &Operator, needed: Role) -> bool {
        match (&operator.sign_in, &operator.name) {
            (SignIn::Open, _) => self.is_open(),
            (SignIn::Token(hash), None) => self.token.is_some_and(|token| token.same(hash)),
            (SignIn::Token(hash), Some(_)) => {
                let mut all = self.operators.iter();
                let found = all.find(|token| token.hash.same(hash));
                found.is_some_and(|token| token.roles.grant(needed))
            }
            (SignIn::Proxy, name) => {
                let roles = self.proxy.as_ref().zip(name.as_ref());
                roles.is_some_and(|(proxy, name)| proxy.roles_of(name).grant(needed))
            }
        }
    }

    /// Whether a request shows a token, right or wrong.
    pub(super) fn shows_token(headers: &HeaderMap) -> bool {
        text(headers, &AUTHORIZATION)
            .and_then(bearer_token)
            .is_some()
    }

    fn authenticate(
        &self,
        method: &Method,
        headers: &HeaderMap,
        needed: Role,
    ) -> Result<Option<TokenName>, ApiError> {
        let shown = text(headers, &AUTHORIZATION).and_then(bearer_token);
        let shown = shown.ok_or(ApiError::Unauthenticated)?;
        let hash = KeyHash::of(shown.as_bytes());
        if self.token.is_some_and(|token| token.same(&hash)) {
            return Ok(None);
        }
        let found = self.operators.iter().find(|token| token.hash.same(&hash));
        let operator = found.ok_or(ApiError::Unauthenticated)?;
        if !operator.roles.grant(needed) {
            let (operator, role) = (&operator.name, &operator.roles);
            tracing::warn!(operator, %role, %method, %needed, "request rejected: the operator's role does not grant it");
            return Err(ApiError::Forbidden(needed));
        }
        Ok(Some(TokenName(operator.name.clone())))
    }
}

fn check_local(headers: &HeaderMap) -> Result<(), ApiError> {
    // A value that is not text counts as foreign, not as missing.
    let local = |name: &HeaderName| match headers.get(name).map(|value| value.to_str()) {
        None => true,
        Some(value) => value.is_ok_and(|value| {
            let host = value.split_once("://").map_or(value, |(_, host)| host);
            is_loopback(host)
        }),
    };
    if !local(&HOST) {
        return Err(ApiError::rejected(
            ProblemCode::ForeignOrigin,
            say!(
                "without a token the API serves localhost only, and the Host header names another host",
                "未设置令牌时只服务于本机（localhost），而请求头 Host 是其他主机"
            ),
        ));
    }
    if !local(&ORIGIN) {
        return Err(ApiError::rejected(
            ProblemCode::ForeignOrigin,
            say!(
                "without a token the API does not serve pages of other sites",
                "未设置令牌时不服务于其他网站的页面"
            ),
        ));
    }
    Ok(())
}

/// Whether `host:port`, or `host`, is a loopback name or address.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: Result<IpAddr, _> = address.unwrap_or(host).parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = text(headers, &CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use secrecy::SecretString;

    use super::*;
    use crate::config::TokenConfig;

    fn authorize(
        token: Option<&str>,
        method: &Method,
        lines: &[(&str, &str)],
    ) -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let config = AdminConfig {
            token: token.map(SecretString::from),
            ..AdminConfig::default()
        };
        let auth = AdminTokens::new(&config).unwrap();
        auth.authorize(method, &headers, Role::Read).map(drop)
    }

    fn rejection(token: Option<&str>, lines: &[(&str, &str)]) -> Option<ProblemCode> {
        let error = authorize(token, &Method::GET, lines).err();
        error.map(|error| error.code())
    }

    #[test]
    fn an_operator_has_a_role_as_long_as_the_token_is_configured_with_it() {
        let token = |role: Role| TokenConfig {
            hash: KeyHash::of(b"token-of-rita").to_string(),
            role: role.into(),
        };
        let with = |tokens: Vec<(&str, TokenConfig)>| {
            let named = tokens
                .into_iter()
                .map(|(name, token)| (name.to_owned(), token));
            let config = AdminConfig {
                tokens: named.collect(),
                token: Some(SecretString::from("token-of-all")),
                ..AdminConfig::default()
            };
            AdminTokens::new(&config).unwrap()
        };
        let operator = |token: &[u8], tokens: &AdminTokens| {
            let session = session::issue(&KeyHash::of(token), 1_000).unwrap();
            let found = tokens.operator(&HeaderMap::new(), Some(&session), None, 7);
            found.unwrap().unwrap()
        };
        let before = with(vec![("rita", token(Role::Replay))]);
        let rita = operator(b"token-of-rita", &before);
        let admin = operator(b"token-of-all", &before);
        for (tokens, expected) in [
            (vec![("rita", token(Role::Replay))], true),
            (vec![("renamed", token(Role::Configure))], true),
            (vec![("rita", token(Role::Read))], false),
            (Vec::new(), false),
        ] {
            let after = with(tokens);
            assert_eq!(after.still_grant(&rita, Role::Replay), expected);
            assert!(after.still_grant(&admin, Role::Replay));
        }
        let open = AdminTokens::default();
        assert!(!open.still_grant(&admin, Role::Replay));
    }

    #[test]
    fn only_the_exact_token_grants_access() {
        let bearer = |value| rejection(Some("secret"), &[("authorization", value)]);
        assert_eq!(bearer("Bearer secret"), None);
        assert_eq!(bearer("bearer  secret"), None);
        for wrong in [
            "Bearer secreT",
            "Bearer secret1",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert_eq!(bearer(wrong), Some(ProblemCode::Unauthenticated), "{wrong}");
        }
        assert_eq!(
            rejection(Some("secret"), &[]),
            Some(ProblemCode::Unauthenticated)
        );
        let any_host = [
            ("authorization", "Bearer secret"),
            ("host", "admin.example"),
        ];
        assert_eq!(rejection(Some("secret"), &any_host), None);
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
            assert_eq!(rejection(None, &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example:5109",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "[::1",
        ] {
            let found = rejection(None, &[("host", host)]);
            assert_eq!(found, Some(ProblemCode::ForeignOrigin), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_rejected() {
        let origin = |value| rejection(None, &[("host", "localhost:5109"), ("origin", value)]);
        assert_eq!(origin("http://localhost:5109"), None);
        for foreign in ["https://evil.example", "null"] {
            assert_eq!(
                origin(foreign),
                Some(ProblemCode::ForeignOrigin),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_post_must_be_json() {
        let post = |lines: &[_]| authorize(None, &Method::POST, lines).err();
        assert_eq!(
            post(&[("content-type", "application/json; charset=utf-8")]),
            None
        );
        assert_eq!(
            post(&[("content-type", "text/plain")]),
            Some(ApiError::NotJson)
        );
        assert_eq!(post(&[]), Some(ApiError::NotJson));
    }

    #[test]
    fn a_role_grants_what_it_includes_and_a_token_names_its_operator() {
        let roles = [Role::Read, Role::Payload, Role::Replay, Role::Configure];
        let tokens = roles.map(|role| {
            let hash = KeyHash::of(role.as_str().as_bytes()).to_string();
            let role = Roles::from(role);
            (role.to_string(), TokenConfig { hash, role })
        });
        let mut config = AdminConfig {
            token: Some("admin-token".into()),
            tokens: tokens.into(),
            ..AdminConfig::default()
        };
        let auth = AdminTokens::new(&config).unwrap();
        let authorize = |token: &str, needed: Role| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            headers.insert(AUTHORIZATION, value);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            auth.authorize(&Method::POST, &headers, needed)
        };
        for needed in roles {
            for role in roles {
                let expected = match Roles::from(role).grant(needed) {
                    true => Ok(Some(TokenName(role.to_string()))),
                    false => Err(ApiError::Forbidden(needed)),
                };
                assert_eq!(authorize(role.as_str(), needed), expected);
            }
            assert_eq!(authorize("admin-token", needed), Ok(None));
            assert_eq!(authorize("other", needed), Err(ApiError::Unauthenticated));
        }
        config.tokens.insert("x".to_owned(), TokenConfig::default());
        assert!(AdminTokens::new(&config).is_err());
    }
}
