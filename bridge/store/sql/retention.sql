-- old_deliveries: Deliveries that were settled long ago.
SELECT delivery_id, event_id FROM deliveries
WHERE state = :state AND state <> 'waiting' AND settled_at < :before LIMIT :limit
{postgres:FOR UPDATE SKIP LOCKED}

-- delete_deliveries: Delete these deliveries.
DELETE FROM deliveries WHERE delivery_id IN (:delivery_ids[]) AND state <> 'waiting'

-- delete_orphans: Delete the events of deleted deliveries if nothing needs them.
DELETE FROM events WHERE event_id IN (:event_ids[])
    AND number IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.event_id)

-- old_watches: Watches that finished long ago and have no delivery left.
SELECT watch_id FROM watches
WHERE ended_at < :before AND {sqlite:is_tombstone = 0}{postgres:NOT is_tombstone}
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.watch_id = watches.watch_id)
LIMIT :limit {postgres:FOR UPDATE SKIP LOCKED}

-- delete_watches: Delete these watches, except those that a list names.
DELETE FROM watches WHERE watch_id IN (:watch_ids[])
    AND NOT EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND is_listed)

-- cut_down: Turn watches that a list names into tombstones: keep only what their sources must find.
UPDATE watches SET is_tombstone = true, label = NULL, endpoints = NULL, meta = '{}', snapshot = NULL, reason = NULL,
    next_poll_why = ''{postgres:, urls = NULL}
WHERE watch_id IN (:watch_ids[])

-- forget_history: Delete the histories of these watches.
DELETE FROM history WHERE watch_id IN (:watch_ids[])
