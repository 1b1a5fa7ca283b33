//! TLS of the journal's connections, by `journal.url`.

use journal::{Journal, JournalError};
use sqlx::Row as _;
use tests::Postgres;
use tests::cleanup::TempDirectory;
use tests::tls_certs::Authority;

/// The journals' connections to the server: with TLS, and without.
async fn connections(postgres: &Postgres) -> (i64, i64) {
    let mut connection = postgres.connect("postgres").await.unwrap();
    let counts = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) \
                  FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                  WHERE application_name = 'ringback'";
    let row = sqlx::query(counts).fetch_one(&mut connection).await;
    let row = row.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_full_requires_tls_the_right_authority_and_the_right_name() {
    let temp = TempDirectory::new("journal");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let ca = ours.write(temp.path(), "ours.crt");
    let other_ca = other.write(temp.path(), "other.crt");
    let postgres = Postgres::start_with_tls(&ours.issue("127.0.0.1")).await;
    let (ca, other_ca) = (ca.display(), other_ca.display());
    let database = postgres.database().await;
    let by_name = database.replace("127.0.0.1", "localhost");
    let plain = Postgres::shared().await.database().await;
    for (what, url) in [
        (
            "another authority",
            format!("{database}?sslmode=verify-full&sslrootcert={other_ca}"),
        ),
        (
            "the system's authorities",
            format!("{database}?sslmode=verify-full"),
        ),
        (
            "another name",
            format!("{by_name}?sslmode=verify-full&sslrootcert={ca}"),
        ),
        (
            "no TLS there",
            format!("{plain}?sslmode=verify-full&sslrootcert={ca}"),
        ),
        (
            "no such file",
            format!("{database}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"),
        ),
    ] {
        let journal = Journal::connect(&url).unwrap();
        let error = journal.migrate().await.unwrap_err();
        assert!(
            matches!(error, JournalError::Unavailable(_)),
            "{what}: {error}"
        );
        journal.close().await;
    }
    assert_eq!(connections(&postgres).await, (0, 0));

    let url = format!("{database}?sslmode=verify-full&sslrootcert={ca}");
    let journal = Journal::connect(&url).unwrap();
    journal.migrate().await.unwrap();
    let (encrypted, others) = connections(&postgres).await;
    assert!(encrypted > 0 && others == 0, "{encrypted} and {others}");
    journal.close().await;

    // As documented for operators: it encrypts, and trusts any server.
    let url = format!("{database}?sslmode=require&sslrootcert={other_ca}");
    let journal = Journal::connect(&url).unwrap();
    journal.migrate().await.unwrap();
    journal.close().await;
}
