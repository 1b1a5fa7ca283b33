//! URLs that may be called, and their targets.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;
use url::{Host, ParseError, Url};

/// The maximum length of a URL in bytes, as written and as sent.
const MAX_BYTES: usize = 2_048;

/// A URL that may be called: absolute, http or https, no user info, no fragment.
///
/// Only [`TargetUrl::parse`] makes one, so that it need not be checked again. Whether its *address*
/// may be called is decided by the address guard. `Debug` masks the query string: it may hold a
/// secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl {
    url: Url,
    target: Target,
}

/// What a URL points at: scheme, host and port. Limits and circuit breakers are per target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    scheme: String,
    host: String,
    port: u16,
}

/// Why a text is not a URL that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Too many bytes, as written or after percent-encoding.
    #[error("the URL is longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// It contains a control character.
    #[error("the URL contains a control character")]
    ControlCharacter,
    /// It is relative, or not a URL at all.
    #[error("the URL is not an absolute URL")]
    Malformed,
    /// Its scheme is neither http nor https.
    #[error("the URL does not begin with http:// or https://")]
    Scheme,
    /// It has a user name or password before the host, or an `@` there.
    #[error("the URL contains user information")]
    UserInfo,
    /// There is no host.
    #[error("the URL has no host")]
    NoHost,
    /// The port is 0 or not a port number.
    #[error("the URL has a port that cannot be called")]
    Port,
}

impl TargetUrl {
    /// Parses a URL as browsers do (WHATWG), but refuses what they silently correct: control
    /// characters, surrounding spaces, user information. A fragment is dropped.
    ///
    /// The result is the canonical form; parsing that again gives the same URL.
    ///
    /// # Errors
    /// The first [`UrlError`] found, in the order of its variants.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let too_long = UrlError::TooLong { max: MAX_BYTES };
        if text.len() > MAX_BYTES {
            return Err(too_long);
        }
        // Before parsing: the parser drops TAB, CR and LF anywhere.
        if text.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        if text.trim() != text {
            return Err(UrlError::Malformed);
        }
        let mut url = Url::parse(text).map_err(|error| match error {
            ParseError::EmptyHost => UrlError::NoHost,
            ParseError::InvalidPort => UrlError::Port,
            _ => UrlError::Malformed,
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        // On the text: the parser drops an empty user silently.
        if authority(text).contains('@') {
            return Err(UrlError::UserInfo);
        }
        url.set_fragment(None);
        if url.as_str().len() > MAX_BYTES {
            return Err(too_long);
        }
        if let Some(Host::Domain(name)) = url.host()
            && !is_host_name(name)
        {
            return Err(UrlError::Malformed);
        }
        let target = Target::of(&url)?;
        Ok(Self { url, target })
    }

    /// The URL, to be called as it is.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The address, if the host is one and not a name. In any spelling: `url` parses decimal, octal,
    /// hexadecimal, short and fullwidth forms as browsers do.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// What the URL points at.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target.clone()
    }

    pub(crate) fn target_ref(&self) -> &Target {
        &self.target
    }

    /// The URL with its query string replaced by `?…`.
    fn masked(&self) -> String {
        match self.url.as_str().split_once('?') {
            Some((before, _)) => format!("{before}?…"),
            None => self.url.to_string(),
        }
    }
}

/// The part of a URL's text between the scheme's slashes and the path, as the parser delimits it for
/// http and https: any number of slashes, and a backslash counts as one.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest);
    let rest = rest.trim_start_matches(['/', '\\']);
    rest.split(['/', '\\', '?', '#']).next().unwrap_or(rest)
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("TargetUrl")
            .field(&self.masked())
            .finish()
    }
}

impl Target {
    fn of(url: &Url) -> Result<Self, UrlError> {
        let host = url.host_str().ok_or(UrlError::NoHost)?;
        // `host.` and `host` are one host: a dot must not give a second set of limits.
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        match url.port_or_known_default() {
            None | Some(0) => Err(UrlError::Port),
            Some(port) => Ok(Self {
                scheme: url.scheme().to_owned(),
                host: host.to_owned(),
                port,
            }),
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host: a lower-case name without a final dot, or an address (IPv6 in brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; the scheme's default if the URL has none. Never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Target {
    /// `https://host:443`: the port is always shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Whether a name can be resolved and sent in a request: labels of 1 to 63 letters, digits, `-` or
/// `_`, 253 bytes in total (RFC 1035, 2.3.4; `_` occurs in practice). `url` also accepts names that
/// cannot, such as `a{b}.example` or `a..example`.
pub(crate) fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests;
