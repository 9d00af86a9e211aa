"""Speed: no statement of the running daemon reads more than it must, and the file does not grow without limit."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path

import pytest

from bridge.domain.event import Event, Parcel
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.watch import Memory
from bridge.store import Store, outbox
from bridge.store.sqlite.sql_session import plain_sql
from bridge.store.statements import SQL
from tests import garbage
from tests.factories import NOW
from tests.store.making import Teller, add, due, make_attempt, make_end, make_note

pytestmark = pytest.mark.usefixtures("unmeasured")

HOT = {
    "find a watch": plain_sql(SQL["watches.find"], 4),
    "load all live watches": SQL["watches.live_states"],
    "load live watches in slices": SQL["watches.live_slice"] + " ORDER BY watch_id LIMIT :most",
    "load changed watches": SQL["watches.changed_states"],
    "find what was polled": plain_sql(SQL["watches.noted"], 4),
    "note polls": plain_sql(SQL["watches.note"], 4),
    "note new phases": plain_sql(SQL["watches.note_phase"], 4),
    "load watches for their transitions": plain_sql(SQL["commits.meant"], 4),
    "move watches": plain_sql(SQL["watches.move"], 4),
    "count answers": plain_sql(SQL["watches.count_readings"], 4),
    "load what was attempted": plain_sql(SQL["commits.attempted"]),
    "settle": plain_sql(SQL["commits.settle"], 4),
    "cancel what was overtaken": plain_sql(SQL["commits.cancel_overtaken"], 4),
    "queues": plain_sql(SQL["outbox.queues"]),
    "due": plain_sql(SQL["outbox.due"]),
    "hand out": plain_sql(outbox.HANDED_OUT),
    "next due": plain_sql(SQL["outbox.next_due"]),
    "add bodies of events": plain_sql(SQL["commits.add_bodies"], 4),
    "read the log of events": plain_sql(SQL["log.logged"]),
    "read its numbers": plain_sql(SQL["log.numbers"]),
    "watches that were touched": plain_sql(SQL["log.touched"]),
    "facts": plain_sql(SQL["log.facts"]),
    "new deliveries": plain_sql(SQL["log.created"]),
    "settled deliveries": plain_sql(SQL["log.settled"]),
    "old deliveries": plain_sql(SQL["retention.old_deliveries"]),
    "old watches": plain_sql(SQL["retention.old_watches"]),
}


@pytest.mark.parametrize("statement", HOT.values(), ids=HOT.keys())
def test_the_daemons_statements_scan_and_sort_nothing(store: Store, path: Path, statement: str) -> None:
    store.revision()
    connection = sqlite3.connect(path)
    named = dict.fromkeys(re.findall(r":(\w+)", statement), 0)
    values = named or [0] * statement.count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    connection.close()
    assert plan
    # These scans are allowed: rows that the statement itself contains, and rows of a subquery.
    given = re.compile(r"SCAN (new|last|(\d+ )?CONSTANT ROWS?|json_each VIRTUAL TABLE INDEX 1:|\(subquery-\d+\))")
    assert [line for line in plan if ("SCAN" in line or "TEMP B-TREE" in line) and not given.fullmatch(line)] == []


def test_a_listed_delivery_is_compared_only_with_those_of_its_task(store: Store, path: Path) -> None:
    store.revision()
    connection = sqlite3.connect(path)
    statement = plain_sql(f"SELECT {SQL['reads.due_at']} FROM deliveries WHERE state = 'waiting'")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    connection.close()
    [older] = [line for line in plan if line.startswith("SEARCH older ")]
    assert "watch_id=?" in older


def test_large_commits_and_large_loads_are_fast(
    store: Store,
) -> None:
    keys = [one.key for one in add(store, *(f"task-{number:06}" for number in range(10_000)))]

    def tell(event: Event) -> list[Parcel]:
        return [Parcel(endpoint="automation", target="", body=b"x" * 900)]

    ends = [[make_end(key) for key in keys[start : start + 100]] for start in range(0, 1000, 100)]
    costs = sorted(_cpu_s(lambda batch=batch: store.commit(batch, tell)) for batch in ends)
    store.note([make_note(key) for key in keys[1000:]])
    load_s = min(_cpu_s(lambda: store.changed(0)) for _ in range(3))
    # Three times the expected cost, because other programs use the machine.
    assert costs[0] < 0.030
    assert load_s / 9000 * 1e5 < 1.5


def _cpu_s(call: object) -> float:
    assert callable(call)
    before = time.thread_time()
    call()
    return time.thread_time() - before


def test_a_commit_leaves_nothing_to_the_garbage_collector(store: Store) -> None:
    ends = [make_end(one.key) for one in add(store, "task-1", "task-2")]
    assert garbage.left_by(lambda: store.commit(ends, Teller())) == 0
    outcomes = [make_attempt(one) for one in due(store)]
    assert outcomes
    assert garbage.left_by(lambda: store.commit(outcomes, Teller())) == 0


def test_many_deliveries_of_a_burst_are_fetched_in_small_portions(store: Store) -> None:
    keys = [one.key for one in add(store, *map(str, range(3000)))]
    store.commit([make_end(key) for key in keys], Teller())
    assert min(_cpu_s(lambda: due(store, limit=64)) for _ in range(5)) < 0.02
    assert min(_cpu_s(store.queues) for _ in range(5)) < 0.005


def test_a_store_that_is_emptied_gives_its_space_back(store: Store, path: Path) -> None:
    keys = [one.key for one in add(store, *map(str, range(2000)))]

    def tell(event: Event) -> list[Parcel]:
        return [Parcel(endpoint="automation", target="", body=b"x" * 10_000)]

    store.commit([make_end(key) for key in keys], tell)
    store.commit([make_attempt(one) for one in due(store, limit=2000)], tell)
    store.close()
    full = path.stat().st_size
    assert full > 20_000_000
    while store.prune(now=NOW * 2, ended_s=1, delivered_s=1, dead_s=1, limit=500):
        pass
    store.close()
    assert path.stat().st_size < full / 4
    assert store.list_watches() == []


def test_a_poll_that_finds_the_same_phase_writes_no_index(store: Store, path: Path) -> None:
    store.revision()
    statement = plain_sql(SQL["watches.note"], 1)
    connection = sqlite3.connect(path)
    steps = [row[1] for row in connection.execute(f"EXPLAIN {statement}", [0] * statement.count("?"))]
    connection.close()
    assert "Insert" in steps
    assert "IdxInsert" not in steps


def test_a_watch_polled_often_stays_small(store: Store, path: Path) -> None:
    add(store, "task-1")
    key = WatchKey("kling", "task-1")
    store.close()
    before = path.stat().st_size
    for poll in range(1, 201):
        memory = Memory(phase=Phase.RUNNING, polls=poll, progress=poll / 2)
        store.note([make_note(key, memory=memory, detail=f"poll {poll}")])
    store.close()
    assert path.stat().st_size == before


def test_a_store_does_not_grow_while_tasks_are_added_and_deleted(store: Store, path: Path) -> None:
    sizes = []
    for day in range(1, 9):
        now = NOW + day * 86_400.0
        keys = [one.key for one in add(store, *(f"day{day}-{number}" for number in range(1000)), now=now)]
        store.note([make_note(key, at=now) for key in keys])
        store.commit([make_end(key, at=now) for key in keys], Teller())
        store.commit([make_attempt(one, at=now) for one in due(store, now=now + 1, limit=1000)], Teller())
        while store.prune(now=now + 3600, ended_s=86_400, delivered_s=86_400, dead_s=86_400, limit=500):
            pass
        sizes.append(path.stat().st_size)
    assert store.counts().watches == {Phase.SUCCEEDED: 1000}
    assert max(sizes[2:]) <= sizes[2] * 1.1
    assert path.with_name(path.name + "-wal").stat().st_size < 17_000_000
