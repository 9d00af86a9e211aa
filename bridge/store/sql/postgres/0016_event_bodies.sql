-- The documented bytes of events that no delivery has, in the order of the log.
CREATE TABLE event_bodies (
    number bigint PRIMARY KEY,
    body bytea NOT NULL
);
INSERT INTO event_bodies SELECT number, documented FROM events WHERE number IS NOT NULL AND documented IS NOT NULL;
ALTER TABLE events DROP COLUMN documented;
