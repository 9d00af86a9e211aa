-- durations: How long each kind of task takes.
SELECT account, action, variant, sums FROM durations

-- locked_durations: The same of one kind; nobody changes it until the transaction has ended.
{durations} WHERE account = :account AND action = :action AND variant = :variant {postgres:FOR UPDATE}

-- set_durations: Store how long a kind of task takes.
UPDATE durations SET sums = :sums WHERE account = :account AND action = :action AND variant = :variant

-- set_sources (daemon, source, path, read_at, taken, rejected, left_alone, error, error_at, is_failing, note): Store what sources have seen.
INSERT INTO sources ({columns}) SELECT {columns} FROM {new} WHERE true
ON CONFLICT (daemon, source, path) DO UPDATE SET read_at = excluded.read_at, taken = excluded.taken,
    rejected = excluded.rejected, left_alone = excluded.left_alone, error = excluded.error,
    error_at = excluded.error_at, is_failing = excluded.is_failing, note = excluded.note

-- add_durations (account, action, variant, sums): Add kinds of tasks, unless they are there.
INSERT INTO durations ({columns}) SELECT {columns} FROM {new} WHERE true ON CONFLICT DO NOTHING
