-- Version 5.

-- The counts are kept by the writer (`counts.rs`). With triggers, every statement needs a journal of
-- its own.
DROP TRIGGER callbacks_inserted;
DROP TRIGGER callbacks_reopened;
DROP TRIGGER callbacks_changed;
DROP TRIGGER callbacks_deleted;

-- What of each recorder's stream is stored; `postgres/schema_5.sql` has the same table.

CREATE TABLE recorders (
    id         BLOB    NOT NULL PRIMARY KEY,
    accepts    INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    ended_at   INTEGER,
    closed     INTEGER NOT NULL DEFAULT 0,
    settled    INTEGER NOT NULL DEFAULT 0,
    spans      TEXT    NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_id ON idempotency_keys (request_id);

-- Callbacks whose end was not recorded: status 'unaccounted'. A record that wins over the row's
-- clears both columns.
ALTER TABLE callbacks ADD COLUMN unaccounted_from TEXT; -- the status before: queued or retrying
ALTER TABLE callbacks ADD COLUMN unaccounted_at INTEGER; -- when it was marked
CREATE INDEX callbacks_unaccounted ON callbacks (request_id) WHERE status = 'unaccounted';
