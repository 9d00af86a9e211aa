-- durations: How long each kind of task takes.
SELECT account, action, variant, sums FROM durations

-- locked_durations (account, action, variant): The same for some kinds; nobody else changes them before the transaction
-- ends. They are locked in one order, so that two daemons never wait for each other.
SELECT account, action, variant, sums FROM {new} JOIN durations USING (account, action, variant)
{postgres:ORDER BY account, action, variant FOR UPDATE OF durations}

-- set_durations (account, action, variant, sums): Store how long kinds of tasks take.
UPDATE durations SET sums = new.sums FROM {new}
WHERE durations.account = new.account AND durations.action = new.action AND durations.variant = new.variant

-- sources: Part of the following: what a source has read.
read_at, taken, rejected, left_alone, error, error_at, is_failing, note

-- set_sources (daemon, source, path, {sources}): Store what sources have read.
INSERT INTO sources ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (daemon, source, path) DO UPDATE SET {sources = excluded}

-- add_durations (account, action, variant, sums): Add the kinds of tasks that are missing.
INSERT INTO durations ({columns}) SELECT {columns} FROM {new} WHERE true ON CONFLICT DO NOTHING
