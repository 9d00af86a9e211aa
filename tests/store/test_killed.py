"""A process is killed while it writes, migrates or creates a store: acknowledged changes are complete."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from bridge.domain.task import Phase
from bridge.store import open_reader, open_store
from tests.factories import NOW
from tests.store.making import KEY, Teller, add, due, make_attempt, make_end, make_progress

pytestmark = [pytest.mark.usefixtures("unmeasured"), pytest.mark.crash]

FORK = multiprocessing.get_context("fork")  # no second start of Python, so that many kills take little time


def work(path: Path, acknowledge: Connection, first: int) -> None:
    """Do everything that a daemon does to a store, again and again. Each number is sent only after its commit."""
    store = open_store(path, create=True, group_access=False)
    acknowledge.send(-1)
    number = first
    while True:
        key = add(store, f"task-{number}", now=NOW + number)[0].key
        store.commit([make_progress(50, key)], Teller())
        store.commit([make_end(key)], Teller())
        for delivery in due(store, limit=5):
            store.commit([make_attempt(delivery, at=NOW + number)], Teller())
        acknowledge.send(number)
        number += 1
        if number % 7 == 0:
            store.prune(now=NOW + 1000, ended_s=1e9, delivered_s=1e9, dead_s=1e9, limit=10)


def start(path: Path, acknowledge: Connection) -> None:
    open_store(path, create=True, group_access=False)
    acknowledge.send(-1)
    time.sleep(60)


def killed(target: Callable[..., None], *args: object, wait_for: int, after_s: float) -> list[int]:
    """Run `target`, kill it `after_s` after this many messages, and return all it had sent."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=target, args=(*args[:1], sender, *args[1:]))
    process.start()
    sender.close()
    sent: list[int] = []
    try:
        while len(sent) < wait_for:
            sent.append(receiver.recv())
        time.sleep(after_s)
        process.kill()
        while True:
            sent.append(receiver.recv())
    except EOFError:
        return sent
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()


def test_after_a_kill_every_acknowledged_change_is_complete(path: Path) -> None:
    acknowledged: set[int] = set()
    for kill in range(12):
        first = max(acknowledged, default=0) + 2
        sent = killed(work, path, first, wait_for=2 + kill % 3, after_s=0.0007 * kill)
        acknowledged.update(number for number in sent if number >= 0)
        store = open_store(path, create=False, group_access=False)
        views = {view.task_id: view for view in store.list_watches()}
        assert {f"task-{number}" for number in acknowledged} <= views.keys()
        assert all(views[f"task-{number}"].phase is Phase.SUCCEEDED for number in acknowledged)
        told = {view.task_id for view in store.list_deliveries() if view.topic == "task_succeeded"}
        assert told == {view.task_id for view in views.values() if view.phase is Phase.SUCCEEDED}
        identities = [(view.event_id, view.endpoint) for view in store.list_deliveries()]
        assert len(identities) == len(set(identities))
        store.close()
    assert len(acknowledged) >= 12


def test_a_start_killed_at_any_instant_leaves_a_store_or_none(path: Path) -> None:
    for kill in range(40):
        killed(start, path, wait_for=0, after_s=0.0008 * kill)
        assert not path.exists() or path.stat().st_size >= 4096
        store = open_store(path, create=True, group_access=False)
        add(store, "task-1")
        assert store.view(KEY).phase is Phase.SUBMITTED
        store.close()
        assert {file.name for file in path.parent.iterdir() if not file.name.startswith(".state.db.")} == {"state.db"}
        path.unlink()


def test_a_log_left_behind_is_taken_over(path: Path) -> None:
    killed(work, path, 0, wait_for=5, after_s=0.0)
    assert os.path.getsize(f"{path}-wal") > 0  # noqa: PTH202 - there is no Path of it otherwise
    before = path.read_bytes()
    reader = open_reader(path)
    assert reader.view(KEY).phase is Phase.SUCCEEDED
    reader.close()
    assert path.read_bytes() == before
    store = open_store(path, create=False, group_access=False)
    assert store.view(KEY).phase is Phase.SUCCEEDED
    store.close()
