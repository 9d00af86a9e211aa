"""The lists of the status page: running tasks, finished tasks, and deliveries."""

from __future__ import annotations

import pytest

from bridge.config.load import Loaded
from bridge.control.grouped_deliveries import grouped_deliveries
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import finished_watches, running_watches, search_watches
from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.filters import WatchFilter
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import DeliveryGroup, DeliverySearch
from bridge.errors import UsageError
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import Teller, add, due, make_deferred, make_end, nobody

SETTINGS = """
accounts:
  kling: {provider: kling, base_url: "https://api.example.com", api_key: k, action: videos/text2video}
  suno: {provider: kling, base_url: "https://api.example.org", api_key: k, action: videos/text2video}
endpoints:
  automation: {type: webhook, url: "https://hooks.example.com/kling"}
"""


def learn(store: Store, account: str, seconds: float) -> None:
    """Store that many tasks of this account took this long."""
    table = Table()
    for _ in range(200):
        table.seen(0.0, seconds)
        table.ended([seconds], succeeded=True)
    store.learn({DurationKey(account): table})


def test_the_task_that_should_finish_first_comes_first(store: Store, loaded: Loaded) -> None:
    learn(store, "kling", 600.0)
    learn(store, "suno", 20.0)
    for account, name, at in (("kling", "slow", 0), ("kling", "nearly", -560), ("suno", "quick", 0), ("x", "new", -9)):
        store.add([make_wish(account=account, task_id=name)], source="cli", now=NOW + at)
    found = running_watches(StoreNow(store, loaded, NOW + 1), limit=3)
    assert [view.task_id for view in found.views] == ["quick", "nearly", "slow"]
    assert [found.eta(view) is None for view in found.views] == [False] * 3


def test_without_estimates_the_oldest_come_first(store: Store, loaded: Loaded) -> None:
    for name, at in (("young", 5.0), ("old", 0.0)):
        add(store, name, now=NOW + at)
    found = running_watches(StoreNow(store, loaded, NOW + 9), limit=9)
    assert [view.task_id for view in found.views] == ["old", "young"]


def test_the_last_finished_come_first(store: Store, loaded: Loaded) -> None:
    add(store, *"abc")
    for place, name in enumerate("bac"):
        store.commit([make_end(WatchKey("kling", name), at=NOW + 60.1 + place)], nobody)
    found = finished_watches(StoreNow(store, loaded, NOW + 99), limit=2)
    assert [view.task_id for view in found.views] == ["c", "a"]


def test_a_search_goes_on_with_its_cursor(store: Store, loaded: Loaded) -> None:
    add(store, *"abc")
    first = search_watches(StoreNow(store, loaded, NOW), WatchFilter(account="kling"), limit=2)
    assert first.next is not None
    second = search_watches(StoreNow(store, loaded, NOW), WatchFilter(account="kling"), limit=2, cursor=first.next)
    assert [view.task_id for page in (first, second) for view in page.views] == ["c", "b", "a"]


def test_deliveries_are_found_with_their_standing_page_by_page(store: Store, loaded: Loaded) -> None:
    add(store, *"abc")
    store.commit([make_end(WatchKey("kling", name)) for name in "abc"], Teller())
    store.commit([make_deferred(due(store)[0], next_attempt_at=NOW + 400)], nobody)
    found, cursor = [], None
    while True:
        page = grouped_deliveries(StoreNow(store, loaded, NOW + 99), DeliverySearch(), limit=1, after=cursor)
        found += [(row.group, row.view.task_id) for row in page.rows]
        cursor = page.after
        if cursor is None:
            break
    assert found == [(DeliveryGroup.WAITING, name) for name in "abc"]


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "s", "sdead_1", "sgone_1_1", "sdead_1_1_1", "sdead_x_1", "sdead_nan_1", "sdead_inf_1"),
        *(f"sdead_1_{1 << 63}", "sdead_1_" + "1" * 200),
    ],
)
def test_a_wrong_cursor_of_deliveries_is_refused(store: Store, loaded: Loaded, cursor: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        grouped_deliveries(StoreNow(store, loaded, NOW), DeliverySearch(), after=cursor)
