-- Not statements: the columns of each table, with their types. Each table comes after those that it refers to.

-- watches: What is stored about each task.
watch_id int, account text, task_id text, generation int, revision int, phase text, is_tombstone bool, action text,
give_up_after_s float, added_at float, blocked_before_s float, next_poll_at float, poll_asked_at float, polls int,
failures int, doubt_kind text, doubt_answers int, doubt_since_at float, progress float, progress_told float,
progress_told_at float, input_told bool, ended_at float, source text, next_poll_why text, reason text, label text,
endpoints text, meta text, snapshot text, asked_at float

-- naming: Which sources name a watch.
source text, watch_id int, is_listed bool

-- readings: How often each kind of answer came.
watch_id int, kind text, count int, first_at float, last_at float, last_detail text

-- history: What happened to a watch, except polls.
history_id int, watch_id int, at float, what text, detail text

-- events: Events, and their numbers in the log.
event_id text, topic text, account text, subject text, occurred_at float, number int, documented_at text

-- event_bodies: The documented bytes of events that no delivery has.
number int, body bytes

-- forgotten: Up to which number events were removed from the log.
only_row int, number int

-- deliveries: One event for one target of an endpoint.
delivery_id int, event_id text, endpoint text, target text, watch_id int, is_live bool, state text, attempts int,
next_attempt_at float, created_at float, settled_at float, last_outcome text, last_detail text, address text,
sent_so_far text, body bytes

-- attempts: The attempts of deliveries.
delivery_id int, at float, outcome text, detail text, duration_s float

-- accounts: Blocks and pauses of accounts.
account text, blocked_at float, reason text, count int, blocked_s float, paused_until float

-- holds: Until when routes of accounts wait.
account text, route text, held_until float, reason text

-- endpoints: Endpoints that are or were disabled.
endpoint text, disabled_at float, reason text, count int, fingerprint text

-- health: Endpoints that fail or failed.
endpoint text, failing_since float, failures int, reason text, told_at float, told_failures int, count int

-- queues: Until when queues of deliveries wait.
endpoint text, target text, held_until float, reason text, fingerprint text

-- unread_answers: The unknown words in answers that could not be read.
account text, word text, answers int, first_at float, last_at float, reason text, told_at float

-- cursors: How far sources have been read.
source text, value text

-- pauses: Accounts and endpoints that people have paused.
what text, name text, since_at float, until_at float, before_s float

-- sources: What sources have read.
daemon text, source text, path text, read_at float, taken int, rejected int, left_alone int, error text, error_at
float, is_failing bool, note text

-- durations: How long kinds of tasks take.
account text, action text, variant text, sums text

-- keys: Random keys.
purpose text, key bytes, created_at float

-- forms: Forms of the status page that were sent.
form text, used_at float
