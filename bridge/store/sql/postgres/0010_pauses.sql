-- The last pause of each account and endpoint by a person; see bridge/domain/pause.py.
CREATE TABLE pauses (
    what text COLLATE "C" NOT NULL,  -- account, endpoint
    name text COLLATE "C" NOT NULL,
    since_at double precision NOT NULL,
    until_at double precision,  -- NULL: until somebody resumes
    before_s double precision NOT NULL,  -- how long all earlier pauses lasted
    PRIMARY KEY (what, name)
);
