-- Random keys of this store, made once, that secrets in addresses are derived from: callback addresses, signed links.
CREATE TABLE keys (
    purpose TEXT PRIMARY KEY,  -- see bridge/domain/store_key
    key BLOB NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;
