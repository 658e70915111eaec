-- The record: what is known of each call at a glance (calls), and everything that happened in it (entries). The policy sets
-- that calls began with, and which one is current. How far the journals of the control planes have been written here.
--
-- Times are microseconds: since 1970 in *_at_us and since_us, since the call began in the other *_us. NULL: it did not
-- happen, or is not known. A call whose control plane died before it ended keeps outcome NULL: nothing may be concluded
-- from it.

CREATE TABLE calls (
    call_id             UUID NOT NULL PRIMARY KEY,
    epoch               BIGINT NOT NULL,
    session             TEXT,
    started_at_us       BIGINT NOT NULL,
    ended_at_us         BIGINT,
    client              TEXT,
    dialect             TEXT NOT NULL,
    upstream_dialect    TEXT NOT NULL,
    upstream            TEXT NOT NULL,
    route               TEXT NOT NULL,
    model               TEXT NOT NULL,
    upstream_model      TEXT NOT NULL,
    stream              BOOLEAN NOT NULL,
    -- Names of fields that the request lost on its way into its upstream's dialect: JSON lists. NULL: none.
    dropped             TEXT,
    omitted             TEXT,
    revision            TEXT,
    -- A JSON list of names.
    pipeline            TEXT,
    outcome             TEXT,
    reason              TEXT,
    status              INTEGER,
    upstream_status     INTEGER,
    input_tokens        BIGINT,
    cache_read_tokens   BIGINT,
    cache_write_tokens  BIGINT,
    output_tokens       BIGINT,
    thinking_tokens     BIGINT,
    severity            TEXT,
    upstream_first_us   BIGINT,
    client_first_us     BIGINT,
    -- What a call has to know that goes on from this one's response, which the provider keeps: the response's id as the
    -- client saw it, the provider's conversation that the call is part of, whether the client got anything else than the
    -- model gave, and the calls of tools that it never got (JSON).
    response_id         TEXT,
    conversation        TEXT,
    changed             BOOLEAN NOT NULL,
    withheld            TEXT
);

CREATE INDEX calls_newest_first ON calls (started_at_us DESC, call_id DESC);
CREATE INDEX calls_by_response ON calls (response_id) WHERE response_id IS NOT NULL;
CREATE INDEX calls_by_conversation ON calls (conversation) WHERE conversation IS NOT NULL;

CREATE TABLE entries (
    call_id             UUID NOT NULL,
    epoch               BIGINT NOT NULL,
    seq                 BIGINT NOT NULL,
    at_us               BIGINT NOT NULL,
    type                TEXT NOT NULL,
    body                TEXT NOT NULL,
    PRIMARY KEY (call_id, epoch, seq)
);

CREATE TABLE policy_sets (
    -- The hexadecimal SHA-256 of config.
    revision            TEXT NOT NULL PRIMARY KEY,
    -- Canonical JSON: keys sorted, defaults written out. As text: what it hashes to depends on every byte.
    config              TEXT NOT NULL,
    created_at_us       BIGINT NOT NULL,
    -- Within a minute. A set that no call needs any more is deleted after a day.
    last_used_at_us     BIGINT NOT NULL
);

-- One row: the set for the calls that begin, on every control plane that shares the database.
CREATE TABLE current_policies (
    id                  INTEGER NOT NULL PRIMARY KEY CHECK (id = 0),
    revision            TEXT NOT NULL REFERENCES policy_sets (revision),
    source              TEXT NOT NULL CHECK (source IN ('file', 'api')),
    since_us            BIGINT NOT NULL,
    -- The last set that came from a file: one that is the same again does not replace what came through the API since.
    file_revision       TEXT NOT NULL
);

-- Each control plane has a journal of its own, which is written here in order. What of it is here is told in the same
-- transaction.
CREATE TABLE journals (
    journal             UUID NOT NULL PRIMARY KEY,
    -- The last of its batches that is here, and the SHA-256 of those that came with it.
    shipped             BIGINT NOT NULL,
    digest              BYTEA NOT NULL,
    shipped_at          TIMESTAMPTZ NOT NULL
);
