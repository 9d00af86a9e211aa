"""More finished tasks do not make any answer to the status page more expensive. The cost is counted in steps of
SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import DeliveryGroup, DeliveryMark, DeliverySearch
from bridge.domain.task import Phase
from bridge.store import Store, open_store, pages
from bridge.store.sqlite.database import Database
from tests.factories import NOW, make_wish
from tests.store.making import Teller, due, make_attempt, make_end, nobody

FEW, MANY = 300, 3000
HOUR = 3600.0
FAILED = (Phase.FAILED, Phase.TIMED_OUT)
ACCEPTED = (DeliveryGroup.ACCEPTED,)
QUESTIONS: dict[str, Callable[[Store], object]] = {
    "finished in the last hour": lambda store: store.finished_in(NOW - HOUR),
    "lags": lambda store: store.delivery_lags(NOW - HOUR),
    "dead deliveries": lambda store: store.dead_deliveries(),
    "accepted": lambda store: store.accepted(NOW - HOUR),
    "expiring": lambda store: store.expiring(NOW),
    "live": lambda store: store.live_watches(),
    "last finished": lambda store: store.finished_watches(limit=24),
    "tasks": lambda store: store.task_page(WatchFilter(), limit=50),
    "tasks, later": lambda store: store.task_page(WatchFilter(), before=100, limit=50),
    "tasks of rare phases": lambda store: store.task_page(WatchFilter(phases=FAILED), limit=50),
    "tasks of a common phase": lambda store: store.task_page(WatchFilter(phases=(Phase.SUCCEEDED,)), limit=50),
    "tasks of an account": lambda store: store.task_page(WatchFilter(account="kling"), limit=50),
    "tasks of a rare account": lambda store: store.task_page(WatchFilter(account="rare"), limit=50),
    "tasks of no account": lambda store: store.task_page(WatchFilter(account="x"), limit=50),
    "tasks of a label": lambda store: store.task_page(WatchFilter(label="Rare"), limit=50),
    "tasks of no label": lambda store: store.task_page(WatchFilter(label="x"), limit=50),
    "failed tasks of a label": lambda store: store.task_page(WatchFilter(label="Rare", phases=FAILED), limit=50),
    "tasks since then": lambda store: store.task_page(WatchFilter(since=NOW + HOUR), limit=50),
    "failed tasks since then": lambda store: store.task_page(WatchFilter(since=NOW, phases=FAILED), limit=50),
    "an id": lambda store: store.task_page(WatchFilter(text="task-000123"), limit=50),
    "an id of an account": lambda store: store.task_page(WatchFilter(text="kling/task-000123"), limit=50),
    "the beginning of a label": lambda store: store.task_page(WatchFilter(text="rar"), limit=50),
    "a text that nothing has": lambda store: store.task_page(WatchFilter(text="zebra"), limit=50),
    "deliveries": lambda store: store.delivery_page(DeliverySearch(), limit=50, now=NOW),
    "deliveries of a rare endpoint": lambda store: store.delivery_page(
        DeliverySearch(groups=ACCEPTED, endpoint="x"), limit=50, now=NOW
    ),
    "deliveries of a rare topic": lambda store: store.delivery_page(
        DeliverySearch(groups=ACCEPTED, topic="x"), limit=50, now=NOW
    ),
    "deliveries, later": lambda store: store.delivery_page(
        DeliverySearch(groups=ACCEPTED),
        after=DeliveryMark(DeliveryGroup.ACCEPTED, NOW - 9 * HOUR, 9),
        limit=50,
        now=NOW,
    ),
    "accepted deliveries of a task": lambda store: store.delivery_page(
        DeliverySearch(groups=ACCEPTED, text="task-000123"), limit=50, now=NOW
    ),
    "count of deliveries of a task": lambda store: store.count_deliveries(
        DeliverySearch(groups=tuple(DeliveryGroup), text="task-000123"), now=NOW
    ),
    "deliveries of a task": lambda store: store.delivery_page(DeliverySearch(text="task-000123"), limit=50, now=NOW),
    "count of deliveries": lambda store: store.count_deliveries(DeliverySearch(groups=tuple(DeliveryGroup)), now=NOW),
    "labels of the list": lambda store: store.list_watches(WatchFilter(label="x"), limit=50),
    "unreadable": lambda store: store.unreadable(),
}


def filled(path: Path, tasks: int) -> Store:
    """A store with this many tasks. The last ten run, and the last hour is the same in every store."""
    store = open_store(path, create=True, group_access=False)
    keys = [WatchKey("kling", f"task-{number:06}") for number in range(tasks - 10)]
    store.add([make_wish(task_id=key.task_id) for key in keys], source="cli", now=NOW - 20 * HOUR)
    store.add([make_wish(account="rare", task_id=f"r{n}", label="Rare") for n in range(10)], source="cli", now=NOW)
    old = len(keys) - 50
    phases = dict.fromkeys(range(3), Phase.FAILED)
    for start in range(0, len(keys), 500):
        numbers = range(start, min(start + 500, len(keys)))
        ages = {number: 10 * HOUR * (1 - number / tasks) + 2 * HOUR if number < old else 60.0 for number in numbers}
        ends = [make_end(keys[n], at=NOW - ages[n], phase=phases.get(n, Phase.SUCCEEDED)) for n in numbers]
        store.commit(ends, Teller())
        made = [make_attempt(one, at=one.created_at + 1) for one in due(store, limit=500)]
        made = [replace(one, state=DeliveryState.DEAD) if one.delivery_id <= 3 else one for one in made]
        store.commit(made, nobody)
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    folder = tmp_path_factory.mktemp("stores")
    stores = [filled(folder / f"{tasks}.db", tasks) for tasks in (FEW, MANY)]
    yield stores
    for store in stores:
        store.close()


def steps(store: Store, question: Callable[[Store], object]) -> int:
    """How many steps SQLite takes for this call, in tens."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    database = store._database
    assert isinstance(database, Database)
    connection = database._connected()
    connection.set_progress_handler(step, 10)
    try:
        question(store)
    finally:
        connection.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_pages_cost_does_not_depend_on_the_number_of_finished_tasks(
    stores: list[Store], question: Callable[[Store], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCANNED", 100)
    monkeypatch.setattr(pages, "COUNTED", 100)
    few, many = (steps(store, question) for store in stores)
    assert many < 1.3 * few + 20
