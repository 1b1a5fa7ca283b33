-- Version 6; `postgres/schema_6.sql` says what the columns hold.

ALTER TABLE attempts ADD COLUMN cause TEXT;
ALTER TABLE attempts ADD COLUMN answer_type TEXT;
ALTER TABLE attempts ADD COLUMN answer TEXT;

ALTER TABLE callbacks ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;

CREATE TABLE taken_retries (
    request_id BLOB    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    hold       INTEGER NOT NULL,
    taken_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_retries_age ON taken_retries (taken_at);
