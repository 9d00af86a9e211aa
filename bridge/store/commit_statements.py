"""Statements of a commit: transitions, outcomes, and what daemons have in common about accounts and endpoints."""

from __future__ import annotations

from typing import Final

from bridge.store.notes import ASKED, MEMORY
from bridge.store.statements import Batch, Question, insert, put, update
from bridge.store.watch_rows import WATCH_COLUMNS

# Of any phase: one that named the live ones would tempt PostgreSQL, before there are statistics, to read their index.
MEANT: Final = Batch(
    "task_id text, account text, generation int",
    """
    FROM {new} JOIN watches USING (task_id, account, generation)
    {postgres:ORDER BY watch_id FOR NO KEY UPDATE OF watches}
    """,
    answer=(*WATCH_COLUMNS, "watch_id"),
)
ATTEMPTED: Final = Question(
    ("delivery_id", "state", "watch_id", "is_live"),
    """
    FROM deliveries WHERE delivery_id IN (:delivery_ids[])
    {postgres:ORDER BY delivery_id FOR NO KEY UPDATE}
    """,
)
TOLD_OF: Final = "SELECT endpoints, snapshot FROM watches WHERE watch_id = :watch_id"
# Never attempted and not due for a while: no daemon has it in memory, so its bytes may still be written.
_HELD: Final = "state = 'waiting' AND attempts = 0 AND last_outcome IS NULL"
HELD: Final = f"""
    SELECT endpoint, target FROM deliveries WHERE event_id = :event_id AND {_HELD} AND next_attempt_at > :after
    ORDER BY delivery_id {{postgres:FOR NO KEY UPDATE}}
"""  # noqa: S608 - text of ours
RELEASE: Final = Batch(
    "event_id text, endpoint text, target text, body bytes",
    f"""
    UPDATE deliveries SET body = coalesce(new.body, deliveries.body), next_attempt_at = 0
    FROM {{new}} WHERE deliveries.event_id = new.event_id AND deliveries.endpoint = new.endpoint
        AND deliveries.target = new.target AND {_HELD}
    """,  # noqa: S608 - text of ours
)
OF_ENDPOINTS: Final = " WHERE endpoint IN (:endpoints[]) {postgres:ORDER BY endpoint FOR UPDATE}"

MOVE: Final = update("watches", f"{MEMORY}, reason, ended_at", given="snapshot", own="urls text", also=ASKED)
ADD_EVENTS: Final = Batch(
    "event_id text, topic text, account text, subject text, occurred_at float, number int, documented_at text",
    """
    INSERT INTO events (event_id, topic, account, subject, occurred_at, {sqlite:number, }documented_at)
    SELECT event_id, topic, account, subject, occurred_at, {sqlite:number, }documented_at
    FROM {new} WHERE true {in order} ON CONFLICT DO NOTHING
    """,
)
ADD_BODIES: Final = Batch(
    "event_id text, body bytes",
    """
    INSERT INTO event_bodies (number, body) SELECT number, body FROM {new} JOIN events USING (event_id)
    WHERE number IS NOT NULL ON CONFLICT DO NOTHING
    """,
)
ADD_DELIVERIES: Final = insert(
    "deliveries",
    "event_id, endpoint, target, watch_id, is_live, state, next_attempt_at, created_at, address, body",
    "{in order} ON CONFLICT DO NOTHING",
    own="slot int",
)
CANCEL_OVERTAKEN: Final = Batch(
    "watch_id int, at float",
    """
    UPDATE deliveries SET state = 'canceled', settled_at = new.at, next_attempt_at = NULL
    FROM {new} WHERE deliveries.watch_id = new.watch_id AND state = 'waiting' AND is_live
    """,
)

ATTEMPT: Final = "SELECT 1 FROM attempts WHERE delivery_id = :delivery_id AND at = :at"
ADD_ATTEMPTS: Final = insert("attempts")
SETTLE: Final = update(
    "deliveries",
    "delivery_id, state, attempts, next_attempt_at, settled_at, last_outcome, last_detail, sent_so_far",
    where="AND deliveries.state = 'waiting'",
)
SET_HEALTH: Final = put("health", "endpoint")
HOLD_QUEUES: Final = put("queues", "endpoint, target")
# How often it has been disabled by now; nothing when it already was.
DISABLE: Final = """
    INSERT INTO endpoints AS known (endpoint, disabled_at, reason, count, fingerprint)
    VALUES (:endpoint, :at, :reason, 1, :fingerprint)
    ON CONFLICT (endpoint) DO UPDATE SET disabled_at = excluded.disabled_at, reason = excluded.reason,
        count = known.count + 1, fingerprint = excluded.fingerprint
        WHERE known.disabled_at IS NULL
    RETURNING count
"""

BLOCK: Final = put(
    "accounts",
    "account",
    "account, blocked_at, reason, count",
    where="accounts.blocked_at IS NULL AND accounts.count < excluded.count",
)
RESTORE: Final = """
    UPDATE accounts SET blocked_at = NULL, blocked_s = :blocked_s WHERE account = :account AND blocked_at IS NOT NULL
"""
# A daemon that has not yet heard of a longer pause does not shorten it. A pause that is an hour longer than another was
# written by a wrong clock, and is replaced.
PAUSE_ACCOUNT: Final = put(
    "accounts",
    "account",
    "account, paused_until",
    where="accounts.paused_until IS NULL OR accounts.paused_until NOT BETWEEN"
    " excluded.paused_until AND excluded.paused_until + 3600",
)
HOLD_ROUTE: Final = put(
    "holds",
    "account, route",
    where="excluded.held_until = 0 OR holds.held_until NOT BETWEEN excluded.held_until AND excluded.held_until + 3600",
)

COUNT_UNREAD: Final = """
    UPDATE unread_answers SET answers = answers + :answers, last_at = :at, reason = :reason
    WHERE account = :account AND word = :word
"""
UNREAD_WORDS: Final = """
    SELECT count(*), count(CASE WHEN told_at > :since THEN 1 END) FROM unread_answers WHERE account = :account
"""
ADD_UNREAD: Final = """
    INSERT INTO unread_answers (account, word, answers, first_at, last_at, reason, told_at)
    VALUES (:account, :word, :answers, :at, :at, :reason, :told_at) ON CONFLICT DO NOTHING
"""
