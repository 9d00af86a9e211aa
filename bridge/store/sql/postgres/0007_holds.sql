-- Until when an account is held back on one route, because the provider named a time. Kept across restarts.
CREATE TABLE holds (
    account text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,  -- the action in the address asked; '@host': all of them, for the host named others a time
    held_until double precision NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (account, route)
);
