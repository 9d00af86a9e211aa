"""The stored state of an account, from its parts."""

from __future__ import annotations

from bridge.domain.account_state import AccountState, RouteWait, whole_states
from bridge.domain.pause import Pause, PauseOf
from tests.factories import NOW


def test_a_block_a_hold_or_a_pause_gives_an_account_a_state() -> None:
    blocked = AccountState(account="kling", blocked_at=NOW)
    wait = RouteWait(route="videos", until_at=NOW + 9, reason="HTTP 502")
    pause = Pause(of=PauseOf.ACCOUNT, name="suno", since_at=NOW, until_at=None)
    states = whole_states([blocked], {"kling": [wait], "runway": [wait]}, [pause])
    assert states["kling"] == AccountState(account="kling", blocked_at=NOW, route_waits=(wait,))
    assert states["runway"] == AccountState(account="runway", route_waits=(wait,))
    assert states["suno"] == AccountState(account="suno", pause=pause)
    assert len(states) == 3


def test_a_state_moves_its_block_and_pause_to_another_clock() -> None:
    pause = Pause(of=PauseOf.ACCOUNT, name="kling", since_at=NOW, until_at=None)
    state = AccountState(account="kling", blocked_at=NOW, wait_until_at=NOW, pause=pause)
    moved = AccountState(account="kling", blocked_at=NOW - 9, wait_until_at=NOW, pause=pause.moved(-9))
    assert state.moved(-9) == moved
    assert AccountState(account="kling").moved(-9) == AccountState(account="kling")
