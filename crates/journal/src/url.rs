//! `journal.url`, parsed.

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::hosts::each_server;

/// Set on every connection.
const SESSION: [(&str, &str); 4] = [
    // Every query is short; one that is not has gone wrong.
    ("statement_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    // Which partition and which index to use depends on the values.
    ("plan_cache_mode", "force_custom_plan"),
    // Costs more than it saves for short statements over many partitions.
    ("jit", "off"),
];

/// The URL of a journal in PostgreSQL: how each of its servers is connected to. It has no `Debug`
/// output, because it holds the password.
#[derive(Clone)]
pub struct JournalUrl(Vec<PgConnectOptions>);

impl JournalUrl {
    /// Parses `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    /// A sentence when the URL is unusable. It never shows the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let schemes = ["postgres://", "postgresql://"];
        if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
            return Err("the journal's URL must begin with postgres://".to_owned());
        }
        // The parser's own message may quote a part of the URL.
        let unusable = || {
            "the journal's URL is not of the form postgres://user:password@host:port/database"
                .to_owned()
        };
        let parse = |url: String| {
            let options: PgConnectOptions = url.parse().map_err(|_| unusable())?;
            Ok(options
                .application_name("ringback")
                .options(SESSION)
                .disable_statement_logging())
        };
        let servers = each_server(url).into_iter().map(parse);
        servers.collect::<Result<_, String>>().map(Self)
    }

    /// How each server is connected to, in the order of the URL; at least one.
    pub(crate) fn servers(&self) -> &[PgConnectOptions] {
        &self.0
    }

    /// Whether both name the same servers and the same database.
    pub(crate) fn is_same_database(&self, other: &Self) -> bool {
        let place = |server: &PgConnectOptions| {
            let (socket, database) = (server.get_socket().cloned(), server.get_database());
            let host = (server.get_host().to_owned(), server.get_port());
            (host, socket, database.map(str::to_owned))
        };
        let (own, other) = (self.0.iter().map(place), other.0.iter().map(place));
        own.eq(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_password_is_no_other_database() {
        let url = |text: &str| JournalUrl::parse(text).unwrap();
        let first = url("postgres://a:one@h:1,i:2/db");
        assert!(first.is_same_database(&url("postgres://b:two@h:1,i:2/db")));
        for other in [
            "postgres://a:one@h:1,i:3/db",
            "postgres://a:one@h:1/db",
            "postgres://a:one@h:1,i:2/other",
        ] {
            assert!(!first.is_same_database(&url(other)), "{other}");
        }
    }
}
