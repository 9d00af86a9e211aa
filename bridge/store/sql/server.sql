-- may_create: The schema, whether this user may create tables there, and whether the server accepts no writes.
SELECT quote_ident(current_schema()), has_schema_privilege(current_schema(), 'CREATE'),
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool

-- closed: Why this user cannot fully read and write a table.
SELECT CASE WHEN row_security_active(pg_class.oid) THEN 'row-level security may hide rows of' ELSE 'permission denied for' END
    || ' table ' || relname
FROM pg_class
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relname IN (:tables[])
    AND (row_security_active(pg_class.oid) OR EXISTS (
        SELECT FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
        WHERE NOT has_table_privilege(pg_class.oid, needed)))
ORDER BY relname LIMIT 1

-- now: The server's time.
SELECT extract(epoch FROM clock_timestamp())::float8

-- mark: Number a commit. Each connection has its own row, so a later commit on another connection is not mistaken for a
-- commit in doubt. A store of another version takes no mark. A mark waits until a running migration has ended.
INSERT INTO writers (writer, serial, at) SELECT :writer, :serial, now() FROM genbridge_store WHERE version = :latest
ON CONFLICT (writer) DO UPDATE SET serial = excluded.serial, at = excluded.at

-- last_commit: The last mark of a connection. If a transaction of this connection is still open at the server, it holds
-- the row, and this statement waits for it.
INSERT INTO writers (writer, serial, at) VALUES (:writer, 0, now())
ON CONFLICT (writer) DO UPDATE SET at = excluded.at
RETURNING serial

-- look: What a database contains. The query reads pg_class, because only then does a session see what others have
-- created since its transaction began.
SELECT current_schema(), EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('genbridge_store')),
    current_setting('server_encoding')

-- size: How large the store is.
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())

-- unlimited: Remove the time limit of statements. Wait for a lock for at most 30 s.
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = 0

-- guard: Part of the following: locks this daemon's lease. If the connection dies, the server must not keep the lock
-- longer than other daemons wait for this one.
SELECT set_config('idle_in_transaction_session_timeout', :idle_ms, true)
FROM members WHERE fence = :fence AND lease_until > clock_timestamp()

-- guard_together: Other transactions of this daemon may be guarded at the same time.
{guard} FOR KEY SHARE

-- guard_alone: No other transaction of this daemon may be guarded at the same time.
{guard} FOR UPDATE

-- settings: Time limits, and the formats of values, whatever the settings of role or database are. The server gives up
-- sooner than we do, so the connection survives. It also ends the transactions of a client that has vanished, which would
-- keep their locks. Without row_security, the server reports hidden rows as an error; otherwise they would count as gone.
SELECT set_config(name, value, false) FROM (VALUES
    ('statement_timeout', '9s'),
    ('lock_timeout', '5s'),
    ('idle_in_transaction_session_timeout', '15s'),
    ('idle_session_timeout', '0'),
    ('tcp_user_timeout', '15s'),
    ('tcp_keepalives_idle', '10s'),
    ('tcp_keepalives_interval', '3s'),
    ('tcp_keepalives_count', '3'),
    ('array_nulls', 'on'),
    ('extra_float_digits', '1'),
    ('standard_conforming_strings', 'on'),
    ('row_security', 'off')
) AS settings (name, value)

-- synced: Acknowledge a commit only once it is on the server's disk, even if the settings of role or database are
-- weaker. Stricter settings stay.
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'

-- migrate_first: Intake begins with the row of genbridge_store, and every write ends with its mark. A migration locks
-- that table first, then alters the tables, then locks the marks. So while the migration waits for writers, only a few
-- of them wait for it.
LOCK TABLE genbridge_store IN EXCLUSIVE MODE

-- migrate_last: See `migrate_first`.
LOCK TABLE writers IN EXCLUSIVE MODE

-- forget_writers: Delete the marks of our connections.
DELETE FROM writers WHERE starts_with(writer, :writer)

-- counters: What changes with every write, and the process that serves this session.
SELECT revision, touched, pg_backend_pid() FROM genbridge_store

-- notify: Wake the daemons of this store. All schemas of a database share the channel, so the message names the schema.
SELECT pg_notify('genbridge', current_schema() || ' ' || :what)

-- briefly: Wait only briefly for locks, because renewals of the lease wait during this time.
SET LOCAL lock_timeout = '0.5s'

-- lock_store: Block other transactions that change watches.
SELECT revision FROM genbridge_store FOR UPDATE

-- touch: Count a change that touches no watch.
UPDATE genbridge_store SET touched = touched + 1

-- next_revision: Count a change of watches.
UPDATE genbridge_store SET revision = revision + 1, touched = touched + 1 RETURNING revision

-- count_on: Make the numbers of new rows continue after the copied rows.
SELECT setval(pg_get_serial_sequence('watches', 'watch_id'), last)
FROM (SELECT max(watch_id) FROM watches) AS found (last) WHERE last IS NOT NULL
UNION ALL SELECT setval(pg_get_serial_sequence('history', 'history_id'), last)
FROM (SELECT max(history_id) FROM history) AS found (last) WHERE last IS NOT NULL
UNION ALL SELECT setval(pg_get_serial_sequence('events', 'number'), last)
FROM (SELECT max(number) FROM events) AS found (last) WHERE last IS NOT NULL
UNION ALL SELECT setval(pg_get_serial_sequence('deliveries', 'delivery_id'), last)
FROM (SELECT max(delivery_id) FROM deliveries) AS found (last) WHERE last IS NOT NULL
