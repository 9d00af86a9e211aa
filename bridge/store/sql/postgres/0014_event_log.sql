-- The events in the order in which they were committed, for whoever follows them; see bridge/store/event_log.
ALTER TABLE events
    ADD COLUMN number bigint,  -- NULL: from before this migration, or forgotten
    ADD COLUMN documented bytea,  -- the documented bytes; NULL: a delivery has them
    ADD COLUMN documented_at text COLLATE "C";  -- the endpoint of that delivery
CREATE SEQUENCE event_numbers OWNED BY events.number;
ALTER TABLE events ALTER COLUMN number SET DEFAULT nextval('event_numbers');
-- Unlike an identity's, its use must be granted to users who have grants on tables alone. It reveals nothing.
GRANT USAGE ON SEQUENCE event_numbers TO PUBLIC;
CREATE UNIQUE INDEX events_in_order ON events (number) WHERE number IS NOT NULL;

-- No event up to this number is in the order any more.
CREATE TABLE forgotten (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    number bigint NOT NULL
);
