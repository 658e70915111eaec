-- The index of words is written in small pieces, one for each batch, which are merged: eight at a time instead of four, for
-- less writing.

INSERT INTO words (words, rank) VALUES ('automerge', 8);
