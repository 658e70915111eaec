-- What a call has to know that goes on from the response of another one, which the provider keeps: the response's id as
-- the client saw it, the provider's conversation that the call is part of, whether the client got anything else than the
-- model gave, and the calls of tools that it never got (JSON). Of calls before this, nothing is known.

ALTER TABLE calls ADD COLUMN response_id TEXT;
ALTER TABLE calls ADD COLUMN conversation TEXT;
ALTER TABLE calls ADD COLUMN changed INTEGER NOT NULL DEFAULT 0 CHECK (changed IN (0, 1));
ALTER TABLE calls ADD COLUMN withheld TEXT CHECK (json_valid(withheld));

CREATE INDEX calls_by_response ON calls (response_id) WHERE response_id IS NOT NULL;
CREATE INDEX calls_by_conversation ON calls (conversation) WHERE conversation IS NOT NULL;
