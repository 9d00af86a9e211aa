-- What each daemon's sources have read, for `status`; see bridge/domain/source.py.
CREATE TABLE sources (
    daemon text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    read_at double precision,
    taken bigint NOT NULL,
    rejected bigint NOT NULL,
    left_alone integer NOT NULL,
    error text,
    error_at double precision,
    is_failing boolean NOT NULL,
    note text,
    PRIMARY KEY (daemon, source, path)
) WITH (fillfactor = 50);
