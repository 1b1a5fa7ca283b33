-- Who is not to be called for now. Read by every dispatcher once a second; a handful of rows.

CREATE TABLE pauses (
    kind   text   NOT NULL, -- callee or target
    name   text   NOT NULL,
    who    text   NOT NULL,
    at     bigint NOT NULL,
    reason text   NOT NULL,
    PRIMARY KEY (kind, name)
);
