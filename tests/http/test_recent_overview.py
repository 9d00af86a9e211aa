"""The overview of routes: live tasks are counted each time, finished ones only now and then."""

from __future__ import annotations

from pathlib import Path

from bridge.config.load import load
from bridge.control.store_now import StoreNow
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.http.cached_reading import RecentOverview
from bridge.store import Store
from tests.fakes import FakeClock
from tests.store.making import add, make_end, nobody


async def test_finished_tasks_are_counted_once_a_second_and_live_ones_each_time(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "genbridge.yaml"
    path.write_text(
        "accounts: {kling: {provider: kling, base_url: 'https://a.example.com', api_key: k, action: a/b}}\n"
    )
    loaded, clock = load(path, {}), FakeClock()
    recent = RecentOverview(clock)

    def counts() -> dict[Phase, int]:
        return dict(recent.read(StoreNow(store, loaded, clock.now())).counts.watches)

    add(store, "a", "b")
    store.commit([make_end(WatchKey("kling", "a"))], nobody)
    assert counts() == store.counts().watches == {Phase.SUBMITTED: 1, Phase.SUCCEEDED: 1}
    add(store, "c")
    store.commit([make_end(WatchKey("kling", "b"))], nobody)
    assert counts() == {Phase.SUBMITTED: 1, Phase.SUCCEEDED: 1}
    await clock.advance(1.0)
    assert counts() == {Phase.SUBMITTED: 1, Phase.SUCCEEDED: 2}
    assert recent.read(StoreNow(store, loaded, clock.now())).counts.live_by_account == {"kling": 1}
