-- Random keys of this store. The secrets in callback addresses and signed links are derived from them.
CREATE TABLE keys (
    purpose text COLLATE "C" PRIMARY KEY,  -- see bridge/domain/store_key.py
    key bytea NOT NULL,
    created_at double precision NOT NULL
);
