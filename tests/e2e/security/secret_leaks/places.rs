//! Places where a secret could appear, and the search.

use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tests::Gateway;

/// Texts with the place where they were found.
#[derive(Default)]
pub(super) struct Places(Vec<(String, String, bool)>);

impl Places {
    /// A place that may contain neither secrets nor payloads.
    pub(super) fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into(), false));
    }

    /// A place with a message in transit, which contains the caller's input.
    pub(super) fn add_message(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into(), true));
    }

    /// Checks that the first words appear in no place, and the others only in messages.
    pub(super) fn hold_none_of(&self, nowhere: &[&str], in_messages: &[&str]) {
        let mut found = Vec::new();
        for (place, text, message) in &self.0 {
            let others = in_messages.iter().filter(|_| !message);
            for word in nowhere.iter().chain(others) {
                if let Some(at) = text.find(word) {
                    let line = text[..at].rfind('\n').map_or(0, |it| it + 1);
                    found.push(format!("{word} in {place}: {}", &text[line..at]));
                }
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Every value in the journal as text, with its table and column.
pub(super) async fn journal(gateway: &Gateway<'_>) -> Vec<(String, String)> {
    let setting = |key: &str| gateway.variables().get(key).cloned();
    match setting("RINGBACK__BROKER__DATA_DIR") {
        Some(directory) => of_files(&directory),
        None => of_server(&setting("RINGBACK__JOURNAL__URL").unwrap()).await,
    }
}

async fn of_server(url: &str) -> Vec<(String, String)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let columns = "SELECT table_name::text, column_name::text, data_type::text \
                   FROM information_schema.columns WHERE table_schema = 'public'";
    let columns = sqlx::query(columns)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut all = Vec::new();
    for row in columns {
        let [table, column, kind]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
        let value = match &*kind {
            "bytea" => format!("encode(\"{column}\", 'escape')"),
            _ => format!("\"{column}\"::text"),
        };
        let rows = format!("SELECT {value} FROM \"{table}\" WHERE \"{column}\" IS NOT NULL");
        let rows = sqlx::query(AssertSqlSafe(rows))
            .fetch_all(&mut connection)
            .await;
        // Rows of a partition are also rows of its table.
        let name = table.trim_end_matches(|it: char| it == '_' || it.is_ascii_digit());
        let values = rows.unwrap().into_iter().map(|row| row.get::<String, _>(0));
        all.extend(values.map(|value| (format!("{name}.{column}"), value)));
    }
    all
}

fn of_files(directory: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let files = std::fs::read_dir(directory).unwrap().flatten();
    let journals = files.filter(|it| {
        let name = it.file_name();
        name != "queue.db" && name.to_string_lossy().ends_with(".db")
    });
    for file in journals {
        let connection =
            Connection::open_with_flags(file.path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
        let mut tables = connection.prepare(tables).unwrap();
        let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
        for table in tables.map(Result::unwrap) {
            let mut rows = connection
                .prepare(&format!("SELECT * FROM \"{table}\""))
                .unwrap();
            let columns: Vec<_> = rows.column_names().into_iter().map(str::to_owned).collect();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for (place, column) in columns.iter().enumerate() {
                    let text = match row.get_ref(place).unwrap() {
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                            String::from_utf8_lossy(bytes).into_owned()
                        }
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Null | ValueRef::Real(_) => continue,
                    };
                    all.push((format!("{table}.{column}"), text));
                }
            }
        }
    }
    all
}
