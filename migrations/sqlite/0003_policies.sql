-- The policy sets that calls began with, and which one is current. Times are microseconds since 1970.

CREATE TABLE policy_sets (
    -- The hexadecimal SHA-256 of config.
    revision            TEXT NOT NULL PRIMARY KEY,
    -- Canonical JSON: keys sorted, defaults written out.
    config              TEXT NOT NULL CHECK (json_valid(config)),
    created_at_us       INTEGER NOT NULL,
    -- Within a minute. A set that no call needs any more is deleted after a day.
    last_used_at_us     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the set for the calls that begin, on every control plane that shares the database.
CREATE TABLE current_policies (
    id                  INTEGER NOT NULL PRIMARY KEY CHECK (id = 0),
    revision            TEXT NOT NULL REFERENCES policy_sets (revision),
    source              TEXT NOT NULL CHECK (source IN ('file', 'api')),
    since_us            INTEGER NOT NULL,
    -- The last set that came from a file: one that is the same again does not replace what came through the API since.
    file_revision       TEXT NOT NULL
) STRICT;
