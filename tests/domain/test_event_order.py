"""How far a reader of the event log goes: in order, and only past gaps that can no longer be filled."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.event_order import EventOrder

pytestmark = pytest.mark.usefixtures("unmeasured")

PAGE = 4  # numbers that the reader sees at a time


@dataclass
class Log:
    """An event log with its writers, as in PostgreSQL, and one reader."""

    last: int = 0
    open: dict[str, list[int]] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    snapshot: set[int] | None = None
    order: EventOrder = field(default_factory=EventOrder)
    position: int = 0
    read: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self.open[f"writer {self.last} {len(self.open)}"] = []

    def take(self, which: int) -> None:
        self.last += 1
        list(self.open.values())[which % len(self.open)].append(self.last)

    def end(self, which: int, *, commits: bool) -> None:
        numbers = self.open.pop(list(self.open)[which % len(self.open)])
        if commits:
            self.committed.update(numbers)

    def look(self) -> None:
        """The first half of a reading: get the open writers, then a snapshot."""
        if self.order.is_waiting:
            self.order.settle(self.open)
        self.snapshot = set(self.committed)

    def go_on(self) -> None:
        """The second half of a reading. Other writers may have committed between the halves."""
        snapshot, self.snapshot = self.snapshot or set(), None
        numbers = sorted(number for number in snapshot if number > self.position)[:PAGE]
        upto = self.order.passable(self.position, numbers)
        if numbers and upto < numbers[-1]:
            self.order.doubt(max(snapshot), self.open)
        self.read += [number for number in numbers if number <= upto]
        self.position = upto


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "take", "take", "commit", "abort", "look", "go on"]), st.integers(0, 7)),
    max_size=80,
)


@settings(max_examples=500)
@given(STEPS)
def test_every_committed_event_is_read_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    log = Log()
    for step, which in steps:
        match step:
            case "begin":
                log.begin()
            case "take" if log.open:
                log.take(which)
            case "commit" | "abort" if log.open:
                log.end(which, commits=step == "commit")
            case "look" if log.snapshot is None:
                log.look()
            case "go on" if log.snapshot is not None:
                log.go_on()
            case _:
                pass
        assert log.read == sorted(set(log.read))
    for _ in range(len(log.open)):
        log.end(0, commits=True)
    for _ in range(2 * log.last + 4):
        log.look()
        log.go_on()
    assert log.read == sorted(log.committed)


def test_a_gap_is_passed_when_all_transactions_open_at_its_discovery_ended() -> None:
    order = EventOrder()
    assert order.passable(0, [1, 3]) == 1
    order.doubt(3, ["a", "b"])
    for still_open in (["a", "b", "c"], ["b", "c"]):
        order.settle(still_open)
        assert order.passable(1, [3]) == 1
    order.settle(["c"])
    assert order.passable(1, [3, 5]) == 3


def test_a_gap_that_nobody_can_fill_is_passed_at_the_next_read() -> None:
    order = EventOrder()
    order.doubt(3, [])
    assert not order.is_waiting
    assert order.passable(1, [3]) == 3
