-- Until when an account is held back on one route, because the provider named a time. Kept across restarts.
CREATE TABLE holds (
    account TEXT NOT NULL,
    route TEXT NOT NULL,  -- the action in the address asked; '@host': all of them, for the host named others a time
    held_until REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, route)
) WITHOUT ROWID;
