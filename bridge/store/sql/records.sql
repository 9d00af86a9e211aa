-- durations: How long each kind of task takes.
SELECT account, action, variant, sums FROM durations

-- locked_durations (account, action, variant): The same for some kinds; nobody else changes them before the transaction
-- ends. They are locked in one order, so that two daemons never wait for each other.
SELECT account, action, variant, sums FROM {new} JOIN durations USING (account, action, variant)
{postgres:ORDER BY account, action, variant FOR UPDATE OF durations}

-- set_durations (account, action, variant, sums): Store how long kinds of tasks take.
UPDATE durations SET sums = new.sums FROM {new}
WHERE durations.account = new.account AND durations.action = new.action AND durations.variant = new.variant

-- set_sources (daemon, source, path, read_at, taken, rejected, left_alone, error, error_at, is_failing, note): Store what sources have read.
INSERT INTO sources ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (daemon, source, path) DO UPDATE SET read_at = excluded.read_at, taken = excluded.taken,
    rejected = excluded.rejected, left_alone = excluded.left_alone, error = excluded.error,
    error_at = excluded.error_at, is_failing = excluded.is_failing, note = excluded.note

-- add_durations (account, action, variant, sums): Add the kinds of tasks that are missing.
INSERT INTO durations ({columns}) SELECT {columns} FROM {new} WHERE true ON CONFLICT DO NOTHING
