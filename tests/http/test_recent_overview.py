"""The overview of routes: live tasks are counted each time, finished ones less often in a large store."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config.load import Loaded, load
from bridge.control.store_now import StoreNow
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.http.cached_reading import RecentOverview
from bridge.store import Store
from tests.fakes import FakeClock
from tests.store.making import add, make_end, nobody


class TickingClock(FakeClock):
    """Each look at the clock takes 0.1 s, so that a count takes as long."""

    def steady(self) -> float:
        self._steady += 0.1
        return self._steady


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    path = tmp_path / "genbridge.yaml"
    path.write_text(
        "accounts: {kling: {provider: kling, base_url: 'https://a.example.com', api_key: k, action: a/b}}\n"
    )
    return load(path, {})


async def test_slow_counts_of_finished_tasks_take_a_twentieth_of_the_time(store: Store, loaded: Loaded) -> None:
    clock = TickingClock()
    recent = RecentOverview(clock)

    def counts() -> dict[Phase, int]:
        return dict(recent.read(StoreNow(store, loaded, clock.now())).counts.watches)

    add(store, "a", "b")
    store.commit([make_end(WatchKey("kling", "a"))], nobody)
    assert counts() == store.counts().watches == {Phase.SUBMITTED: 1, Phase.SUCCEEDED: 1}
    add(store, "c")
    store.commit([make_end(WatchKey("kling", "b"))], nobody)
    assert counts() == {Phase.SUBMITTED: 1, Phase.SUCCEEDED: 1}
    await clock.advance(2.0)
    assert counts() == {Phase.SUBMITTED: 1, Phase.SUCCEEDED: 2}
    assert recent.read(StoreNow(store, loaded, clock.now())).counts.live_by_account == {"kling": 1}


def test_a_task_that_has_just_finished_is_counted_in_a_small_store(store: Store, loaded: Loaded) -> None:
    clock = FakeClock()
    recent = RecentOverview(clock)
    add(store, "a", "b")
    for number, task_id in enumerate(("a", "b")):
        found = recent.read(StoreNow(store, loaded, clock.now())).counts.watches
        assert (found[Phase.SUBMITTED], found.get(Phase.SUCCEEDED, 0)) == (2 - number, number)
        store.commit([make_end(WatchKey("kling", task_id))], nobody)
    assert recent.read(StoreNow(store, loaded, clock.now())).counts.watches == {Phase.SUCCEEDED: 2}
