-- of_finished: Part of the following: the condition of an index.
{sqlite:is_tombstone = 0}{postgres:NOT is_tombstone} AND phase <> 'withdrawn'

-- finished_in: How many tasks have finished, by quarter of an hour and phase.
SELECT {sqlite:CAST(ended_at / :quarter_s AS INTEGER)}{postgres:floor(ended_at / :quarter_s)::bigint}
    AS quarter, phase, count(*)
FROM watches WHERE ended_at >= :since AND {of_finished} GROUP BY quarter, phase

-- polls: How many polls a task took, by account.
SELECT account, avg(polls), count(*) FROM (
    SELECT account, polls FROM watches WHERE ended_at IS NOT NULL AND {of_finished}
    ORDER BY ended_at DESC LIMIT :most
) AS latest GROUP BY account

-- lags: How long deliveries took, from the commit of the transition to the accepted attempt.
SELECT settled_at - created_at FROM deliveries
WHERE state = 'accepted' AND state <> 'waiting' AND settled_at >= :since AND NOT is_live
    AND watch_id IS NOT NULL AND endpoint <> :without
ORDER BY settled_at DESC LIMIT :most

-- dead: The deliveries that were given up, by endpoint, with the attempts and the answer of the last one.
SELECT dead.endpoint, dead.number, dead.first_at, dead.last_at, attempts, coalesce(last_detail, '') FROM (
    SELECT endpoint, count(*) AS number, min(settled_at) AS first_at, max(settled_at) AS last_at FROM deliveries
    WHERE state = 'dead' AND state <> 'waiting' {sqlite:AND typeof(settled_at) IN ('real', 'integer')} GROUP BY endpoint
) AS dead JOIN deliveries ON delivery_id = (
    SELECT delivery_id FROM deliveries AS last WHERE last.state = 'dead' AND last.state <> 'waiting'
        AND last.endpoint = dead.endpoint AND last.settled_at >= dead.last_at LIMIT 1)
ORDER BY dead.endpoint

-- disabled: The endpoints that are disabled.
SELECT endpoint, disabled_at, reason FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint

-- accepted: How many deliveries were accepted lately, and when the last one was, by endpoint.
SELECT endpoint, count(*), max(settled_at) FROM (
    SELECT endpoint, settled_at FROM deliveries
    WHERE state = 'accepted' AND state <> 'waiting' AND settled_at >= :since
    ORDER BY settled_at DESC LIMIT :most
) AS latest GROUP BY endpoint

-- expiring: Deliveries that failed and will be retried, with what the provider last said about their tasks.
SELECT d.endpoint, account, task_id, due_at, snapshot FROM (
    SELECT endpoint, watch_id, {reads.due_at} AS due_at FROM deliveries
    WHERE state = 'waiting' AND attempts > 0 AND watch_id IS NOT NULL LIMIT :most
) AS d JOIN watches USING (watch_id) WHERE length(snapshot) <= :most_chars

-- live -> watch_id, account, action, added_at: The tasks that have not finished.
FROM watches WHERE phase IN ('submitted', 'running') {sqlite:AND typeof(added_at) IN ('real', 'integer')} LIMIT :most

-- last_finished: The tasks that finished last.
SELECT watch_id FROM watches WHERE ended_at IS NOT NULL AND {of_finished}
ORDER BY ended_at DESC, watch_id DESC LIMIT :most

-- snapshots: What the provider last said about the tasks of these watches.
SELECT watch_id, account || '/' || task_id, snapshot FROM watches
WHERE watch_id IN (:ids[]) AND length(snapshot) <= :most_chars

-- hits: The watches whose id, ACCOUNT/ID or label (in upper or lower case) begins with a text, and the watch of an
-- event.
SELECT watch_id FROM (
    SELECT watch_id FROM watches WHERE task_id >= :text AND task_id < :end LIMIT :most
) AS by_id
UNION ALL SELECT watch_id FROM (
    SELECT watch_id FROM watches WHERE task_id >= :begin AND task_id < :begin_end AND account || '' = :account
    LIMIT :most
) AS by_key
UNION ALL SELECT watch_id FROM (
    SELECT watch_id FROM watches
    WHERE label IS NOT NULL AND lower(label){postgres: COLLATE "C"} >= lower(:text)
        AND lower(label){postgres: COLLATE "C"} < lower(:text) || :last
    LIMIT :most
) AS by_label
UNION ALL SELECT watch_id FROM events JOIN watches ON task_id = subject AND watches.account = events.account
WHERE event_id = :text

-- in_topic: A condition of `delivery_page`.
EXISTS (SELECT 1 FROM events WHERE events.event_id = deliveries.event_id AND topic = :topic)

-- of_text: A condition: the deliveries of an event, or of the watches that a text finds. They are looked up one by one.
delivery_id IN (SELECT delivery_id FROM deliveries WHERE event_id = :text OR watch_id IN (:watch_ids[]))

-- waits_of_text: A condition, together with `of_text`: waiting deliveries after this position. The plus sign keeps
-- SQLite from using the index of all deliveries.
{sqlite:+}state = 'waiting' AND delivery_id > :delivery_id

-- settled_of_text: A condition, together with `of_text`: deliveries settled in this state, after this position.
{sqlite:+}state = :state AND settled_at <= :at AND (settled_at, delivery_id) < (:at, :delivery_id)

-- settled: A condition: deliveries settled in this state, after this position.
state = :state AND state <> 'waiting' AND settled_at <= :at AND (settled_at, delivery_id) < (:at, :delivery_id)

-- waits: A condition: waiting deliveries after this position. The plus sign and the endpoint make SQLite use the small
-- index of waiting deliveries.
state = 'waiting' AND endpoint >= '' AND +delivery_id > :delivery_id

-- tasks: Tasks in the order of an index, the last added first.
SELECT watch_id FROM watches WHERE {where} ORDER BY watch_id DESC LIMIT :most

-- tasks_apart: The same with conditions that the index does not have. Without this form, PostgreSQL would follow the
-- order of ids, and read every row if few match.
SELECT watch_id FROM watches WHERE {where} ORDER BY {sqlite:watch_id}{postgres:(watch_id + 0)} DESC LIMIT :most

-- task_floor: The id of the last task, when `skipped` tasks come before it.
SELECT watch_id FROM watches WHERE {where} ORDER BY watch_id DESC LIMIT 1 OFFSET :skipped

-- waiting_deliveries: Waiting deliveries, the oldest first. The plus sign makes SQLite use the index of `waits`.
SELECT 0.0, delivery_id FROM deliveries WHERE {where} ORDER BY +delivery_id LIMIT :most

-- settled_deliveries: Settled deliveries, the last settled first.
SELECT settled_at, delivery_id FROM deliveries WHERE {where} ORDER BY settled_at DESC, delivery_id DESC LIMIT :most

-- delivery_floor: The last delivery, when `skipped` deliveries come before it.
SELECT settled_at, delivery_id FROM deliveries WHERE {where}
ORDER BY settled_at DESC, delivery_id DESC LIMIT 1 OFFSET :skipped

-- count_deliveries: How many deliveries there are; it counts no further than `most`.
SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE {where} LIMIT :most) AS bounded
