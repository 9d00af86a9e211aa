-- The events in the order in which they were committed, for whoever follows them; see bridge/store/event_log.
ALTER TABLE events ADD COLUMN number INTEGER;  -- NULL: from before this migration, or forgotten
ALTER TABLE events ADD COLUMN documented BLOB;  -- the documented bytes; NULL: a delivery has them
ALTER TABLE events ADD COLUMN documented_at TEXT;  -- the endpoint of that delivery
CREATE UNIQUE INDEX events_in_order ON events (number) WHERE number IS NOT NULL;

-- No event up to this number is in the order any more.
CREATE TABLE forgotten (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    number INTEGER NOT NULL
);
