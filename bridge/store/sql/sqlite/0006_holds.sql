-- Until when an account waits on one route, because the provider asked for it. It also applies after a restart.
CREATE TABLE holds (
    account TEXT NOT NULL,
    route TEXT NOT NULL,  -- the action in the address; '@host': all of them (others at the host wait)
    held_until REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, route)
) WITHOUT ROWID;
