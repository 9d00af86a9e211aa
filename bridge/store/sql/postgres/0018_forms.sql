-- Forms of the status page that were sent, so that none is carried out twice: each holds a value of its own.
CREATE TABLE forms (
    form text COLLATE "C" PRIMARY KEY,  -- a digest of its fields
    used_at double precision NOT NULL
);
