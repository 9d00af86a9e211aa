-- The events in the order in which they were committed, for event streams; see bridge/store/event_log.py.
ALTER TABLE events
    ADD COLUMN number bigint,  -- NULL: stored before this migration, or removed from the log
    ADD COLUMN documented bytea,  -- the documented bytes; NULL: a delivery has them
    ADD COLUMN documented_at text COLLATE "C";  -- the endpoint of that delivery
CREATE SEQUENCE event_numbers OWNED BY events.number;
ALTER TABLE events ALTER COLUMN number SET DEFAULT nextval('event_numbers');
-- Unlike the sequence of an identity column, this one must be granted to users who only have grants on tables. It
-- reveals nothing.
GRANT USAGE ON SEQUENCE event_numbers TO PUBLIC;
CREATE UNIQUE INDEX events_in_order ON events (number) WHERE number IS NOT NULL;

-- The log no longer contains events up to this number.
CREATE TABLE forgotten (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    number bigint NOT NULL
);
