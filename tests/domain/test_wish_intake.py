"""What happens to the tasks that a source names."""

from __future__ import annotations

import pytest

from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.wish_intake import WishIntake
from tests.factories import make_wish

WISH = make_wish(task_id="t1")


def intake(phase: Phase | None, *, named: bool = False, again: bool = False, revive: bool = True) -> WishIntake:
    known = {} if phase is None else {WISH.key: (7, phase)}
    return WishIntake(known, {7} if named else set(), again=again, revive=revive)


def test_a_new_task_is_added_once() -> None:
    found = intake(None)
    assert [found.take(WISH), found.take(WISH)] == [("added", Phase.SUBMITTED), ("known", Phase.SUBMITTED)]
    assert found.new == {WISH.key: WISH}
    assert found.facts == [(WatchKey(WISH.account, "t1"), "added")]


@pytest.mark.parametrize(
    ("phase", "again", "revive", "what", "after"),
    [
        (Phase.RUNNING, True, True, "known", Phase.RUNNING),
        (Phase.WITHDRAWN, False, True, "revived", Phase.SUBMITTED),
        (Phase.WITHDRAWN, True, False, "withdrawn", Phase.WITHDRAWN),
        (Phase.FAILED, True, True, "again", Phase.SUBMITTED),
        (Phase.FAILED, False, True, "ended", Phase.FAILED),
    ],
)
def test_adding_a_known_task_has_the_documented_result(
    phase: Phase, again: bool, revive: bool, what: str, after: Phase
) -> None:
    found = intake(phase, again=again, revive=revive)
    assert found.take(WISH) == (what, after)
    assert list(found.over) == ([7] if what in {"revived", "again"} else [])
    assert found.again == ([7] if what == "again" else [])
    assert found.named == ([] if what == "withdrawn" else [7])


def test_a_task_that_starts_over_is_known_afterwards() -> None:
    found = intake(Phase.FAILED, again=True)
    assert [found.take(WISH)[0], found.take(WISH)[0]] == ["again", "known"]
    assert (found.facts, found.named) == ([(7, "again")], [7])


def test_a_source_that_names_a_task_again_adds_nothing() -> None:
    found = intake(Phase.RUNNING, named=True)
    assert found.take(WISH) == ("known", Phase.RUNNING)
    assert (found.facts, found.named) == ([], [])
    assert intake(Phase.RUNNING).take(WISH) == ("known", Phase.RUNNING)
