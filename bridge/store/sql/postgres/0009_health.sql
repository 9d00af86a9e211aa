-- How the attempts at an endpoint went since its last success; count numbers the events about it.
CREATE TABLE health (
    endpoint text COLLATE "C" PRIMARY KEY,
    failing_since double precision,
    failures integer NOT NULL,
    reason text NOT NULL,
    told_at double precision,
    told_failures integer NOT NULL,
    count integer NOT NULL
);
