"""What every store must do, on every engine: what the commands change."""

from __future__ import annotations

import pytest

from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.views import RequestResult
from bridge.errors import OutdatedError
from bridge.store import Store
from tests.factories import NOW
from tests.store.making import (
    KEY,
    QUEUE,
    Teller,
    add,
    due,
    facts,
    make_attempt,
    make_block,
    make_end,
    make_note,
    make_progress,
    nobody,
    state_of,
)

pytestmark = pytest.mark.usefixtures("unmeasured")

B = WatchKey("kling", "b")


class TestAsks:
    def test_withdrawing_ends_a_watch_without_an_event(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.commit([make_end()], nobody)
        unknown = WatchKey("kling", "unknown")
        assert store.withdraw([KEY, B, B, unknown], now=NOW + 9) == [
            RequestResult(key=KEY, done=False, phase=Phase.SUCCEEDED),
            RequestResult(key=B, done=True, phase=Phase.WITHDRAWN),
            RequestResult(key=B, done=False, phase=Phase.WITHDRAWN),
            RequestResult(key=unknown, done=False, phase=None),
        ]
        assert store.list_deliveries() == []
        assert store.counts().live == 0
        assert facts(store, B) == [("added", "cli"), ("withdrawn", "by command")]

    def test_a_poll_can_be_requested_while_a_watch_is_live(self, store: Store) -> None:
        add(store, "task-1", "b")
        store.note([make_note(B, next_poll_at=NOW + 500)])
        store.commit([make_end()], nobody)
        asked = store.poll_now([B, KEY], now=NOW + 9)
        assert [(one.done, one.phase) for one in asked] == [(True, Phase.RUNNING), (False, Phase.SUCCEEDED)]
        assert state_of(store, B).next_poll_at == 0, "at once, whatever the clock of the command"

    def ended(self, store: Store) -> Teller:
        """Two finishes, each for two endpoints. At automation, that of a is dead and that of b is accepted. At chat,
        both wait."""
        add(store, "task-1", "b")
        tell = Teller(QUEUE, ("chat", ""))
        store.commit([make_end(at=NOW + 10), make_end(B, at=NOW + 20)], tell)
        first, second = due(store)
        dead = make_attempt(first, state=DeliveryState.DEAD, attempts=10, outcome="deferred")
        store.commit([dead, make_attempt(second)], nobody)
        return tell

    def redeliver(
        self,
        store: Store,
        *event_ids: str,
        dead: bool = False,
        since: float | None = None,
        endpoint: str | None = None,
    ) -> int:
        states = (DeliveryState.DEAD,) if dead else ()
        return store.redeliver(DeliveryFilter(event_ids=event_ids, states=states, since=since, endpoint=endpoint))

    def test_dead_deliveries_can_be_redelivered_unchanged(self, store: Store) -> None:
        tell = self.ended(store)
        assert self.redeliver(store, dead=True) == 1
        [delivery] = due(store)
        assert (delivery.event_id, delivery.attempts) == (tell.events[0].event_id, 0)
        assert delivery.body == f"task_succeeded {delivery.event_id}".encode()
        assert self.redeliver(store, dead=True) == 0
        store.commit([make_attempt(delivery, at=NOW + 1001)], nobody)
        assert due(store) == []

    def test_an_event_can_be_delivered_again_wherever_it_went(self, store: Store) -> None:
        tell = self.ended(store)
        second = tell.events[1].event_id
        assert self.redeliver(store, second, "evt_unknown") == 2
        assert [one.event_id for one in due(store)] == [second]
        assert self.redeliver(store, second, endpoint="chat") == 1

    def test_deliveries_created_since_an_instant_can_be_redelivered(self, store: Store) -> None:
        self.ended(store)
        assert self.redeliver(store, since=NOW + 20, endpoint="automation") == 1
        assert [one.subject for one in due(store)] == ["b"]
        assert self.redeliver(store, since=NOW + 21) == 0
        assert self.redeliver(store, since=NOW, dead=True) == 1

    def test_without_a_filter_nothing_is_redelivered(self, store: Store) -> None:
        self.ended(store)
        assert self.redeliver(store) == 0
        assert self.redeliver(store, endpoint="automation") == 0

    def test_one_topic_can_be_delivered_again(self, store: Store) -> None:
        self.ended(store)
        store.commit([make_block()], Teller())
        assert store.redeliver(DeliveryFilter(topic="account_blocked", states=(DeliveryState.ACCEPTED,))) == 0
        assert store.redeliver(DeliveryFilter(topic="account_blocked")) == 1

    def test_nothing_is_redelivered_when_others_match_than_were_expected(self, store: Store) -> None:
        self.ended(store)
        with pytest.raises(OutdatedError, match="1 deliveries match, not 2"):
            store.redeliver(DeliveryFilter(states=(DeliveryState.DEAD,)), expect=2)
        assert store.counts().dead == 1
        with pytest.raises(OutdatedError, match="0 deliveries match, not 1"):
            store.redeliver(DeliveryFilter(states=(DeliveryState.CANCELED,)), expect=1)
        assert store.redeliver(DeliveryFilter(states=(DeliveryState.DEAD,)), expect=1) == 1
        assert store.counts().dead == 0

    def test_canceled_deliveries_stay_canceled(self, store: Store) -> None:
        add(store, "task-1")
        store.commit([make_progress(10), make_end()], Teller())
        assert self.redeliver(store, since=0.0) == 1
        assert store.redeliver(DeliveryFilter(states=(DeliveryState.CANCELED,))) == 0
        assert [one.state for one in store.deliveries_of(KEY)] == ["canceled", "waiting"]
