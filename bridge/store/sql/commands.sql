-- add_key: Store a key unless this purpose has one. Returns the stored key.
INSERT INTO keys (purpose, key, created_at) VALUES (:purpose, :key, :now)
ON CONFLICT (purpose) DO UPDATE SET key = keys.key RETURNING key

-- set_key: Store a key in place of the old one.
INSERT INTO keys (purpose, key, created_at) VALUES (:purpose, :key, :now)
ON CONFLICT (purpose) DO UPDATE SET key = excluded.key, created_at = excluded.created_at RETURNING key

-- own: SQLite only: record which settings file owns this store.
UPDATE store SET settings = :settings, base_urls = :base_urls

-- hasten_waiting: Make deliveries due at once if their queue had to wait.
UPDATE deliveries SET next_attempt_at = 0 WHERE delivery_id IN (
    SELECT delivery_id FROM queues JOIN deliveries USING (endpoint, target)
    WHERE queues.endpoint IN (:endpoints[]) AND state = 'waiting' AND next_attempt_at <= held_until
    {postgres:ORDER BY delivery_id FOR NO KEY UPDATE OF deliveries})

-- end_queue_waits: End the waits of all queues of these endpoints.
DELETE FROM queues WHERE endpoint IN (:endpoints[])

-- enable: Deliver to these endpoints again.
UPDATE endpoints SET disabled_at = NULL WHERE endpoint IN (:endpoints[]) AND disabled_at IS NOT NULL

-- deliveries: Deliveries to send again.
SELECT delivery_id, endpoint FROM deliveries JOIN events USING (event_id) WHERE {where}
ORDER BY delivery_id {postgres:FOR NO KEY UPDATE OF deliveries}

-- redeliver: Set deliveries to waiting, with a full round of attempts.
UPDATE deliveries SET state = 'waiting', attempts = 0, next_attempt_at = 0, settled_at = NULL, sent_so_far = ''
WHERE delivery_id IN (:delivery_ids[])

-- hasten: Make all waiting deliveries of an endpoint due at once.
UPDATE deliveries SET next_attempt_at = 0 WHERE delivery_id IN (
    SELECT delivery_id FROM deliveries WHERE state = 'waiting' AND endpoint = :endpoint
    {postgres:ORDER BY delivery_id FOR NO KEY UPDATE})

-- forget_names: Remove the names of these watches, except the names that lists gave them.
DELETE FROM naming WHERE watch_id IN (:watch_ids[]) AND NOT is_listed

-- use_form: Record that a form of the page was submitted, unless this is recorded already.
INSERT INTO forms (form, used_at) VALUES (:form, :now) ON CONFLICT DO NOTHING

-- free_form: Allow a form to be submitted again, because it had no effect.
DELETE FROM forms WHERE form = :form

-- forget_forms: Forget forms that are too old to be accepted.
DELETE FROM forms WHERE used_at < :before

-- set_pause (what, name, since_at, until_at, before_s): Store a pause.
INSERT INTO pauses ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (what, name) DO UPDATE SET since_at = excluded.since_at, until_at = excluded.until_at,
    before_s = excluded.before_s

-- owner: SQLite only: the settings file that owns this store.
SELECT settings, base_urls FROM store

-- live_by_account: How many live watches each account has.
SELECT account, sum(phase IN ('submitted', 'running')) FROM watches GROUP BY account

-- count_waiting: How many deliveries wait.
SELECT count(*) FROM deliveries WHERE state = 'waiting'
