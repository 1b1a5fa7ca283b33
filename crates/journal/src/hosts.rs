//! A PostgreSQL URL with several servers: `postgres://user@one:5432,two:5432/db`.

/// The parts of a URL: up to its servers, the servers, and the rest. `None`: it has no servers part.
pub(crate) fn split(url: &str) -> Option<(&str, &str, &str)> {
    let authority = url.find("://")? + "://".len();
    let rest = url.get(authority..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let servers = rest.get(..end)?.rfind('@').map_or(0, |at| at + 1);
    let (before, after) = (authority + servers, authority + end);
    Some((
        url.get(..before)?,
        url.get(before..after)?,
        url.get(after..)?,
    ))
}

/// A URL for each server, in this order; the URL itself if it names one or none.
pub(crate) fn each_server(url: &str) -> Vec<String> {
    match split(url) {
        Some((before, servers, rest)) => servers
            .split(',')
            .map(|server| format!("{before}{server}{rest}"))
            .collect(),
        None => vec![url.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_servers() {
        for (url, expected) in [
            (
                "postgres://me:a,b@one/db",
                &["postgres://me:a,b@one/db"][..],
            ),
            (
                "postgres://me:a@one:5432,two:5433/db?sslmode=require",
                &[
                    "postgres://me:a@one:5432/db?sslmode=require",
                    "postgres://me:a@two:5433/db?sslmode=require",
                ],
            ),
            (
                "postgres://one,[::1]:7",
                &["postgres://one", "postgres://[::1]:7"],
            ),
            (
                "postgres:///db?host=/run/a,b",
                &["postgres:///db?host=/run/a,b"],
            ),
            ("no URL", &["no URL"]),
        ] {
            assert_eq!(each_server(url), expected);
        }
    }
}
