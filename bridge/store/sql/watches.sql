-- counts: Part of the following: the columns of `Memory` after the phase.
polls, failures, doubt_kind, doubt_answers, doubt_since_at, progress, progress_told, progress_told_at, input_told

-- memory: Part of the following: the columns of `Memory`.
phase, {counts}

-- state: Part of the following: the columns of `WatchState`, for `watch_rows.watch_state`. A requested poll is due at once.
account, task_id, generation, action, give_up_after_s, added_at, blocked_before_s,
CASE WHEN poll_asked_at IS NULL THEN next_poll_at ELSE 0 END, asked_at, revision, {memory}

-- watch: Part of the following: a whole watch, for `watch_rows.watch`.
{state}, label, meta, endpoints, source, ended_at, reason, snapshot

-- find_all: Whole watches; conditions follow.
SELECT {watch}, next_poll_why, watch_id FROM watches

-- live_states: All live watches.
SELECT {state} FROM watches WHERE phase IN ('submitted', 'running')

-- live_slice: Some of the live watches, by id.
SELECT {state}, watch_id FROM watches WHERE phase = :phase AND watch_id > :after

-- changed_states: The watches that something other than a poll has changed.
SELECT {state} FROM watches WHERE revision > :since

-- answered_actions: The actions of an account with at least one answer about a task.
SELECT DISTINCT action FROM watches AS w WHERE account = :account AND EXISTS (
    SELECT 1 FROM readings AS r WHERE r.watch_id = w.watch_id AND r.kind IN
    ('pending', 'running', 'succeeded', 'failed', 'canceled', 'expired_result', 'needs_input'))

-- adopt_names: Take over the names of a source that came from SQLite, where sources are not named by daemon and file.
UPDATE naming SET source = :source WHERE source = :kind AND source <> :source

-- cursor: How far a source has been read. A name with daemon and file takes precedence over a short one.
SELECT value FROM cursors WHERE source IN (:sources[]) ORDER BY length(source) DESC LIMIT 1

-- move_cursor: Store how far a source has been read.
INSERT INTO cursors (source, value) VALUES (:source, :value)
ON CONFLICT (source) DO UPDATE SET value = excluded.value

-- named: The watches that a source names.
SELECT account, task_id, watch_id FROM naming JOIN watches USING (watch_id) WHERE naming.source = :source

-- find (account, task_id) -> account, task_id, watch_id, phase: Watches by account and task id.
FROM {new} JOIN watches USING (account, task_id)

-- find_locked (account, task_id) -> account, task_id, watch_id, phase: The same; nobody changes them until the transaction has ended.
{find} {postgres:ORDER BY watch_id FOR NO KEY UPDATE OF watches}

-- poll_now: Make daemons poll live watches at once.
UPDATE watches SET poll_asked_at = :now, revision = :revision WHERE watch_id IN (:watch_ids[])

-- trim_callbacks: Delete all but the latest callbacks from the histories of these watches.
DELETE FROM history WHERE watch_id IN (:watch_ids[]) AND what = :what AND history_id NOT IN (
    SELECT history_id FROM history AS kept WHERE kept.watch_id = history.watch_id AND kept.what = :what
    ORDER BY history_id DESC LIMIT :most)

-- withdraw: Stop watching.
UPDATE watches SET phase = 'withdrawn', revision = :revision, ended_at = :now, next_poll_at = NULL,
    poll_asked_at = NULL
WHERE watch_id IN (:watch_ids[])

-- noted (account, task_id, generation) -> account, task_id, generation, watch_id, phase, polls: The watches of these notes. A locked watch is skipped, because the change in
-- progress, such as a withdrawal, makes its note obsolete.
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

-- unname: Store that the source no longer names these watches.
DELETE FROM naming WHERE source = :source AND watch_id IN (:watch_ids[])

-- unnamed: Those of these watches that nobody needs: live ones that nothing names, and tombstones that no list names.
SELECT watch_id, is_tombstone FROM watches WHERE watch_id IN (:watch_ids[])
    AND (phase IN ('submitted', 'running') OR is_tombstone)
    AND NOT EXISTS (SELECT 1 FROM naming WHERE naming.watch_id = watches.watch_id AND (is_listed OR NOT is_tombstone))
{postgres:ORDER BY watch_id FOR NO KEY UPDATE}

-- delete: Delete watches.
DELETE FROM watches WHERE watch_id IN (:watch_ids[])

-- add_facts (watch_id, at, what, detail): Add to the histories of watches.
INSERT INTO history ({columns}) SELECT {columns} FROM {new} WHERE true

-- count_readings (watch_id, kind, count, first_at, last_at, last_detail): Count answers.
INSERT INTO readings ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (watch_id, kind) DO UPDATE SET count = readings.count + excluded.count, last_at = excluded.last_at,
    last_detail = excluded.last_detail

-- schedule: Part of the following: when the watch is polled next, and when it was polled.
next_poll_at, next_poll_why, asked_at

-- poll_columns: Part of the following: what a poll changes.
watch_id, {memory}, {schedule}, revision

-- poll: Part of the following. If a poll began before the daemon knew of a request for a poll, the request stays.
{counts = new}, {schedule = new}, poll_asked_at = CASE WHEN watches.revision > new.revision THEN poll_asked_at END

-- note ({poll_columns}): Store polls that found the phase unchanged. It does not set the phase, because SQLite would
-- then write the indexes of the phase again.
UPDATE watches SET {poll} FROM {new} WHERE watches.watch_id = new.watch_id

-- note_phase ({poll_columns}): Store polls that found a new phase.
UPDATE watches SET phase = new.phase, {poll} FROM {new} WHERE watches.watch_id = new.watch_id

-- move ({poll_columns}, reason, ended_at, snapshot, urls text): Store transitions.
UPDATE watches SET phase = new.phase, {poll}, reason = new.reason, ended_at = new.ended_at,
    snapshot = coalesce(new.snapshot, watches.snapshot){postgres:, urls = coalesce(new.urls, watches.urls)}
FROM {new} WHERE watches.watch_id = new.watch_id

-- wish: Part of the following: the columns of `_WatchIntake._values`.
revision, added_at, blocked_before_s, action, give_up_after_s, label, endpoints, meta

-- add (account, task_id, generation, phase, source, {wish}, slot int): Add watches.
INSERT INTO watches ({columns}{postgres:, slot}) SELECT {columns}{postgres:, slot} FROM {new} WHERE true {in order}
RETURNING account, task_id, watch_id

-- start_over (watch_id, {wish}): Watch tasks again.
-- Values that are missing in the new wish stay unchanged.
UPDATE watches SET revision = new.revision, added_at = new.added_at, blocked_before_s = new.blocked_before_s,
    action = coalesce(new.action, watches.action), give_up_after_s = coalesce(new.give_up_after_s, watches.give_up_after_s),
    label = coalesce(new.label, watches.label), endpoints = coalesce(new.endpoints, watches.endpoints),
    meta = coalesce(new.meta, watches.meta), phase = 'submitted', is_tombstone = false, next_poll_at = NULL,
    poll_asked_at = NULL, asked_at = NULL, next_poll_why = '', ended_at = NULL, reason = NULL, failures = 0,
    doubt_kind = NULL, doubt_answers = NULL, doubt_since_at = NULL
FROM {new} WHERE watches.watch_id = new.watch_id

-- name (source, watch_id, is_listed): Store that a source names watches.
INSERT INTO naming ({columns}) SELECT {columns} FROM {new} WHERE true ON CONFLICT DO NOTHING
