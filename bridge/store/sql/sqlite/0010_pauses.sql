-- The last pause of each account and endpoint that a person has set; see bridge/domain/pause.
CREATE TABLE pauses (
    what TEXT NOT NULL,  -- account, endpoint
    name TEXT NOT NULL,
    since_at REAL NOT NULL,
    until_at REAL,  -- NULL: until somebody resumes
    before_s REAL NOT NULL,  -- how long the earlier ones lasted together
    PRIMARY KEY (what, name)
) WITHOUT ROWID;
