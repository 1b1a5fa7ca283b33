-- Version 7.

-- Rollups: what happened in a minute, in all and to one callee, target or app. The writer adds to them in
-- the transaction of each batch; `decisions/0067` says how nothing is counted twice.

CREATE TABLE rollups (
    kind        smallint NOT NULL, -- 0 all, 1 callee, 2 target, 3 app
    name        text     NOT NULL, -- 'other': the rest of the minute; empty with kind 0
    minute      bigint   NOT NULL, -- When it begins.
    shard       smallint NOT NULL, -- As of `app_counts`: no transaction waits for another one's figures.
    accepted    bigint   NOT NULL, -- Callbacks.
    delivered   bigint   NOT NULL,
    failed      bigint   NOT NULL, -- Attempts that did not deliver.
    deferred    bigint   NOT NULL, -- Deferrals.
    dead        bigint   NOT NULL, -- Given up, or expired.
    duration_ms bigint   NOT NULL, -- Of all attempts.
    to_5ms      bigint   NOT NULL, -- Attempts that took up to so long, and longer than the column before.
    to_10ms     bigint   NOT NULL,
    to_25ms     bigint   NOT NULL,
    to_50ms     bigint   NOT NULL,
    to_100ms    bigint   NOT NULL,
    to_250ms    bigint   NOT NULL,
    to_500ms    bigint   NOT NULL,
    to_1s       bigint   NOT NULL,
    to_2500ms   bigint   NOT NULL,
    to_5s       bigint   NOT NULL,
    to_15s      bigint   NOT NULL,
    to_60s      bigint   NOT NULL,
    longer      bigint   NOT NULL,
    PRIMARY KEY (kind, name, minute, shard)
) WITH (fillfactor = 50); -- Its updates stay within their page (HOT).

-- How many names a minute has, and what is past its retention.
CREATE INDEX rollups_minute ON rollups (minute, kind);

-- What the last upsert has replaced, for its own RETURNING: time * 4 + 0 (nothing: another record has
-- won), 1 (what counted for nothing), 2 (a delivery) or 3 (an end without one), of the same generation.
-- NULL: the row was inserted. Read by nobody else; `sqlite/write.rs` reads the row before.
ALTER TABLE callbacks ADD COLUMN replaced bigint;
