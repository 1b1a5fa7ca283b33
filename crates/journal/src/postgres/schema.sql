-- Callbacks and their attempts, partitioned by the day within the UUID v7 `request_id`, so that a day
-- past its retention is dropped at once. Times are Unix milliseconds. The program creates the
-- partitions. `sqlite/schema.rs` has the same tables and columns.
-- status: 0 queued, 1 retrying, 2 delivered, 3 dead, 4 expired, 5 cancelled.

CREATE TABLE callbacks (
    request_id          uuid     NOT NULL,
    -- The merge key of the record that won; compared as a tuple.
    generation          bigint   NOT NULL,
    progress            bigint   NOT NULL,
    updated_at          bigint   NOT NULL,
    tiebreak            bigint   NOT NULL,
    -- What that record said.
    next_attempt_at     bigint,
    dead_letter_since   bigint,  -- Set where dead_letter is, for its retention; not during a replay.
    accepted_at         bigint   NOT NULL,
    cancel_requested_at bigint,  -- The last request to cancel, whether it took effect at once or not.
    replay_taken_at     bigint,  -- Set while a replay is taken and not yet confirmed.
    status              smallint NOT NULL,
    cancel_requested    boolean  NOT NULL DEFAULT false, -- While it may have been in flight.
    discarded           boolean  NOT NULL DEFAULT false,
    app_id              text     NOT NULL,
    message_type        text     NOT NULL,
    target              text     NOT NULL,
    caller_no           text,
    callee_no           text,
    callback_url        text,
    reason              text,
    deferred_reason     text,
    dead_letter         bytea,
    PRIMARY KEY (request_id)
) PARTITION BY RANGE (request_id);

-- No index has a column that changes while a callback is deferred again and again: such updates stay
-- within their page (HOT).
CREATE INDEX callbacks_app ON callbacks (app_id, request_id);
CREATE INDEX callbacks_type ON callbacks (message_type, request_id);
CREATE INDEX callbacks_callee ON callbacks (callee_no, request_id) WHERE callee_no IS NOT NULL;
CREATE INDEX callbacks_target ON callbacks (target, request_id);
-- Everything but delivered callbacks, which are most of all and served by the indexes above.
CREATE INDEX callbacks_status ON callbacks (status, request_id) WHERE status <> 2;
CREATE INDEX callbacks_callee_status ON callbacks (callee_no, status, request_id)
    WHERE status <> 2 AND callee_no IS NOT NULL;
CREATE INDEX callbacks_target_status ON callbacks (target, status, request_id) WHERE status <> 2;
-- Dead letters, which are listed, counted and replayed by any condition.
CREATE INDEX callbacks_dead ON callbacks (request_id) WHERE status IN (3, 4);
CREATE INDEX callbacks_dead_app ON callbacks (app_id, request_id) WHERE status IN (3, 4);
CREATE INDEX callbacks_reason ON callbacks (reason, request_id) WHERE reason IS NOT NULL;
CREATE INDEX callbacks_cancel_requested ON callbacks (cancel_requested_at)
    WHERE cancel_requested_at IS NOT NULL;
CREATE INDEX callbacks_replay_taken ON callbacks (replay_taken_at)
    WHERE replay_taken_at IS NOT NULL;
CREATE INDEX callbacks_dead_letter ON callbacks (dead_letter_since)
    WHERE dead_letter_since IS NOT NULL;

CREATE TABLE attempts (
    request_id  uuid    NOT NULL,
    generation  bigint  NOT NULL,
    number      bigint  NOT NULL,
    run         bigint  NOT NULL,
    started_at  bigint  NOT NULL,
    duration_ms bigint  NOT NULL,
    http_status integer,
    outcome     text    NOT NULL,
    detail      text,
    PRIMARY KEY (request_id, generation, number, run)
) PARTITION BY RANGE (request_id);

CREATE TABLE idempotency_keys (
    app_id      text    NOT NULL,
    key         text    NOT NULL,
    request_id  uuid    NOT NULL,
    body_hash   bytea   NOT NULL,
    claimed_at  bigint  NOT NULL,
    lease_until bigint  NOT NULL,
    confirmed   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (app_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (claimed_at);

CREATE TABLE audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at bigint NOT NULL,
    actor       text   NOT NULL,
    action      text   NOT NULL,
    subject     text   NOT NULL,
    reason      text   NOT NULL,
    count       bigint NOT NULL
);
CREATE INDEX audit_log_age ON audit_log (occurred_at, id);

-- Paused callees and targets: a few rows, read by every dispatcher once a second.
CREATE TABLE pauses (
    kind      text   NOT NULL, -- callee or target
    name      text   NOT NULL,
    paused_by text   NOT NULL,
    paused_at bigint NOT NULL,
    reason    text   NOT NULL,
    PRIMARY KEY (kind, name)
);
