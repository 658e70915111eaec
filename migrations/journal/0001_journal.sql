-- What a control plane has put on record and Postgres does not have yet.

CREATE TABLE journal (
    -- A journal is known by this in Postgres.
    id                  BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;

CREATE TABLE batches (
    -- In the order in which they were added; no id is used again.
    id                  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- When: microseconds since 1970.
    at_us               INTEGER NOT NULL,
    -- How many entries, and how many bytes.
    entries             INTEGER NOT NULL,
    bytes               INTEGER NOT NULL,
    -- JSON in a zstd frame with a checksum.
    packed              BLOB NOT NULL
) STRICT;
