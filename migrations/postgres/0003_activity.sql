-- What was written of calls, whichever control plane wrote it: for those who watch. Only the latest is kept.
--
-- Transactions end in another order than they begin. What is read in the order of (transaction, number), and no further
-- than to the first transaction that may still write here, is read once and left out nowhere. Whoever writes here does so
-- first of all.

CREATE TABLE activity (
    transaction         BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    number              BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    call_id             UUID NOT NULL,
    epoch               BIGINT NOT NULL,
    -- The first of the entries and the last; -1: that the call ended and nobody told how.
    first               BIGINT NOT NULL,
    last                BIGINT NOT NULL,
    PRIMARY KEY (transaction, number),
    UNIQUE (call_id, epoch, first)
);
