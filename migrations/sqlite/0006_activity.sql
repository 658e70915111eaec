-- What was written of calls, in the order in which it became durable, whichever control plane wrote it: for those who
-- watch. Only the latest is kept.

CREATE TABLE activity (
    number              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    call_id             BLOB NOT NULL CHECK (length(call_id) = 16),
    epoch               INTEGER NOT NULL,
    -- The first of the entries and the last; -1: that the call ended and nobody told how.
    first               INTEGER NOT NULL,
    last                INTEGER NOT NULL,
    UNIQUE (call_id, epoch, first)
) STRICT;
