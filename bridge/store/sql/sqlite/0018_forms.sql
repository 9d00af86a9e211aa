-- Forms of the status page that were sent, so that each takes effect only once. Every form contains a unique value.
CREATE TABLE forms (
    form TEXT PRIMARY KEY,  -- a digest of the form's fields
    used_at REAL NOT NULL
) WITHOUT ROWID;
