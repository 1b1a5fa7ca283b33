-- Version 4.

-- First, so that no weaker lock has to be raised while others write.
LOCK TABLE callbacks IN ACCESS EXCLUSIVE MODE;

-- How many callbacks of each app are unfinished, kept by transition in the transaction of
-- each change; `decisions/0024` says why by triggers. The sum over all shards of an app counts: a
-- single row may be negative.

CREATE TABLE app_counts (
    app_id     text     NOT NULL,
    shard      smallint NOT NULL, -- Transactions that run at once have one each: none waits.
    unfinished bigint   NOT NULL, -- Status queued or retrying.
    waiting    bigint   NOT NULL, -- Of these, with a recorded time of the next attempt.
    PRIMARY KEY (app_id, shard)
) WITH (fillfactor = 50); -- Its updates stay within their page (HOT).

-- The shard of this transaction: the first that no other one has. A transaction never waits for a
-- count of another one, unless more than 32 run at once; then it waits for one of them.
CREATE FUNCTION app_counts_shard() RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    lock_class CONSTANT integer := 1382179171; -- 'Rbac'
    found smallint;
BEGIN
    found := nullif(current_setting('ringback.shard', true), '')::smallint;
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    FOR candidate IN 0..31 LOOP
        IF pg_try_advisory_xact_lock(lock_class, candidate) THEN
            found := candidate;
            EXIT;
        END IF;
    END LOOP;
    IF found IS NULL THEN
        found := pg_backend_pid() % 32;
        PERFORM pg_advisory_xact_lock(lock_class, found);
    END IF;
    PERFORM set_config('ringback.shard', found::text, true);
    RETURN found;
END $$;

CREATE FUNCTION count_callbacks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO app_counts AS sums (app_id, shard, unfinished, waiting)
        SELECT app_id, app_counts_shard(), count(*), count(next_attempt_at)
        FROM new_rows WHERE status IN (0, 1) GROUP BY app_id
        ON CONFLICT (app_id, shard) DO UPDATE SET
            unfinished = sums.unfinished + excluded.unfinished,
            waiting = sums.waiting + excluded.waiting;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO app_counts AS sums (app_id, shard, unfinished, waiting)
        SELECT app_id, app_counts_shard(), sum(sign), sum(later)
        FROM (
            SELECT app_id, 1 AS sign, (next_attempt_at IS NOT NULL)::integer AS later
            FROM new_rows WHERE status IN (0, 1)
            UNION ALL
            SELECT app_id, -1, -(next_attempt_at IS NOT NULL)::integer
            FROM old_rows WHERE status IN (0, 1)
        ) AS changed
        GROUP BY app_id
        HAVING sum(sign) <> 0 OR sum(later) <> 0
        ON CONFLICT (app_id, shard) DO UPDATE SET
            unfinished = sums.unfinished + excluded.unfinished,
            waiting = sums.waiting + excluded.waiting;
    ELSE
        INSERT INTO app_counts AS sums (app_id, shard, unfinished, waiting)
        SELECT app_id, app_counts_shard(), -count(*), -count(next_attempt_at)
        FROM old_rows WHERE status IN (0, 1) GROUP BY app_id
        ON CONFLICT (app_id, shard) DO UPDATE SET
            unfinished = sums.unfinished + excluded.unfinished,
            waiting = sums.waiting + excluded.waiting;
    END IF;
    RETURN NULL;
END $$;

-- A transition table takes one kind of change, so there are three triggers. They hold back writers
-- until the transaction ends, so that the first figures below are exact.
CREATE TRIGGER callbacks_inserted AFTER INSERT ON callbacks
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_callbacks();
CREATE TRIGGER callbacks_updated AFTER UPDATE ON callbacks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_callbacks();
CREATE TRIGGER callbacks_deleted AFTER DELETE ON callbacks
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_callbacks();

INSERT INTO app_counts (app_id, shard, unfinished, waiting)
SELECT app_id, 0, count(*), count(next_attempt_at)
FROM callbacks WHERE status IN (0, 1) GROUP BY app_id;

-- Dead letters, audits and background work.

-- With `discarded`: when it was discarded because of its age; NULL: an operator discarded it.
ALTER TABLE callbacks ADD COLUMN retention_discarded_at bigint;

ALTER TABLE audit_log
    ADD COLUMN operation  text,   -- Set if the action may consist of several requests, which share the row.
    ADD COLUMN updated_at bigint; -- The last of them. NULL: occurred_at.
CREATE UNIQUE INDEX audit_log_operation ON audit_log (operation, actor, action, reason)
    WHERE operation IS NOT NULL;

-- Background work that one process does at a time: a few rows.
CREATE TABLE leases (
    name  text   NOT NULL PRIMARY KEY,
    owner text   NOT NULL,
    until bigint NOT NULL
);
