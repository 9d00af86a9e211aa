-- What daemons have learned about how long tasks take. Each row has a few sums (JSON, less than 2 KB) to which daemons
-- add what they observe; see bridge/domain/durations.
CREATE TABLE durations (
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    variant TEXT NOT NULL,
    sums TEXT NOT NULL,
    PRIMARY KEY (account, action, variant)
) WITHOUT ROWID;
