-- answered_actions: The actions of an account for which the provider has answered about a task.
SELECT DISTINCT action FROM watches AS w WHERE account = :account AND EXISTS (
    SELECT 1 FROM readings AS r WHERE r.watch_id = w.watch_id AND r.kind IN
    ('pending', 'running', 'succeeded', 'failed', 'canceled', 'expired_result', 'needs_input'))

-- adopt_names: Take over the names of a source that came from SQLite, where sources are not named by daemon and file.
UPDATE naming SET source = :source WHERE source = :kind AND source <> :source

-- cursor: How far a source has been read. The longer name counts: that of the daemon and its file.
SELECT value FROM cursors WHERE source IN (:sources[]) ORDER BY length(source) DESC LIMIT 1

-- move_cursor: Store how far a source has been read.
INSERT INTO cursors (source, value) VALUES (:source, :value)
ON CONFLICT (source) DO UPDATE SET value = excluded.value

-- named: The watches that a source names.
SELECT account, task_id, watch_id FROM naming JOIN watches USING (watch_id) WHERE naming.source = :source

-- find: A batch: watches by account and task id.
FROM {new} JOIN watches USING (account, task_id)

-- find_locked: The same; nobody changes them until the transaction has ended.
{find} {postgres:ORDER BY watch_id FOR NO KEY UPDATE OF watches}

-- poll_now: Have live watches polled at once.
UPDATE watches SET poll_asked_at = :now, revision = :revision WHERE watch_id IN (:watch_ids[])

-- trim_callbacks: Delete all but the latest callbacks from the histories of these watches.
DELETE FROM history WHERE watch_id IN (:watch_ids[]) AND what = :what AND history_id NOT IN (
    SELECT history_id FROM history AS kept WHERE kept.watch_id = history.watch_id AND kept.what = :what
    ORDER BY history_id DESC LIMIT :most)

-- withdraw: Stop watching.
UPDATE watches SET phase = 'withdrawn', revision = :revision, ended_at = :now, next_poll_at = NULL,
    poll_asked_at = NULL
WHERE watch_id IN (:watch_ids[])

-- noted: A batch: the watches of these notes. One that is locked is skipped: the change under way, such as a withdrawal,
-- makes the note void anyway.
FROM {new} JOIN watches USING (account, task_id, generation)
{postgres:ORDER BY watch_id FOR NO KEY UPDATE OF watches SKIP LOCKED}

-- new_generation: Begin the next generation of these watches.
UPDATE watches SET generation = generation + 1, polls = 0, progress = NULL, progress_told = NULL,
    progress_told_at = NULL, input_told = false, snapshot = NULL{postgres:, urls = NULL}
WHERE watch_id IN (:watch_ids[])

-- forget_readings: Delete the counts of answers of these watches.
DELETE FROM readings WHERE watch_id IN (:watch_ids[])

-- already_named: Those of these watches that the source names.
SELECT watch_id FROM naming WHERE source = :source AND watch_id IN (:watch_ids[])

-- unname: The source no longer names these watches.
DELETE FROM naming WHERE source = :source AND watch_id IN (:watch_ids[])

-- unnamed: Who else names these watches: anyone, and a list.
SELECT watch_id, phase, is_tombstone,
    EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id),
    EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND is_listed)
FROM watches WHERE watch_id IN (:watch_ids[]) {postgres:ORDER BY watch_id FOR NO KEY UPDATE}

-- delete: Delete watches.
DELETE FROM watches WHERE watch_id IN (:watch_ids[])

-- blocked_s: How long accounts have been blocked, and since when they are.
SELECT account, blocked_s, blocked_at FROM accounts WHERE account IN (:accounts[])
