-- What a request lost on its way into its upstream's dialect: names of fields, as JSON lists. NULL: nothing.

ALTER TABLE calls ADD COLUMN dropped TEXT CHECK (json_valid(dropped));
ALTER TABLE calls ADD COLUMN omitted TEXT CHECK (json_valid(omitted));
