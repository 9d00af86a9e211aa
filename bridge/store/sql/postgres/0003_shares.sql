-- The daemons that work on this store. A fence is never used twice. A lease ends according to this server's clock.
CREATE TABLE members (
    fence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    scopes text NOT NULL,  -- JSON: what the daemon serves, with its number of groups; see bridge/domain/slots.py
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Who holds which share. A share that nobody holds has no row, so a claim is an INSERT. When a member is deleted, its
-- shares are free.
CREATE TABLE shares (
    scope text COLLATE "C" NOT NULL,
    slot smallint NOT NULL,
    fence bigint NOT NULL REFERENCES members ON DELETE CASCADE,
    PRIMARY KEY (scope, slot)
);
CREATE INDEX shares_by_member ON shares (fence);
