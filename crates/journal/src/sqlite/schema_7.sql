-- Version 7; `postgres/schema_7.sql` says what the columns hold.

CREATE TABLE rollups (
    kind        INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    minute      INTEGER NOT NULL,
    shard       INTEGER NOT NULL, -- One writer, so one shard: 0.
    accepted    INTEGER NOT NULL,
    delivered   INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    deferred    INTEGER NOT NULL,
    dead        INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    to_5ms      INTEGER NOT NULL,
    to_10ms     INTEGER NOT NULL,
    to_25ms     INTEGER NOT NULL,
    to_50ms     INTEGER NOT NULL,
    to_100ms    INTEGER NOT NULL,
    to_250ms    INTEGER NOT NULL,
    to_500ms    INTEGER NOT NULL,
    to_1s       INTEGER NOT NULL,
    to_2500ms   INTEGER NOT NULL,
    to_5s       INTEGER NOT NULL,
    to_15s      INTEGER NOT NULL,
    to_60s      INTEGER NOT NULL,
    longer      INTEGER NOT NULL,
    PRIMARY KEY (kind, name, minute, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_minute ON rollups (minute, kind);
