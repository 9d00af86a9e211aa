-- What each source has read, for `status`; see bridge/domain/source.py.
CREATE TABLE sources (
    daemon TEXT NOT NULL,  -- the daemon's name on a shared store; empty here
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    read_at REAL,
    taken INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    left_alone INTEGER NOT NULL,
    error TEXT,
    error_at REAL,
    is_failing INTEGER NOT NULL,
    note TEXT,
    PRIMARY KEY (daemon, source, path)
) WITHOUT ROWID;
