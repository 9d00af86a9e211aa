-- Who works on this store. The fence is never the same twice; a lease ends by this server's clock.
CREATE TABLE members (
    fence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    scopes text NOT NULL,  -- JSON: what it serves, and into how many groups it would cut that; see domain.shares
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Who holds what. What nobody holds has no row, so claiming is inserting, and a member's end frees all it held.
CREATE TABLE shares (
    scope text COLLATE "C" NOT NULL,
    slot smallint NOT NULL,
    fence bigint NOT NULL REFERENCES members ON DELETE CASCADE,
    PRIMARY KEY (scope, slot)
);
CREATE INDEX shares_by_member ON shares (fence);
