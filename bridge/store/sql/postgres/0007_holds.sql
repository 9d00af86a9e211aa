-- Until when an account waits on one route, because the provider asked for it. It also applies after a restart.
CREATE TABLE holds (
    account text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,  -- the action in the address; '@host': all of them (others at the host wait)
    held_until double precision NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (account, route)
);
