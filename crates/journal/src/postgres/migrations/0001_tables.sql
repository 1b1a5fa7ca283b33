-- Callbacks and their attempts, apart by days of the UUID v7 `request_id`, so that a day past its
-- retention is dropped at once. Times are Unix milliseconds. The partitions are made by the program.
-- status: 0 queued, 1 retrying, 2 delivered, 3 dead, 4 expired, 5 cancelled.

CREATE TABLE callbacks (
    request_id       uuid     NOT NULL,
    -- The rank of the record that won; compared as a tuple.
    generation       bigint   NOT NULL,
    weight           bigint   NOT NULL,
    at               bigint   NOT NULL,
    tie              bigint   NOT NULL,
    -- What that record said.
    next_attempt_at  bigint,
    body_since       bigint,  -- Set where dead_letter is, for its retention.
    accepted_at      bigint   NOT NULL,
    withdrawn_at     bigint,  -- When its caller last asked to withdraw it.
    replay_taken_at  bigint,  -- Set from the moment a replay takes it until that is published.
    status           smallint NOT NULL,
    cancel_requested boolean  NOT NULL DEFAULT false,
    discarded        boolean  NOT NULL DEFAULT false,
    app_id           text     NOT NULL,
    message_type     text     NOT NULL,
    target           text     NOT NULL,
    caller_no        text,
    callee_no        text,
    callback_url     text,
    reason           text,
    waiting_for      text,
    dead_letter      bytea,
    PRIMARY KEY (request_id)
) PARTITION BY RANGE (request_id);

-- No index bears a column that changes while a callback is parked again and again: such updates
-- stay within their page.
CREATE INDEX callbacks_app ON callbacks (app_id, request_id);
CREATE INDEX callbacks_type ON callbacks (message_type, request_id);
CREATE INDEX callbacks_callee ON callbacks (callee_no, request_id) WHERE callee_no IS NOT NULL;
CREATE INDEX callbacks_target ON callbacks (target, request_id);
-- Everything that is rare; what is delivered is not, and the indexes above will do for it.
CREATE INDEX callbacks_status ON callbacks (status, request_id) WHERE status <> 2;
CREATE INDEX callbacks_callee_status ON callbacks (callee_no, status, request_id)
    WHERE status <> 2 AND callee_no IS NOT NULL;
CREATE INDEX callbacks_target_status ON callbacks (target, status, request_id) WHERE status <> 2;
-- Dead letters, which are listed, counted and replayed by all sorts of conditions.
CREATE INDEX callbacks_dead ON callbacks (request_id) WHERE status IN (3, 4);
CREATE INDEX callbacks_dead_app ON callbacks (app_id, request_id) WHERE status IN (3, 4);
CREATE INDEX callbacks_reason ON callbacks (reason, request_id) WHERE reason IS NOT NULL;
CREATE INDEX callbacks_withdrawn ON callbacks (withdrawn_at) WHERE withdrawn_at IS NOT NULL;
CREATE INDEX callbacks_taken ON callbacks (replay_taken_at) WHERE replay_taken_at IS NOT NULL;
CREATE INDEX callbacks_bodies ON callbacks (body_since) WHERE body_since IS NOT NULL;

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

-- Idempotency keys.
CREATE TABLE claims (
    app_id      text    NOT NULL,
    key         text    NOT NULL,
    request_id  uuid    NOT NULL,
    body_hash   bytea   NOT NULL,
    claimed_at  bigint  NOT NULL,
    lease_until bigint  NOT NULL,
    confirmed   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (app_id, key)
);
CREATE INDEX claims_age ON claims (claimed_at);

-- Who did what.
CREATE TABLE audits (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      bigint NOT NULL,
    who     text   NOT NULL,
    action  text   NOT NULL,
    subject text   NOT NULL,
    reason  text   NOT NULL,
    count   bigint NOT NULL
);
CREATE INDEX audits_at ON audits (at, id);
