-- meant (account, task_id, generation) -> {watches.watch}, watch_id: The watches of these transitions, of any phase.
-- There is no condition on live watches: without statistics, PostgreSQL would read their whole index.
FROM {new} JOIN watches USING (account, task_id, generation)
{postgres:ORDER BY watch_id FOR NO KEY UPDATE OF watches}

-- attempted -> delivery_id, state, watch_id, is_live: The deliveries that were attempted.
FROM deliveries WHERE delivery_id IN (:delivery_ids[])
{postgres:ORDER BY delivery_id FOR NO KEY UPDATE}

-- receivers_of: Which endpoints a task names, and what the provider last said about it.
SELECT endpoints, snapshot FROM watches WHERE watch_id = :watch_id

-- never_attempted: Part of the following: a delivery that was never attempted. If it is not due for a while, no daemon
-- has it in memory, so its bytes may still be replaced.
state = 'waiting' AND attempts = 0 AND last_outcome IS NULL

-- held: The deliveries of an event that are held for a later event and are not due soon. "Soon" means within half of
-- the time for which they are held, but at least `least_s` and at most `most_s`.
SELECT endpoint, target FROM deliveries WHERE event_id = :event_id AND {never_attempted}
    AND next_attempt_at - :at > {sqlite:max}{postgres:greatest}(:least_s,
        {sqlite:min}{postgres:least}(:most_s, (next_attempt_at - created_at) / 2))
ORDER BY delivery_id {postgres:FOR NO KEY UPDATE}

-- release (event_id, endpoint, target, body): Send held deliveries, perhaps with other bytes.
UPDATE deliveries SET body = coalesce(new.body, deliveries.body), next_attempt_at = 0
FROM {new} WHERE deliveries.event_id = new.event_id AND deliveries.endpoint = new.endpoint
    AND deliveries.target = new.target AND {never_attempted}

-- add_events (event_id, topic, account, subject, occurred_at, documented_at): Events, in the order of the log. On PostgreSQL a sequence numbers them, so that daemons do not
-- wait for each other. On SQLite the newest event is never removed from the log, so no number is used twice.
INSERT INTO events ({columns}{sqlite:, number}) SELECT {columns}{sqlite:,
    row_number() OVER () + coalesce((SELECT max(number) FROM events WHERE number IS NOT NULL), 0)}
FROM {new} WHERE true {in order} ON CONFLICT DO NOTHING

-- add_bodies (event_id, body): The documented bytes of events that no delivery has.
INSERT INTO event_bodies (number, body) SELECT number, body FROM {new} JOIN events USING (event_id)
WHERE number IS NOT NULL ON CONFLICT DO NOTHING

-- cancel_overtaken (watch_id, at): Cancel waiting deliveries about running tasks, because these tasks have finished.
UPDATE deliveries SET state = 'canceled', settled_at = new.at, next_attempt_at = NULL
FROM {new} WHERE deliveries.watch_id = new.watch_id AND state = 'waiting' AND is_live

-- disable: Disable an endpoint. Returns how often it has been disabled. Returns nothing if it is disabled already, or
-- if this attempt was stored before.
INSERT INTO endpoints AS known (endpoint, disabled_at, reason, count, fingerprint)
SELECT :endpoint, :at, :reason, 1, :fingerprint
WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE delivery_id = :delivery_id AND at = :at)
ON CONFLICT (endpoint) DO UPDATE SET disabled_at = excluded.disabled_at, reason = excluded.reason,
    count = known.count + 1, fingerprint = excluded.fingerprint
    WHERE known.disabled_at IS NULL
RETURNING count

-- block: Block an account. Returns its name, or nothing if it was blocked already.
INSERT INTO accounts (account, blocked_at, reason, count) VALUES (:account, :at, :reason, :count)
ON CONFLICT (account) DO UPDATE SET blocked_at = excluded.blocked_at, reason = excluded.reason, count = excluded.count
    WHERE accounts.blocked_at IS NULL AND accounts.count < excluded.count
RETURNING account

-- restore: End the block of an account. Returns its name, or nothing if it was not blocked.
UPDATE accounts SET blocked_at = NULL, blocked_s = :blocked_s WHERE account = :account AND blocked_at IS NOT NULL
RETURNING account

-- account_waits: Store until when an account waits, because of a Retry-After. A daemon that has not yet heard of a longer wait does
-- not shorten it. A stored wait that ends more than an hour after the new one came from a wrong clock: it is replaced.
INSERT INTO accounts (account, paused_until) VALUES (:account, :until_at)
ON CONFLICT (account) DO UPDATE SET paused_until = excluded.paused_until
    WHERE accounts.paused_until IS NULL
        OR accounts.paused_until NOT BETWEEN excluded.paused_until AND excluded.paused_until + 3600

-- route_waits: The same for a route of an account.
INSERT INTO holds (account, route, held_until, reason) VALUES (:account, :route, :until_at, :reason)
ON CONFLICT (account, route) DO UPDATE SET held_until = excluded.held_until, reason = excluded.reason
    WHERE excluded.held_until = 0
        OR holds.held_until NOT BETWEEN excluded.held_until AND excluded.held_until + 3600

-- unread_words: How many unreadable words an account has, how many of them caused an event after `since`, and whether
-- `word` is one of them.
SELECT count(*), count(CASE WHEN told_at > :since THEN 1 END), count(CASE WHEN word = :word THEN 1 END)
FROM unread_answers WHERE account = :account

-- note_unread: Count unreadable answers by word. Returns the number so far.
INSERT INTO unread_answers (account, word, answers, first_at, last_at, reason, told_at)
VALUES (:account, :word, :answers, :at, :at, :reason, :told_at)
ON CONFLICT (account, word) DO UPDATE SET answers = unread_answers.answers + excluded.answers,
    last_at = excluded.last_at, reason = excluded.reason
RETURNING answers

-- add_deliveries (event_id, endpoint, target, watch_id, is_live, state, next_attempt_at, created_at, address, body, slot int): Put deliveries into the outbox.
INSERT INTO deliveries ({columns}{postgres:, slot}) SELECT {columns}{postgres:, slot} FROM {new} WHERE true {in order}
ON CONFLICT DO NOTHING

-- add_attempts (delivery_id, at, outcome, detail, duration_s): Store attempts.
INSERT INTO attempts ({columns}) SELECT {columns} FROM {new} WHERE true ON CONFLICT DO NOTHING

-- settled: Part of the following: what an attempt changes.
state, attempts, next_attempt_at, settled_at, last_outcome, last_detail, sent_so_far

-- settle (delivery_id, {settled}): Store the outcomes of waiting deliveries, and of canceled ones that were accepted.
UPDATE deliveries SET {settled = new}
FROM {new} WHERE deliveries.delivery_id = new.delivery_id
    AND (deliveries.state = 'waiting' OR deliveries.state = 'canceled' AND new.state = 'accepted')

-- health: Part of the following: what attempts change.
failing_since, failures, reason, told_at, told_failures, count

-- set_health (endpoint, {health}): Store the health of endpoints.
INSERT INTO health ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (endpoint) DO UPDATE SET {health = excluded}

-- queue_waits (endpoint, target, held_until, reason, fingerprint): Store until when queues wait.
INSERT INTO queues ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (endpoint, target) DO UPDATE SET held_until = excluded.held_until, reason = excluded.reason,
    fingerprint = excluded.fingerprint
