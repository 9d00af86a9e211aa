-- What daemons have learned about how long tasks take. Each row has a few sums (JSON, less than 2 KB) to which daemons
-- add what they observe; see bridge/domain/durations.
CREATE TABLE durations (
    account text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    sums text NOT NULL,
    PRIMARY KEY (account, action, variant)
);
