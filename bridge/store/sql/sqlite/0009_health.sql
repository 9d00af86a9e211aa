-- The failed attempts to deliver to an endpoint since its last success. `count` numbers the events about the endpoint.
CREATE TABLE health (
    endpoint TEXT PRIMARY KEY,
    failing_since REAL,
    failures INTEGER NOT NULL,
    reason TEXT NOT NULL,
    told_at REAL,
    told_failures INTEGER NOT NULL,
    count INTEGER NOT NULL
) WITHOUT ROWID;
