-- What a call has in common with others is kept once: messages by their hashes, histories as chains of them. With it,
-- what is found by words, sessions, and what may be forgotten together.
--
-- A period is a day or a part of it: its days since 1970, times 1000, and the number of the part. Nothing refers to
-- messages of another period than its own, so that all of a period can be forgotten without looking at the others.

-- A message, or a list of system blocks or tools. body: JSON text, or a zstd frame of it.
CREATE TABLE messages (
    period              INTEGER NOT NULL,
    -- The SHA-256 of the JSON text.
    hash                BLOB NOT NULL CHECK (length(hash) = 32),
    body                BLOB NOT NULL,
    PRIMARY KEY (period, hash)
) STRICT;

-- A history: the one before it, and a message.
CREATE TABLE histories (
    period              INTEGER NOT NULL,
    -- The SHA-256 of the hash of the history before, 32 times zero if there is none, and that of the message.
    hash                BLOB NOT NULL CHECK (length(hash) = 32),
    parent              BLOB CHECK (length(parent) = 32),
    message             BLOB NOT NULL CHECK (length(message) = 32),
    -- How many messages it has.
    length              INTEGER NOT NULL,
    PRIMARY KEY (period, hash)
) STRICT, WITHOUT ROWID;

-- Bodies as above. Rows are of the size of a page at most, where one with a key of its own would spill over.
ALTER TABLE entries RENAME TO entries_of_text;
CREATE TABLE entries (
    call_id             BLOB NOT NULL CHECK (length(call_id) = 16),
    epoch               INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    at_us               INTEGER NOT NULL,
    type                TEXT NOT NULL,
    body                BLOB NOT NULL,
    PRIMARY KEY (call_id, epoch, seq)
) STRICT;
INSERT INTO entries (call_id, epoch, seq, at_us, type, body)
    SELECT call_id, epoch, seq, at_us, type, CAST(body AS BLOB) FROM entries_of_text;
DROP TABLE entries_of_text;

-- What was said in a call, piece by piece as it was written; the words themselves are only in the index. Of calls before
-- this, nothing is found.
CREATE TABLE texts (
    id                  INTEGER NOT NULL PRIMARY KEY,
    call_id             BLOB NOT NULL CHECK (length(call_id) = 16),
    epoch               INTEGER NOT NULL,
    -- The first entry that it is from.
    seq                 INTEGER NOT NULL,
    UNIQUE (call_id, epoch, seq)
) STRICT;
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 0');

ALTER TABLE calls ADD COLUMN period INTEGER NOT NULL DEFAULT 0;
-- The policies that did or noted something, as a JSON list. NULL: none, or from before this.
ALTER TABLE calls ADD COLUMN acted TEXT CHECK (json_valid(acted));
-- The client's marker; without one, the call itself.
ALTER TABLE calls ADD COLUMN session_id TEXT NOT NULL DEFAULT '';
UPDATE calls SET
    period = MAX(started_at_us, 0) / 86400000000 * 1000,
    session_id = COALESCE(session, lower(
        substr(hex(call_id), 1, 8) || '-' || substr(hex(call_id), 9, 4) || '-' || substr(hex(call_id), 13, 4)
        || '-' || substr(hex(call_id), 17, 4) || '-' || substr(hex(call_id), 21)));
CREATE INDEX calls_by_period ON calls (period);
CREATE INDEX calls_by_session ON calls (session_id, started_at_us, call_id);
CREATE INDEX calls_acted_on ON calls (started_at_us DESC, call_id DESC) WHERE acted IS NOT NULL;
CREATE INDEX calls_with_a_severity ON calls (started_at_us DESC, call_id DESC) WHERE severity IS NOT NULL;

CREATE TABLE sessions (
    id                  TEXT NOT NULL PRIMARY KEY,
    -- When its last call began.
    last_at_us          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sessions (id, last_at_us) SELECT session_id, MAX(started_at_us) FROM calls GROUP BY session_id;
CREATE INDEX sessions_last_first ON sessions (last_at_us DESC, id DESC);
