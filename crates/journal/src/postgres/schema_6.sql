-- Version 6.

-- The cause of a failed attempt in words, and what the target answered.
ALTER TABLE attempts
    ADD COLUMN cause       text,
    ADD COLUMN answer_type text, -- Its Content-Type.
    ADD COLUMN answer      text; -- The beginning of its body, masked.

-- `dead_letter` holds the queue message of a callback that waits after a failure, a delay or a
-- deferral too, and of a delivered one while `journal.keep_delivered` holds it. It keeps its name:
-- processes of 0.2.0 that still run write to it. `dead_letter_since` is set while the message is
-- that of a dead letter or of a delivered callback.
ALTER TABLE callbacks
    ADD COLUMN hold bigint NOT NULL DEFAULT 0; -- How often it was retried now in this generation.

-- Retries that were taken, and are not confirmed as published: a few rows.
CREATE TABLE taken_retries (
    request_id uuid   NOT NULL PRIMARY KEY,
    generation bigint NOT NULL,
    hold       bigint NOT NULL,
    taken_at   bigint NOT NULL
);
CREATE INDEX taken_retries_age ON taken_retries (taken_at);
