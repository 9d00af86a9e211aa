-- What is known of how long tasks take, so that no daemon need learn it anew. Each row is a few sums (JSON, below 2 KB)
-- into which daemons add what they have seen; see bridge/domain/durations.
CREATE TABLE durations (
    account text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    sums text NOT NULL,
    PRIMARY KEY (account, action, variant)
);
