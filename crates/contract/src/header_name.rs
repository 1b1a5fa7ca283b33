//! Names of request headers to a target, compared as targets read them.
//!
//! CGI (RFC 3875, section 4.1.18), and what is built after it (WSGI, Rack, PHP), turns `-` in a name
//! into `_`, and some servers turn every other sign into it as well: such a target cannot tell
//! `X_Callback_App_Id` from `x-callback-app-id`. So names are compared with every sign that is
//! neither a letter nor a digit taken for `-`.

/// Names that the connection or the gateway sets: hop-by-hop headers (RFC 9110, section 7.6.1, and
/// older ones that proxies still obey), those that decide where and how the body is sent, and
/// `proxy`, which CGI turns into the variable `HTTP_PROXY`.
const RESERVED: [&str; 10] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Prefixes of names that the gateway or the connection sets.
const RESERVED_PREFIXES: [&str; 4] = ["content-", "proxy-", "webhook-", "x-callback-"];

/// Names that callers may set in vain: the gateway replaces them.
const REPLACED: [&str; 3] = ["accept-encoding", "traceparent", "user-agent"];

/// Whether neither a caller nor a callee's settings may set this header.
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    let comparable = comparable_header(name);
    RESERVED.contains(&comparable.as_str())
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| comparable.starts_with(prefix))
}

/// Whether a caller may set this header, but the gateway sends its own in its place.
#[must_use]
pub fn is_replaced_header(name: &str) -> bool {
    REPLACED.contains(&comparable_header(name).as_str())
}

/// The name as it is compared: in lower case, with `-` for every other sign.
#[must_use]
pub fn comparable_header(name: &str) -> String {
    let comparable = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' => char::from(byte),
        b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
        _ => '-',
    };
    name.bytes().map(comparable).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Each name of the contract, written down separately from the tables.
    const GATEWAYS: [&str; 24] = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-callback-app-id",
        "x-callback-attempt",
        "x-callback-callee-no",
        "x-callback-caller-no",
        "x-callback-message-type",
    ];

    /// The signs that a header name may hold (RFC 9110, section 5.6.2).
    const SIGNS: &str = "!#$%&'*+-.^_`|~";

    proptest! {
        #[test]
        fn every_spelling_of_a_reserved_name_is_reserved(
            name in select(&GATEWAYS[..]),
            upper in any::<u64>(),
            signs in prop::collection::vec(select(SIGNS.chars().collect::<Vec<_>>()), 4),
        ) {
            let mut signs = signs.into_iter().cycle();
            let spelling: String = name
                .chars()
                .enumerate()
                .map(|(at, char)| match char {
                    '-' => signs.next().unwrap_or('-'),
                    _ if upper >> at & 1 == 1 => char.to_ascii_uppercase(),
                    _ => char,
                })
                .collect();
            prop_assert!(is_reserved_header(&spelling), "{spelling}");
        }

        #[test]
        fn the_spelling_of_a_name_never_decides_whether_it_is_reserved(
            name in "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,24}",
        ) {
            let plain = name.to_ascii_lowercase().replace(['_', '.'], "-");
            prop_assert_eq!(is_reserved_header(&name), is_reserved_header(&plain), "{}", name);
        }
    }

    #[test]
    fn names_that_only_resemble_reserved_ones_are_free() {
        for name in [
            "accept",
            "authorization",
            "callback-id",
            "connections",
            "content",
            "contents",
            "cookie",
            "hosts",
            "my-webhook-id",
            "proxied-by",
            "te-x",
            "tea",
            "user-agent",
            "webhook",
            "webhooks",
            "x-api-key",
            "x-callback",
            "x-host",
            "x-proxy-user",
            "xcallback-app-id",
            "",
        ] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }
}
