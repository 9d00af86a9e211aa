from __future__ import annotations

import anyio

from bridge.errors import StoreError
from bridge.liveness import LAG_EVERY_S, MAX_SILENCE_S, Liveness, measure_loop_lag
from bridge.metrics import Metrics
from tests.fakes import FakeClock


class Store:
    """A store that answers, fails, hangs or syncs."""

    def __init__(self) -> None:
        self.hangs = self.fails = self.syncs = False

    async def answers(self) -> None:
        if self.hangs:
            await anyio.sleep_forever()
        if self.fails:
            raise StoreError("disk full")


async def alive_after(store: Store, *seconds: float) -> list[bool]:
    """Whether the daemon counts as alive after each of these spans of time."""
    clock = FakeClock()
    liveness = Liveness(clock=clock, answers=store.answers, syncing=lambda: store.syncs, max_silence_s=None)
    found = []
    async with anyio.create_task_group() as group:
        group.start_soon(liveness.run, lambda: None)
        for span in seconds:
            await clock.advance(span)
            found.append(liveness.is_alive())
        group.cancel_scope.cancel()
    return found


async def test_a_daemon_whose_store_answers_is_alive() -> None:
    assert await alive_after(Store(), 0, 3600) == [True, True]


async def test_a_hanging_store_is_tolerated_as_long_as_the_watchdog_waits() -> None:
    store = Store()
    store.hangs = True
    assert await alive_after(store, MAX_SILENCE_S, 1) == [True, False]


async def test_a_store_that_fails_or_syncs_is_alive() -> None:
    failing, syncing = Store(), Store()
    failing.fails = syncing.hangs = syncing.syncs = True
    assert await alive_after(failing, 3600) == [True]
    assert await alive_after(syncing, 3600) == [True]


async def test_a_daemon_that_starts_for_a_long_time_is_alive() -> None:
    clock, store = FakeClock(), Store()
    liveness = Liveness(clock=clock, answers=store.answers, syncing=lambda: False, max_silence_s=20.0)
    clock.stand_still(3600)
    assert liveness.is_alive()


async def test_a_blocked_event_loop_is_not_alive() -> None:
    clock, store = FakeClock(), Store()
    liveness = Liveness(clock=clock, answers=store.answers, syncing=lambda: False, max_silence_s=20.0)
    async with anyio.create_task_group() as group:
        group.start_soon(liveness.run, lambda: None)
        await clock.advance(0)
        clock.stand_still(21)
        assert not liveness.is_alive()
        group.cancel_scope.cancel()


async def test_the_lag_of_the_event_loop_is_how_late_a_timer_is() -> None:
    clock, lag_s = FakeClock(), Metrics().loop_lag_s
    async with anyio.create_task_group() as group:
        group.start_soon(measure_loop_lag, lag_s, clock)
        await clock.advance(0)
        clock.stand_still(LAG_EVERY_S + 0.2)
        await clock.advance(0)
        group.cancel_scope.cancel()
    assert (sum(lag_s.counts), round(lag_s.total_s, 6)) == (1, 0.2)
