//! Sign-in to the console by a proxy in front of it, which names the operator in a header.
//!
//! The header is believed from the listed addresses alone, those of the TCP peer: nothing that a request
//! says of itself can change them. From all others it is as if it were not there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use actix_web::http::header::{HeaderMap, HeaderName};
use runtime::http::PeerRange;

use crate::config::{AdminConfig, Roles};

/// The longest name of an operator, in bytes: as of a token.
const MAX_NAME_BYTES: usize = 128;

/// Which proxies are believed, and what their users may do.
pub(super) struct ProxySignIn {
    header: HeaderName,
    proxies: Vec<PeerRange>,
    users: BTreeMap<String, Roles>,
}

impl ProxySignIn {
    /// As in the settings. `None`: there is no such sign-in.
    ///
    /// # Errors
    /// The name of the header is none.
    pub(super) fn of(config: &AdminConfig) -> Result<Option<Self>, String> {
        let Some(name) = &config.proxy_user_header else {
            return Ok(None);
        };
        let header = HeaderName::try_from(name.as_str()).map_err(|_| {
            format!("admin.proxy_user_header: {name:?} is not the name of a header")
        })?;
        Ok(Some(Self {
            header,
            proxies: config.proxy_addresses.clone(),
            users: config.proxy_users.clone(),
        }))
    }

    /// Whom a listed proxy names, and their roles. Users that are not listed may read.
    pub(super) fn user(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Option<(String, Roles)> {
        let peer = peer?;
        if !self.proxies.iter().any(|range| range.contains(peer)) {
            return None;
        }
        let mut values = headers.get_all(&self.header);
        // A proxy that adds its line to that of the client has not checked the client's.
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let name = std::str::from_utf8(value.as_bytes()).ok()?.trim();
        let is_name =
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
        is_name.then(|| (name.to_owned(), self.roles_of(name)))
    }

    /// The roles of this user. Users that are not listed may read.
    pub(super) fn roles_of(&self, name: &str) -> Roles {
        self.users.get(name).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;
    use crate::config::Role;

    fn sign_in() -> ProxySignIn {
        let range = |text: &str| PeerRange::try_from(text.to_owned()).unwrap();
        let config = AdminConfig {
            proxy_user_header: Some("X-Forwarded-User".to_owned()),
            proxy_addresses: vec![range("10.0.0.7"), range("192.168.4.0/24")],
            proxy_users: [("ann".to_owned(), Role::Configure.into())].into(),
            ..AdminConfig::default()
        };
        ProxySignIn::of(&config).unwrap().unwrap()
    }

    fn named(peer: &str, values: &[&[u8]]) -> Option<(String, Roles)> {
        let mut headers = HeaderMap::new();
        for value in values {
            let name = HeaderName::from_static("x-forwarded-user");
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        sign_in().user(&headers, peer.parse().ok())
    }

    #[test]
    fn a_listed_proxy_names_the_operator_and_the_settings_the_roles() {
        let of = |name: &str, role: Role| Some((name.to_owned(), Roles::from(role)));
        for peer in ["10.0.0.7", "::ffff:10.0.0.7", "192.168.4.200"] {
            assert_eq!(named(peer, &[b"ann"]), of("ann", Role::Configure), "{peer}");
        }
        assert_eq!(named("10.0.0.7", &[b" ann "]), of("ann", Role::Configure));
        for other in ["Ann", "bob", "ann,configure", "乐"] {
            let found = named("10.0.0.7", &[other.as_bytes()]);
            assert_eq!(found, of(other, Role::Read), "{other}");
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        for peer in ["10.0.0.8", "127.0.0.1", "192.168.5.1", "::1", "none"] {
            assert_eq!(named(peer, &[b"ann"]), None, "{peer}");
        }
        let long = [b'a'; MAX_NAME_BYTES + 1];
        for values in [
            &[][..],
            &[b"".as_slice()],
            &[b" ".as_slice()],
            &[b"ann".as_slice(), b"ann".as_slice()],
            &[b"bob".as_slice(), b"ann".as_slice()],
            &[b"a\tnn".as_slice()],
            &[b"\xff".as_slice()],
            &[long.as_slice()],
        ] {
            assert_eq!(named("10.0.0.7", values), None, "{values:?}");
        }
    }
}
