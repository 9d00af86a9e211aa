-- Forms of the status page that were sent, so that none is carried out twice: each holds a value of its own.
CREATE TABLE forms (
    form TEXT PRIMARY KEY,  -- a digest of its fields
    used_at REAL NOT NULL
) WITHOUT ROWID;
