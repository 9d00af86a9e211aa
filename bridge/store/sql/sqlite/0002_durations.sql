-- What is known of how long tasks take, so that a daemon need not learn it anew. Each row is a few sums (JSON, below
-- 2 KB) into which daemons add what they have seen; see bridge/domain/durations.
CREATE TABLE durations (
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    variant TEXT NOT NULL,
    sums TEXT NOT NULL,
    PRIMARY KEY (account, action, variant)
) WITHOUT ROWID;
