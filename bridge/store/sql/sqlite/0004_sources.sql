-- What each source has seen, for `status`; see bridge/domain/source.
CREATE TABLE sources (
    daemon TEXT NOT NULL,  -- its name on a shared store; empty here
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
