-- Version 4.

-- How many callbacks of each app are unfinished, kept by transition in the transaction of
-- each change; `postgres/schema_4.sql` has the same table. One writer, so one shard: 0.

CREATE TABLE app_counts (
    app_id     TEXT    NOT NULL,
    shard      INTEGER NOT NULL,
    unfinished INTEGER NOT NULL, -- status queued or retrying
    waiting    INTEGER NOT NULL, -- of these, with a recorded time of the next attempt
    PRIMARY KEY (app_id, shard)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER callbacks_inserted AFTER INSERT ON callbacks
WHEN NEW.status IN ('queued', 'retrying')
BEGIN
    INSERT INTO app_counts (app_id, shard, unfinished, waiting)
    VALUES (NEW.app_id, 0, 1, NEW.next_attempt_at IS NOT NULL)
    ON CONFLICT (app_id, shard) DO UPDATE SET
        unfinished = unfinished + excluded.unfinished,
        waiting = waiting + excluded.waiting;
END;

-- A replay, or a record of a later generation.
CREATE TRIGGER callbacks_reopened AFTER UPDATE OF status ON callbacks
WHEN NEW.status IN ('queued', 'retrying') AND OLD.status NOT IN ('queued', 'retrying')
BEGIN
    INSERT INTO app_counts (app_id, shard, unfinished, waiting)
    VALUES (NEW.app_id, 0, 1, NEW.next_attempt_at IS NOT NULL)
    ON CONFLICT (app_id, shard) DO UPDATE SET
        unfinished = unfinished + excluded.unfinished,
        waiting = waiting + excluded.waiting;
END;

CREATE TRIGGER callbacks_changed AFTER UPDATE OF status, next_attempt_at ON callbacks
WHEN OLD.status IN ('queued', 'retrying')
    AND (NEW.status NOT IN ('queued', 'retrying')
        OR (NEW.next_attempt_at IS NULL) <> (OLD.next_attempt_at IS NULL))
BEGIN
    UPDATE app_counts SET
        unfinished = unfinished - (NEW.status NOT IN ('queued', 'retrying')),
        waiting = waiting - (OLD.next_attempt_at IS NOT NULL)
            + (NEW.status IN ('queued', 'retrying') AND NEW.next_attempt_at IS NOT NULL)
    WHERE app_id = NEW.app_id AND shard = 0;
END;

CREATE TRIGGER callbacks_deleted AFTER DELETE ON callbacks
WHEN OLD.status IN ('queued', 'retrying')
BEGIN
    UPDATE app_counts SET
        unfinished = unfinished - 1,
        waiting = waiting - (OLD.next_attempt_at IS NOT NULL)
    WHERE app_id = OLD.app_id AND shard = 0;
END;

INSERT INTO app_counts (app_id, shard, unfinished, waiting)
SELECT app_id, 0, count(*), count(next_attempt_at)
FROM callbacks WHERE status IN ('queued', 'retrying') GROUP BY app_id;

-- Dead letters, audits and background work.
ALTER TABLE callbacks ADD COLUMN retention_discarded_at INTEGER;
ALTER TABLE audit_log ADD COLUMN operation TEXT; -- shared by the requests of one action
ALTER TABLE audit_log ADD COLUMN updated_at INTEGER; -- the last of them; NULL: occurred_at
CREATE UNIQUE INDEX audit_log_operation ON audit_log (operation, actor, action, reason)
    WHERE operation IS NOT NULL;
CREATE TABLE leases (
    name  TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
