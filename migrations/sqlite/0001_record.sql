-- The record: what is known of each call at a glance (calls), and everything that happened in it (entries).
--
-- Times are microseconds: since 1970 in *_at_us, since the call began in the other *_us. NULL: it did not happen, or is
-- not known. A call whose control plane died before it ended keeps outcome NULL: nothing may be concluded from it.

CREATE TABLE calls (
    call_id             BLOB NOT NULL PRIMARY KEY CHECK (length(call_id) = 16),
    epoch               INTEGER NOT NULL,
    session             TEXT,
    started_at_us       INTEGER NOT NULL,
    ended_at_us         INTEGER,
    client              TEXT,
    dialect             TEXT NOT NULL,
    upstream_dialect    TEXT NOT NULL,
    upstream            TEXT NOT NULL,
    route               TEXT NOT NULL,
    model               TEXT NOT NULL,
    upstream_model      TEXT NOT NULL,
    stream              INTEGER NOT NULL CHECK (stream IN (0, 1)),
    revision            TEXT,
    pipeline            TEXT CHECK (json_valid(pipeline)),
    outcome             TEXT,
    reason              TEXT,
    status              INTEGER,
    upstream_status     INTEGER,
    input_tokens        INTEGER,
    cache_read_tokens   INTEGER,
    cache_write_tokens  INTEGER,
    output_tokens       INTEGER,
    thinking_tokens     INTEGER,
    severity            TEXT,
    upstream_first_us   INTEGER,
    client_first_us     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX calls_newest_first ON calls (started_at_us DESC, call_id DESC);

CREATE TABLE entries (
    call_id             BLOB NOT NULL CHECK (length(call_id) = 16),
    epoch               INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    at_us               INTEGER NOT NULL,
    type                TEXT NOT NULL,
    body                TEXT NOT NULL,
    PRIMARY KEY (call_id, epoch, seq)
) STRICT, WITHOUT ROWID;
