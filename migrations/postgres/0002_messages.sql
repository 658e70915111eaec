-- What a call has in common with others is kept once: messages by their hashes, histories as chains of them. With it,
-- what is found by words, sessions, and what may be forgotten together.
--
-- A period is a day or a part of it: its days since 1970, times 1000, and the number of the part. Nothing refers to
-- messages of another period than its own, so that all of a period can be forgotten without looking at the others.

-- A message, or a list of system blocks or tools. body: JSON text, or a zstd frame of it.
CREATE TABLE messages (
    period              BIGINT NOT NULL,
    -- The SHA-256 of the JSON text.
    hash                BYTEA NOT NULL CHECK (length(hash) = 32),
    body                BYTEA NOT NULL,
    PRIMARY KEY (period, hash)
);
ALTER TABLE messages ALTER COLUMN body SET STORAGE EXTERNAL;

-- A history: the one before it, and a message.
CREATE TABLE histories (
    period              BIGINT NOT NULL,
    -- The SHA-256 of the hash of the history before, 32 times zero if there is none, and that of the message.
    hash                BYTEA NOT NULL CHECK (length(hash) = 32),
    parent              BYTEA CHECK (length(parent) = 32),
    message             BYTEA NOT NULL CHECK (length(message) = 32),
    -- How many messages it has.
    length              BIGINT NOT NULL,
    PRIMARY KEY (period, hash)
);

-- Bodies as above.
ALTER TABLE entries ALTER COLUMN body TYPE BYTEA USING convert_to(body, 'UTF8');
ALTER TABLE entries ALTER COLUMN body SET STORAGE EXTERNAL;

-- What was said in a call, piece by piece as it was written. Of calls before this, nothing is found.
CREATE TABLE texts (
    call_id             UUID NOT NULL,
    epoch               BIGINT NOT NULL,
    -- The first entry that it is from.
    seq                 BIGINT NOT NULL,
    words               TSVECTOR NOT NULL,
    PRIMARY KEY (call_id, epoch, seq)
);
CREATE INDEX texts_by_words ON texts USING GIN (words);

-- The words of a text; of one with more of them than Postgres keeps together, those at its beginning.
CREATE FUNCTION words_of(said TEXT) RETURNS TSVECTOR LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN to_tsvector('simple', said);
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN to_tsvector('simple', left(said, 32768));
END $$;

ALTER TABLE calls ADD COLUMN period BIGINT NOT NULL DEFAULT 0;
-- The policies that did or noted something, as a JSON list. NULL: none, or from before this.
ALTER TABLE calls ADD COLUMN acted TEXT;
-- The client's marker; without one, the call itself.
ALTER TABLE calls ADD COLUMN session_id TEXT NOT NULL DEFAULT '';
UPDATE calls SET
    period = GREATEST(started_at_us, 0) / 86400000000 * 1000,
    session_id = COALESCE(session, call_id::text);
CREATE INDEX calls_by_period ON calls (period);
CREATE INDEX calls_by_session ON calls (session_id, started_at_us, call_id);
CREATE INDEX calls_acted_on ON calls (started_at_us DESC, call_id DESC) WHERE acted IS NOT NULL;
CREATE INDEX calls_with_a_severity ON calls (started_at_us DESC, call_id DESC) WHERE severity IS NOT NULL;

CREATE TABLE sessions (
    id                  TEXT NOT NULL PRIMARY KEY,
    -- When its last call began.
    last_at_us          BIGINT NOT NULL
);
INSERT INTO sessions (id, last_at_us) SELECT session_id, MAX(started_at_us) FROM calls GROUP BY session_id;
CREATE INDEX sessions_last_first ON sessions (last_at_us DESC, id DESC);

-- About how many bytes were written for a period, by each control plane's journal: what a table takes on disk does not
-- fall with what is deleted from it.
CREATE TABLE volumes (
    period              BIGINT NOT NULL,
    writer              UUID NOT NULL,
    bytes               BIGINT NOT NULL,
    PRIMARY KEY (period, writer)
);
