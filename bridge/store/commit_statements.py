"""Statements of a commit: transitions, outcomes, and what daemons have in common about accounts and endpoints."""

from __future__ import annotations

from typing import Final

from bridge.store.notes import ASKED, MEMORY
from bridge.store.sql_files import SQL
from bridge.store.statements import Batch, Question, insert, put, update
from bridge.store.watch_rows import WATCH_COLUMNS

MEANT: Final = Batch("task_id text, account text, generation int", SQL["commits.meant"], (*WATCH_COLUMNS, "watch_id"))
ATTEMPTED: Final = Question(("delivery_id", "state", "watch_id", "is_live"), SQL["commits.attempted"])
RELEASE: Final = Batch("event_id text, endpoint text, target text, body bytes", SQL["commits.release"])
OF_ENDPOINTS: Final = " WHERE endpoint IN (:endpoints[]) {postgres:ORDER BY endpoint FOR UPDATE}"

MOVE: Final = update("watches", f"{MEMORY}, reason, ended_at", given="snapshot", own="urls text", also=ASKED)
ADD_EVENTS: Final = Batch(
    "event_id text, topic text, account text, subject text, occurred_at float, number int, documented_at text",
    SQL["commits.add_events"],
)
ADD_BODIES: Final = Batch("event_id text, body bytes", SQL["commits.add_bodies"])
ADD_DELIVERIES: Final = insert(
    "deliveries",
    "event_id, endpoint, target, watch_id, is_live, state, next_attempt_at, created_at, address, body",
    "{in order} ON CONFLICT DO NOTHING",
    own="slot int",
)
CANCEL_OVERTAKEN: Final = Batch("watch_id int, at float", SQL["commits.cancel_overtaken"])

ADD_ATTEMPTS: Final = insert("attempts")
SETTLE: Final = update(
    "deliveries",
    "delivery_id, state, attempts, next_attempt_at, settled_at, last_outcome, last_detail, sent_so_far",
    where="AND deliveries.state = 'waiting'",
)
SET_HEALTH: Final = put("health", "endpoint")
HOLD_QUEUES: Final = put("queues", "endpoint, target")

BLOCK: Final = put(
    "accounts",
    "account",
    "account, blocked_at, reason, count",
    where="accounts.blocked_at IS NULL AND accounts.count < excluded.count",
)
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
