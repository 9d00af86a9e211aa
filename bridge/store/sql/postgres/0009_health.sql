-- The failed attempts to deliver to an endpoint since its last success. `count` numbers the events about the endpoint.
CREATE TABLE health (
    endpoint text COLLATE "C" PRIMARY KEY,
    failing_since double precision,
    failures integer NOT NULL,
    reason text NOT NULL,
    told_at double precision,
    told_failures integer NOT NULL,
    count integer NOT NULL
);
