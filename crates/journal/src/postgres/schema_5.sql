-- Version 5.

-- What of each recorder's stream is stored, so that the journal knows what it lacks.

CREATE TABLE recorders (
    id         uuid    NOT NULL PRIMARY KEY, -- Of one run of a process.
    accepts    boolean NOT NULL, -- It generates ids.
    started_at bigint  NOT NULL, -- By its own clock, as ended_at.
    seen_at    bigint  NOT NULL, -- By the database's clock: when something of it was last stored.
    ended_at   bigint, -- NULL: it runs, or it has been silent for a short time only.
    closed     boolean NOT NULL DEFAULT false, -- It has ended by itself.
    settled    boolean NOT NULL DEFAULT false, -- It has, and nothing is missing.
    spans      text    NOT NULL DEFAULT '[]' -- `model/stream.rs`: numbers without a gap, and their time.
) WITH (fillfactor = 50); -- Its updates stay within their page (HOT).

-- An id whose callback may be accepted at any time.
CREATE INDEX idempotency_keys_id ON idempotency_keys (request_id);

-- Callbacks whose end was not recorded: status 6, unaccounted. A record that wins over the row's
-- clears both columns.
ALTER TABLE callbacks
    ADD COLUMN unaccounted_from smallint, -- The status before: 0 or 1.
    ADD COLUMN unaccounted_at   bigint;   -- When it was marked.
