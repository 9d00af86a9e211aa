-- sources: The sources that name a watch, or named it once.
SELECT source FROM naming WHERE watch_id = :watch_id ORDER BY source

-- watch_counts: All watches by account and phase.
SELECT account, phase, count(*) FROM watches GROUP BY account, phase

-- live_counts: Live watches by account and phase.
SELECT account, phase, count(*) FROM watches WHERE phase IN ('submitted', 'running') GROUP BY account, phase

-- count_due: How many live watches should be polled now.
SELECT count(*) FROM watches WHERE phase IN ('submitted', 'running') AND account = :account
    AND (next_poll_at IS NULL OR poll_asked_at IS NOT NULL OR next_poll_at <= :now)

-- waiting: Waiting deliveries by endpoint. `dead` is a separate statement, because it uses another partial index.
SELECT endpoint, count(*), min(created_at) FROM deliveries WHERE state = 'waiting' GROUP BY endpoint

-- dead: Dead deliveries by endpoint.
SELECT endpoint, count(*) FROM deliveries WHERE state = 'dead' AND state <> 'waiting' GROUP BY endpoint

-- unchecked: Receivers' answers that `accept` could not check, by endpoint and detail, the newest last.
SELECT endpoint, count(*), max(settled_at) AS newest_at, last_detail FROM deliveries
WHERE state = 'accepted' AND state <> 'waiting' AND settled_at >= :since
    AND {sqlite:instr}{postgres:strpos}(last_detail, :mark) > 0
GROUP BY endpoint, last_detail ORDER BY endpoint, newest_at

-- failing_polls: Live tasks whose last polls gave no usable answer, by account and last answer, the newest last.
SELECT account, count(*), max(last_at) AS newest_at, last_detail
FROM watches JOIN readings ON readings.watch_id = watches.watch_id AND last_at >= asked_at
WHERE phase IN ('submitted', 'running') AND failures >= :least
GROUP BY account, last_detail ORDER BY account, newest_at

-- totals: Deliveries by endpoint and topic.
SELECT endpoint, topic, count(*), min(created_at), max(created_at)
FROM deliveries JOIN events USING (event_id) WHERE {where} GROUP BY endpoint, topic ORDER BY endpoint, topic

-- body: The first bytes of what a delivery sends, and how many there are.
SELECT substr(body, 1, :most), length(body) FROM deliveries WHERE delivery_id = :delivery_id

-- blocked: The blocked accounts.
SELECT account, reason FROM accounts WHERE blocked_at IS NOT NULL ORDER BY account

-- disabled: The disabled endpoints.
SELECT endpoint, reason FROM endpoints WHERE disabled_at IS NOT NULL ORDER BY endpoint

-- is_disabled: Part of `due_at`.
EXISTS (SELECT 1 FROM endpoints AS e WHERE e.endpoint = deliveries.endpoint AND e.disabled_at > 0)

-- held_until: Part of `due_at`.
(SELECT held_until FROM queues AS q WHERE (q.endpoint, q.target) = (deliveries.endpoint, deliveries.target))

-- behind: Part of `due_at`. Earlier deliveries of the task are sent first: this is when the latest of them is due.
-- `|| ''` keeps both engines from using the index of the whole queue.
(SELECT max(older.next_attempt_at) FROM deliveries AS older WHERE older.watch_id = deliveries.watch_id
    AND older.state || '' = 'waiting' AND older.delivery_id < deliveries.delivery_id
    AND (older.endpoint, older.target) = (deliveries.endpoint, deliveries.target))

-- due_at: When a delivery is attempted next; NULL while its endpoint is disabled.
CASE WHEN next_attempt_at >= -1 AND NOT {is_disabled} THEN {sqlite:max}{postgres:greatest}(
    next_attempt_at, created_at, coalesce({held_until}, 0), coalesce({behind}, 0)) END

-- by_label: A condition: the watches with this label. The index contains labels in lower case. `|| ''` keeps SQLite
-- from looking up the exact label there.
label IS NOT NULL AND lower(label){postgres: COLLATE "C"} = lower(:label) AND label || '' = :label

-- has_text: A condition: the watches whose ACCOUNT/ID or label contains a text.
(account || '/' || task_id {sqlite:LIKE}{postgres:ILIKE} :text ESCAPE '!' OR label {sqlite:LIKE}{postgres:ILIKE} :text ESCAPE '!')

-- of_task: A condition: the deliveries of a task.
watch_id = (SELECT watch_id FROM watches WHERE task_id = :task_id AND account = :account)

-- wrong_types: Part of `unreadable`: SQLite keeps any type in any column.
typeof(generation) NOT IN ('integer', 'real', 'null')
    OR typeof(revision) NOT IN ('integer', 'real', 'null')
    OR typeof(added_at) NOT IN ('integer', 'real', 'null')
    OR typeof(blocked_before_s) NOT IN ('integer', 'real', 'null')
    OR typeof(polls) NOT IN ('integer', 'real', 'null')
    OR typeof(failures) NOT IN ('integer', 'real', 'null')
    OR typeof(next_poll_at) NOT IN ('integer', 'real', 'null')
    OR typeof(poll_asked_at) NOT IN ('integer', 'real', 'null')
    OR typeof(asked_at) NOT IN ('integer', 'real', 'null')
    OR typeof(give_up_after_s) NOT IN ('integer', 'real', 'null')
    OR typeof(doubt_answers) NOT IN ('integer', 'real', 'null')
    OR typeof(doubt_since_at) NOT IN ('integer', 'real', 'null')
    OR typeof(progress) NOT IN ('integer', 'real', 'null')
    OR typeof(progress_told) NOT IN ('integer', 'real', 'null')
    OR typeof(progress_told_at) NOT IN ('integer', 'real', 'null')
    OR typeof(account) <> 'text' OR typeof(task_id) <> 'text'
    OR NOT json_valid(coalesce(meta, 'null')) OR NOT json_valid(coalesce(endpoints, 'null'))
    OR NOT json_valid(coalesce(snapshot, 'null'))

-- unreadable: The kinds and keys of unreadable rows. Each phase or state that occurs takes one look-up; NOT IN alone
-- would read every row. Of finished watches, only the phase is checked, because there may be millions of them.
WITH RECURSIVE phases (phase) AS (
    SELECT min(phase) FROM watches
    UNION ALL SELECT (SELECT min(phase) FROM watches WHERE phase > phases.phase) FROM phases WHERE phase IS NOT NULL
), states (state) AS (
    SELECT min(state) FROM deliveries WHERE state <> 'waiting'
    UNION ALL SELECT (SELECT min(state) FROM deliveries WHERE state <> 'waiting' AND state > states.state)
    FROM states WHERE state IS NOT NULL
)
SELECT 'watch', account || '/' || task_id FROM phases JOIN watches USING (phase) WHERE phases.phase NOT IN (:phases[])
UNION SELECT 'watch', account || '/' || task_id FROM watches
WHERE phase IN ('submitted', 'running') AND (doubt_kind NOT IN (:kinds[]) {sqlite:OR {wrong_types}})
UNION SELECT 'delivery', delivery_id || '/' || event_id FROM states JOIN deliveries ON deliveries.state = states.state
WHERE deliveries.state <> 'waiting' AND states.state NOT IN (:states[])
LIMIT :most
