-- bounds: The last number that retention has removed from the log, and the newest number.
SELECT coalesce((SELECT number FROM forgotten), 0),
    coalesce((SELECT max(number) FROM events WHERE number IS NOT NULL), 0)

-- from_log: Part of the following: the log between two numbers.
FROM events LEFT JOIN event_bodies USING (number) LEFT JOIN deliveries
    ON deliveries.event_id = events.event_id AND endpoint = documented_at AND deliveries.target = ''
WHERE events.number > :after AND events.number <= :upto ORDER BY events.number LIMIT :limit

-- sizes: The lengths of the documented bytes.
SELECT events.number, coalesce(length(event_bodies.body), length(deliveries.body), 0) {from_log}

-- logged: The events with their documented bytes.
SELECT events.number, topic, events.account, events.subject, events.event_id,
    coalesce(event_bodies.body, deliveries.body) {from_log}

-- numbers: The existing numbers.
SELECT number FROM events WHERE number > :after ORDER BY number LIMIT :limit

-- writers: Which transactions may still commit a missing number. Also in a snapshot, PostgreSQL shows the locks that
-- are held now.
{sqlite:SELECT '' WHERE false}
{postgres:SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE relation = 'events'::regclass AND mode = 'RowExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())}

-- oldest: The oldest events of the log.
SELECT number, event_id, occurred_at FROM events WHERE number > :after AND number < :upto
ORDER BY number LIMIT :limit

-- delete_events: Delete these events, except those that a delivery needs.
DELETE FROM events WHERE event_id IN (:event_ids[])
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.event_id)

-- forget_events: Remove events from the log.
UPDATE events SET number = NULL, documented_at = NULL WHERE event_id IN (:event_ids[])

-- forget_bodies: Delete the bytes of events that were removed from the log.
DELETE FROM event_bodies WHERE number <= :number

-- note_forgotten: Store up to which number events were removed from the log.
INSERT INTO forgotten (only_row, number) VALUES (1, :number)
ON CONFLICT (only_row) DO UPDATE SET number = excluded.number

-- take_bodies: Copy the bodies of these deliveries into the log, for the events whose bytes are only in a delivery.
INSERT INTO event_bodies (number, body)
SELECT number, deliveries.body FROM deliveries JOIN events USING (event_id)
WHERE delivery_id IN (:delivery_ids[]) AND endpoint = documented_at AND target = '' AND number IS NOT NULL
ON CONFLICT DO NOTHING

-- marks: The revision, the last fact, the last delivery, and when the last delivery was settled.
SELECT (SELECT revision FROM {sqlite:store}{postgres:genbridge_store}),
    coalesce((SELECT max(history_id) FROM history), 0), coalesce((SELECT max(delivery_id) FROM deliveries), 0),
    {sqlite:max}{postgres:greatest}(
        coalesce((SELECT max(settled_at) FROM deliveries WHERE state = 'accepted' AND state <> 'waiting'), 0),
        coalesce((SELECT max(settled_at) FROM deliveries WHERE state = 'dead' AND state <> 'waiting'), 0),
        coalesce((SELECT max(settled_at) FROM deliveries WHERE state = 'canceled' AND state <> 'waiting'), 0))

-- touched: The watches that something other than a poll has changed.
SELECT watch_id FROM watches WHERE revision > :revision ORDER BY revision DESC LIMIT :most

-- facts: The watches with new facts.
SELECT watch_id FROM history WHERE history_id > :fact ORDER BY history_id DESC LIMIT :most

-- created: The new deliveries.
SELECT delivery_id FROM deliveries WHERE delivery_id > :delivery ORDER BY delivery_id DESC LIMIT :most

-- settled: The deliveries in this state that were settled after `since`.
SELECT delivery_id FROM deliveries WHERE state = :state AND state <> 'waiting' AND settled_at > :since
ORDER BY settled_at DESC LIMIT :most
