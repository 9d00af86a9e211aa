-- after: Part of `queues`: what comes after the last queue.
FROM deliveries AS next WHERE next.state = 'waiting' AND (next.endpoint, next.target) > (last.endpoint, last.target)
ORDER BY next.endpoint, next.target LIMIT 1

-- queues: The queues with waiting deliveries. Each queue takes one look-up; DISTINCT would read every waiting delivery.
-- ('', '') sorts before every endpoint.
WITH RECURSIVE last (endpoint, target) AS (
    SELECT CAST('' AS text) {postgres:COLLATE "C"}, CAST('' AS text) {postgres:COLLATE "C"}
    UNION ALL
    SELECT (SELECT next.endpoint {after}), (SELECT next.target {after}) FROM last WHERE endpoint IS NOT NULL
)
SELECT endpoint, target FROM last WHERE endpoint <> ''

-- attemptable: Part of the following: the deliveries of a queue that may be attempted. For each task, this is only the
-- oldest waiting one; the others wait for it, even if they are due. They also wait for one that was canceled while it
-- was attempted, or the finish could overtake `task_running`. It is a subquery for each row, because PostgreSQL
-- might turn NOT EXISTS into a join with the whole queue. SQLite drops a LEFT JOIN when none of its columns is read.
FROM deliveries LEFT JOIN events USING (event_id)
WHERE endpoint = :endpoint AND target = :target AND state = 'waiting' {postgres:AND slot IN (:slots[])}
    AND delivery_id NOT IN (:apart_from[])
    AND (watch_id IS NULL OR delivery_id = (
        SELECT min(older.delivery_id) FROM deliveries AS older
        WHERE older.watch_id = deliveries.watch_id AND older.state = 'waiting'
            AND older.endpoint = :endpoint AND older.target = :target))
    AND (watch_id IS NULL OR watch_id NOT IN (SELECT sent.watch_id FROM deliveries AS sent
        WHERE sent.delivery_id IN (:apart_from[]) AND sent.state = 'canceled' AND sent.watch_id IS NOT NULL))

-- due -> delivery_id, length(body): The deliveries that are due. Their lengths are read first, so that only a few long
-- bodies are read at once: SQLite allows at most a billion bytes in a value.
{attemptable} AND next_attempt_at <= :now ORDER BY next_attempt_at, delivery_id LIMIT :limit

-- due_in_order -> delivery_id, length(body): The same, in the order in which they were created.
{attemptable} AND next_attempt_at <= :now ORDER BY delivery_id LIMIT :limit

-- next_due: When the next delivery is due, after those that were found.
SELECT next_attempt_at {attemptable} ORDER BY next_attempt_at, delivery_id LIMIT 1 OFFSET :found

-- make_due: Make deliveries due at once if they are due after `latest_at`, or if they have had no attempt and are due
-- after `first_at`.
UPDATE deliveries SET next_attempt_at = 0 WHERE delivery_id IN (
    SELECT delivery_id FROM deliveries WHERE state = 'waiting'
        AND ((next_attempt_at > :latest_at AND NOT ({commits.never_attempted}))
            OR (next_attempt_at > :first_at AND {commits.never_attempted}))
    {postgres:ORDER BY delivery_id FOR NO KEY UPDATE})

-- disabled: The endpoints that are disabled.
SELECT endpoint, reason, fingerprint FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint
