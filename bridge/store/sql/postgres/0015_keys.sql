-- Random keys of this store, made once, that secrets in addresses are derived from: callback addresses, signed links.
CREATE TABLE keys (
    purpose text COLLATE "C" PRIMARY KEY,  -- see bridge/domain/store_key
    key bytea NOT NULL,
    created_at double precision NOT NULL
);
