//! Reads which messages the store holds, through a connection of its own: the store's thread does
//! not wait for it, however long the queues are.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Another connection may be opening or closing the file's log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which of these ids messages have, in any queue, in flight or not. A message leaves the file only
/// when it is settled.
pub(in crate::embedded) fn read(file: &Path, ids: &[String]) -> rusqlite::Result<HashSet<String>> {
    let mut connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // In one transaction, so that no message moves between the two reads.
    let snapshot = connection.transaction()?;
    let mut held = HashSet::new();
    let mut waiting = snapshot.prepare(
        "SELECT 1 FROM messages INDEXED BY waiting_ids WHERE queue = 'retry' AND id = ?1",
    )?;
    for id in ids {
        if waiting.exists([id])? {
            held.insert(id.clone());
        }
    }
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let mut others = snapshot.prepare(
        "SELECT id FROM messages INDEXED BY waiting
         WHERE queue IN ('first', 'delivery_limit', 'unrouted', 'dead', 'unreadable')",
    )?;
    let mut rows = others.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        if wanted.contains(id.as_str()) {
            held.insert(id);
        }
    }
    Ok(held)
}
