-- The last pause of each account and endpoint by a person; see bridge/domain/pause.py.
CREATE TABLE pauses (
    what TEXT NOT NULL,  -- account, endpoint
    name TEXT NOT NULL,
    since_at REAL NOT NULL,
    until_at REAL,  -- NULL: until somebody resumes
    before_s REAL NOT NULL,  -- how long all earlier pauses lasted
    PRIMARY KEY (what, name)
) WITHOUT ROWID;
