-- Random keys of this store. The secrets in callback addresses and signed links are derived from them.
CREATE TABLE keys (
    purpose TEXT PRIMARY KEY,  -- see bridge/domain/store_key.py
    key BLOB NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;
