"""What every store must return for redeliveries, on every engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.views import DeliveryTotal
from bridge.errors import OutdatedError
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import Teller, add, due, make_attempt, make_end, nobody

CHATS = Teller(("automation", ""), ("chat", "1:aa"), ("chat", "2:bb"))
DEAD = DeliveryFilter(states=(DeliveryState.DEAD,))


def key(name: str) -> WatchKey:
    return WatchKey("kling", name)


def all_dead(store: Store, endpoint: str, target: str) -> None:
    dead = [
        replace(make_attempt(one, at=NOW + 90), state=DeliveryState.DEAD, outcome="deferred")
        for one in due(store, queue=(endpoint, target))
    ]
    store.commit(dead, nobody)


@pytest.fixture
def chats(store: Store) -> Store:
    """Two finishes for a webhook and for a chat with two URLs. All deliveries to the chat are dead."""
    add(store, "a", "b")
    store.commit([make_end(key("a")), make_end(key("b"), phase=Phase.FAILED, at=NOW + 70)], CHATS)
    for target in ("1:aa", "2:bb"):
        all_dead(store, "chat", target)
    return store


def test_totals_count_deliveries_by_endpoint_and_topic(chats: Store) -> None:
    totals = chats.delivery_totals(DEAD)
    assert [one[:3] for one in totals] == [("chat", "task_failed", 2), ("chat", "task_succeeded", 2)]
    assert all(one.first_at == one.last_at for one in totals)
    assert [one[:3] for one in chats.delivery_totals(DEAD._replace(target="1:aa", topic="task_failed"))] == [
        ("chat", "task_failed", 1)
    ]
    assert sum(one.deliveries for one in chats.delivery_totals(DeliveryFilter(endpoint="automation"))) == 2
    assert chats.delivery_totals(DEAD._replace(since=NOW + 1e6)) == []
    assert isinstance(totals[0], DeliveryTotal)


def test_one_url_of_a_chat_can_be_redelivered_separately(chats: Store) -> None:
    one = DeliveryFilter(event_ids=(chats.list_deliveries(DEAD)[0].event_id,), endpoint="chat", target="2:bb")
    assert chats.redeliver(one._replace(states=DEAD.states), expect=1) == 1
    assert [(view.target, str(view.state)) for view in chats.list_deliveries(one)] == [("2:bb", "waiting")]
    assert len(chats.list_deliveries(DEAD)) == 3
    with pytest.raises(OutdatedError):
        chats.redeliver(one._replace(states=DEAD.states), expect=1)


def test_an_endpoint_and_a_target_alone_are_no_narrow_filter(chats: Store) -> None:
    assert chats.redeliver(DeliveryFilter(endpoint="chat", target="2:bb")) == 0


def test_the_body_is_what_is_sent_and_can_be_cut(chats: Store) -> None:
    view = chats.list_deliveries(DeliveryFilter(endpoint="automation"))[0]
    [delivery] = [one for one in due(chats) if one.delivery_id == view.delivery_id]
    assert chats.delivery_body(view.delivery_id, most=1 << 20) == (delivery.body, len(delivery.body))
    assert chats.delivery_body(view.delivery_id, most=3) == (delivery.body[:3], len(delivery.body))
    assert chats.delivery_body(10**9, most=3) == (b"", 0)


def test_the_ids_and_phases_of_many_tasks_are_found_at_once(store: Store) -> None:
    store.add([make_wish(task_id="a"), make_wish(task_id="b")], source="test", now=NOW)
    views = store.list_watches()
    known = {WatchKey(view.account, view.task_id): (view.watch_id, view.phase) for view in views}
    assert store.known([key("a"), key("b"), key("gone")]) == known
    assert store.known([]) == {}


def test_polls_are_counted_for_each_account_over_its_finished_tasks(store: Store) -> None:
    add(store, "a", "b", "c", "d")
    assert store.polls_per_task() == {}
    store.commit([make_end(key("a")), make_end(key("b"))], nobody)
    store.withdraw([key("c")], now=NOW)
    polls = [view.polls for view in store.list_watches() if view.task_id in "ab"]
    assert store.polls_per_task() == {"kling": (sum(polls) / 2, 2)}
