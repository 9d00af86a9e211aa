-- Instants are seconds since the epoch (UTC), durations are seconds. JSON is text.

CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL  -- grows with each change of a watch that is not a poll
);
INSERT INTO store (only_row, revision) VALUES (1, 0);

-- The columns that polling needs come first, so that loading them does not read past a long meta or snapshot.
CREATE TABLE watches (
    watch_id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    task_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    phase TEXT NOT NULL,
    is_tombstone INTEGER NOT NULL DEFAULT 0,  -- only what its sources must find is kept; see retention
    action TEXT,
    give_up_after_s REAL,
    added_at REAL NOT NULL,
    blocked_before_s REAL NOT NULL,
    next_poll_at REAL,
    poll_asked_at REAL,  -- when somebody requested a poll; a poll that began before that does not clear it
    polls INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    doubt_kind TEXT,
    doubt_answers INTEGER,
    doubt_since_at REAL,
    progress REAL,
    progress_told REAL,
    progress_told_at REAL,
    input_told INTEGER NOT NULL DEFAULT 0,
    ended_at REAL,  -- also set when withdrawn
    source TEXT NOT NULL,
    next_poll_why TEXT NOT NULL DEFAULT '',
    reason TEXT,
    label TEXT,
    endpoints TEXT,
    meta TEXT NOT NULL,
    snapshot TEXT
);
CREATE UNIQUE INDEX watches_by_key ON watches (task_id, account);
CREATE INDEX watches_by_revision ON watches (revision);
CREATE INDEX watches_by_phase ON watches (phase);
CREATE INDEX watches_over ON watches (ended_at) WHERE ended_at IS NOT NULL AND is_tombstone = 0;

-- Which source names which watch. `is_listed`: the source is a list that still contains it. Others named it once.
CREATE TABLE naming (
    source TEXT NOT NULL,
    watch_id INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    is_listed INTEGER NOT NULL,
    PRIMARY KEY (source, watch_id)
) WITHOUT ROWID;
CREATE INDEX naming_by_watch ON naming (watch_id);

CREATE TABLE readings (
    watch_id INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    last_detail TEXT NOT NULL,
    PRIMARY KEY (watch_id, kind)
) WITHOUT ROWID;

CREATE TABLE history (
    history_id INTEGER PRIMARY KEY,
    watch_id INTEGER NOT NULL REFERENCES watches ON DELETE CASCADE,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX history_by_watch ON history (watch_id);

CREATE TABLE events (
    event_id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    account TEXT NOT NULL,
    subject TEXT NOT NULL,
    occurred_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE deliveries (
    delivery_id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL REFERENCES events,
    endpoint TEXT NOT NULL,
    target TEXT NOT NULL,
    watch_id INTEGER REFERENCES watches,  -- NULL: about an account or an endpoint
    is_live INTEGER NOT NULL,  -- about a running task: canceled when the task finishes
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- in the current round of retries
    next_attempt_at REAL,
    created_at REAL NOT NULL,
    settled_at REAL,
    last_outcome TEXT,
    last_detail TEXT,
    body BLOB NOT NULL,
    UNIQUE (event_id, endpoint, target)
);
CREATE INDEX deliveries_waiting ON deliveries (endpoint, target, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX deliveries_by_watch ON deliveries (watch_id, state, endpoint, target);
CREATE INDEX deliveries_settled ON deliveries (state, settled_at) WHERE state <> 'waiting';

CREATE TABLE attempts (
    delivery_id INTEGER NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    at REAL NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    duration_s REAL NOT NULL,
    PRIMARY KEY (delivery_id, at)  -- so that an attempt that is stored twice has one row
) WITHOUT ROWID;

CREATE TABLE accounts (
    account TEXT PRIMARY KEY,
    blocked_at REAL,
    reason TEXT NOT NULL DEFAULT '',
    count INTEGER NOT NULL DEFAULT 0,
    blocked_s REAL NOT NULL DEFAULT 0,
    paused_until REAL
) WITHOUT ROWID;

CREATE TABLE endpoints (
    endpoint TEXT PRIMARY KEY,
    disabled_at REAL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    fingerprint TEXT  -- of the endpoint's settings when it was disabled; NULL: unknown
) WITHOUT ROWID;

CREATE TABLE cursors (
    source TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
