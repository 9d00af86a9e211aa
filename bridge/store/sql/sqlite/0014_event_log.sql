-- The events in the order in which they were committed, for event streams; see bridge/store/event_log.py.
ALTER TABLE events ADD COLUMN number INTEGER;  -- NULL: stored before this migration, or removed from the log
ALTER TABLE events ADD COLUMN documented BLOB;  -- the documented bytes; NULL: a delivery has them
ALTER TABLE events ADD COLUMN documented_at TEXT;  -- the endpoint of that delivery
CREATE UNIQUE INDEX events_in_order ON events (number) WHERE number IS NOT NULL;

-- The log no longer contains events up to this number.
CREATE TABLE forgotten (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    number INTEGER NOT NULL
);
