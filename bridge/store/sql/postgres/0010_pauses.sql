-- The last pause of each account and endpoint that a person has set; see bridge/domain/pause.
CREATE TABLE pauses (
    what text COLLATE "C" NOT NULL,  -- account, endpoint
    name text COLLATE "C" NOT NULL,
    since_at double precision NOT NULL,
    until_at double precision,  -- NULL: until somebody resumes
    before_s double precision NOT NULL,  -- how long the earlier ones lasted together
    PRIMARY KEY (what, name)
);
