"""Pauses: how long they last, and that they do not count as age."""

from __future__ import annotations

import math

from bridge.domain.pause import Pause, PauseOf, lasting

PAUSE = Pause(of=PauseOf.ACCOUNT, name="kling", since_at=100.0, until_at=160.0)


def test_a_pause_with_an_end_is_over_by_itself() -> None:
    assert PAUSE.lasts(159.9)
    assert not PAUSE.lasts(160.0)
    assert [PAUSE.paused_s(at) for at in (90.0, 130.0, 160.0, 500.0)] == [0.0, 30.0, 60.0, 60.0]


def test_a_pause_without_an_end_lasts_until_it_is_ended() -> None:
    endless = Pause(of=PauseOf.ENDPOINT, name="hook", since_at=100.0, until_at=None)
    assert endless.ends_at == math.inf
    assert endless.lasts(1e12)
    ended = endless.again(150.0, 150.0)
    assert not ended.lasts(150.0)
    assert ended.paused_s(900.0) == 50.0


def test_a_new_end_moves_the_pause_and_a_later_pause_adds_up() -> None:
    longer = PAUSE.again(120.0, 200.0)
    assert (longer.since_at, longer.until_at, longer.before_s) == (100.0, 200.0, 0.0)
    later = PAUSE.again(300.0, None)
    assert (later.since_at, later.before_s) == (300.0, 60.0)
    assert later.paused_s(310.0) == 70.0


def test_only_current_pauses_of_the_kind_are_found() -> None:
    assert lasting([PAUSE], PauseOf.ACCOUNT, 120.0) == {"kling": PAUSE}
    assert lasting([PAUSE], PauseOf.ACCOUNT, 160.0) == {}
    assert lasting([PAUSE], PauseOf.ENDPOINT, 120.0) == {}
