from __future__ import annotations

import math
import random

from bridge.domain.task import Phase
from bridge.domain.watch import Memory
from bridge.engine.agenda import Agenda, Entry
from tests.factories import NOW, make_state

POLLED = Memory(phase=Phase.RUNNING, polls=3)


def put(agenda: Agenda, task_id: str, due_at: float, *, waited_s: float = 0.0, fresh: bool = False) -> Entry:
    """A watch that falls due then; unless it is fresh it has been polled `waited_s` before that."""
    state = make_state(task_id=task_id, memory=Memory() if fresh else POLLED)
    entry = agenda.add(state, added_at=NOW)
    if waited_s:
        entry.polled_at = due_at - waited_s
    agenda.schedule(entry, due_at)
    return entry


def popped(agenda: Agenda, now: float) -> list[str]:
    found = []
    while (entry := agenda.pop(now)) is not None:
        found.append(entry.task_id)
    return found


def test_what_is_due_comes_in_its_order_and_nothing_before_its_time() -> None:
    agenda = Agenda()
    instants = [NOW + number / 7 for number in range(700)]
    for number in random.Random(1).sample(range(700), 700):
        put(agenda, f"t{number:03}", instants[number])
    assert popped(agenda, NOW + 50) == [f"t{number:03}" for number in range(351)]
    assert popped(agenda, NOW + 50) == []
    assert NOW + 50 < agenda.next_at(NOW + 50) <= instants[351]
    assert len(popped(agenda, NOW + 100)) == 349
    assert agenda.next_at(NOW + 100) == math.inf


def test_the_last_schedule_counts_whether_it_is_earlier_or_later() -> None:
    agenda = Agenda()
    entry = put(agenda, "a", NOW + 5)
    agenda.schedule(entry, NOW + 90)
    assert popped(agenda, NOW + 6) == []
    agenda.schedule(entry, NOW + 7)
    assert popped(agenda, NOW + 7) == ["a"]
    agenda.schedule(entry, NOW + 200)
    assert popped(agenda, NOW + 199) == []
    assert popped(agenda, NOW + 200) == ["a"]


def test_what_is_forgotten_never_comes_up_though_it_was_due() -> None:
    agenda = Agenda()
    for task_id in ("a", "b", "c"):
        put(agenda, task_id, NOW)
    assert agenda.due(NOW) == 3
    agenda.forget("a")
    assert popped(agenda, NOW) == ["b", "c"]
    put(agenda, "d", NOW + 1)
    agenda.clear()
    assert agenda.next_at(NOW + 2) == math.inf


def test_new_watches_and_old_ones_are_served_in_turn() -> None:
    agenda = Agenda()
    for number in range(1000):
        put(agenda, f"new{number:04}", NOW, fresh=True)
    for number in range(10):
        put(agenda, f"old{number}", NOW)
    first = [entry.task_id[:3] for _ in range(20) if (entry := agenda.pop(NOW))]
    assert first.count("old") == first.count("new") == 10
    put(agenda, "another", NOW, fresh=True)
    for number in range(1000):
        put(agenda, f"more{number}", NOW)
    agenda.pop(NOW)
    assert len(popped(agenda, NOW)) == 990 + 1000


def test_of_the_new_ones_the_first_and_the_last_come_in_turn() -> None:
    agenda = Agenda()
    for number in range(6):
        put(agenda, f"flood{number}", NOW, fresh=True)
    assert agenda.due(NOW) == 6
    put(agenda, "alone", NOW + 1, fresh=True)
    agenda.forget("flood4")
    assert popped(agenda, NOW + 1) == ["flood0", "alone", "flood1", "flood5", "flood2", "flood3"]


def test_mates_that_do_not_fit_keep_their_place_among_the_new_ones() -> None:
    agenda = Agenda()
    for task_id in ("x0", "y1", "x2", "y3", "y4"):
        put(agenda, task_id, NOW, fresh=True)
    assert agenda.due(NOW) == 5
    mates = agenda.pop_mates(lambda entry: entry.task_id.startswith("x"), most=9, now=NOW)
    assert [entry.task_id for entry in mates] == ["x0", "x2"]
    assert popped(agenda, NOW) == ["y1", "y4", "y3"]


def test_of_old_watches_that_are_late_those_asked_about_often_come_first() -> None:
    agenda = Agenda()
    put(agenda, "seldom", NOW, waited_s=300)
    put(agenda, "often", NOW + 10, waited_s=2)
    assert popped(agenda, NOW + 20) == ["often", "seldom"]


def test_a_watch_somebody_asks_for_comes_before_all_others() -> None:
    agenda = Agenda()
    for number in range(10):
        put(agenda, f"old{number}", NOW)
    asked_for = put(agenda, "asked for", NOW + 100)
    agenda.hurry(asked_for, NOW)
    assert popped(agenda, NOW)[0] == "asked for"
    assert popped(agenda, NOW + 100) == []


def test_early_means_the_next_of_all_whenever_it_is_due() -> None:
    agenda = Agenda()
    put(agenda, "b", NOW + 200)
    put(agenda, "a", NOW + 100)
    early = [agenda.pop_early(NOW), agenda.pop_early(NOW), agenda.pop_early(NOW)]
    assert [entry.task_id if entry else None for entry in early] == ["a", "b", None]
    put(agenda, "c", NOW + 50)  # though the second of a later one has been opened
    assert popped(agenda, NOW + 50) == ["c"]


def test_mates_are_due_or_have_half_their_wait_behind_them() -> None:
    agenda = Agenda()
    put(agenda, "a first", NOW)
    put(agenda, "due", NOW)
    put(agenda, "ripe", NOW + 4, waited_s=10)
    put(agenda, "young", NOW + 6, waited_s=10)
    put(agenda, "unfit", NOW)
    assert agenda.pop(NOW) is not None
    mates = agenda.pop_mates(lambda entry: entry.task_id != "unfit", most=10, now=NOW)
    assert sorted(entry.task_id for entry in mates) == ["due", "ripe"]
    assert popped(agenda, NOW + 10) == ["unfit", "young"]
