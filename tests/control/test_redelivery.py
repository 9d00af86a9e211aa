"""The preview of a redelivery, and the table of deliveries."""

from __future__ import annotations

from bridge.config.load import Loaded
from bridge.control.delivery_list import planned_redelivery, redeliver
from bridge.control.delivery_waits import DeliveryWait, WaitCause
from bridge.control.grouped_deliveries import ROWS, GroupedDeliveries, grouped_deliveries
from bridge.control.store_now import StoreNow
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.filters import DeliveryFilter
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.page_views import DeliveryGroup, DeliverySearch
from bridge.domain.pause import PauseOf
from bridge.store import Store
from tests.factories import NOW, make_wish
from tests.store.making import Teller, add, due, make_attempt, make_deferred, make_end, nobody

SETTINGS = """
accounts:
  kling: {provider: kling, base_url: "https://api.example.com", api_key: k, action: videos/text2video}
archive: {to: copies/}
endpoints:
  automation: {type: webhook, url: "https://hooks.example.com/kling"}
  crm: {type: webhook, url: "https://hooks.example.com/crm"}
"""
WAITING = DeliveryFilter(states=(DeliveryState.WAITING,))
QUEUES = Teller(("automation", ""), ("crm", ""), ("removed", ""), ("@archive", ""))


def table(store: Store, loaded: Loaded, *, after: str | None = None, opened: str = "") -> GroupedDeliveries:
    event, _, endpoint = opened.partition(",")
    wanted = (event, endpoint, "") if opened else None
    return grouped_deliveries(StoreNow(store, loaded, NOW + 100), DeliverySearch(), after=after, opened=wanted)


def test_a_redelivery_says_which_endpoints_get_nothing_now(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end()], QUEUES)
    store.pause(PauseOf.ENDPOINT, "crm", now=NOW, until_at=None)
    planned = planned_redelivery(StoreNow(store, loaded, NOW + 100), WAITING)
    assert planned.number == 4
    assert {one.topic for one in planned.totals} == {"task_succeeded"}
    assert sorted(one.endpoint for one in planned.totals) == ["@archive", "automation", "crm", "removed"]
    assert planned.off["crm"].startswith("the endpoint is paused since ")
    assert planned.off == {"crm": planned.off["crm"], "removed": "this endpoint is not in the settings"}
    gone = make_deferred(due(store)[0], next_attempt_at=NOW, outcome="refused", detail="HTTP 410 Gone", disables=True)
    store.commit([gone], nobody)
    one = planned_redelivery(StoreNow(store, loaded, NOW + 100), WAITING._replace(endpoint="automation"))
    why = "the endpoint is disabled: HTTP 410 Gone; `genbridge enable automation` sends again"
    assert (one.number, one.off) == (1, {"automation": why})
    nothing = planned_redelivery(StoreNow(store, loaded, NOW + 100), WAITING._replace(topic="task_failed"))
    assert (nothing.number, nothing.off) == (0, {})


def test_all_dead_deliveries_are_redelivered_but_copies_only_if_named(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller(("automation", ""), (ARCHIVE, "")))
    waiting = [*due(store), *due(store, queue=(ARCHIVE, ""))]
    store.commit([make_attempt(one, state=DeliveryState.DEAD, outcome="refused") for one in waiting], nobody)
    dead = DeliveryFilter(states=(DeliveryState.DEAD,))
    for wanted, endpoint in ((dead, "automation"), (dead._replace(endpoint=ARCHIVE), ARCHIVE)):
        assert [one.endpoint for one in planned_redelivery(StoreNow(store, loaded, NOW), wanted).totals] == [endpoint]
    assert redeliver(store, loaded, dead, expect=1) == 1
    assert redeliver(store, loaded, dead._replace(endpoint=ARCHIVE), expect=1) == 1


def test_each_row_says_what_it_waits_for(store: Store, loaded: Loaded) -> None:
    store.add([make_wish(label="First")], source="cli", now=NOW)
    store.commit([make_end()], Teller(("automation", ""), ("crm", "")))
    gone = make_deferred(due(store)[0], next_attempt_at=NOW, outcome="refused", detail="HTTP 410 Gone", disables=True)
    store.commit([gone], nobody)
    store.pause(PauseOf.ENDPOINT, "crm", now=NOW, until_at=NOW + 900)
    off, paused = table(store, loaded).rows
    assert (off.group, off.label) == (DeliveryGroup.OFF, "First")
    assert off.wait == DeliveryWait(WaitCause.DISABLED, "HTTP 410 Gone")
    assert paused.wait == DeliveryWait(WaitCause.PAUSED, until_at=NOW + 900)
    assert paused.view.next_attempt_at == NOW + 900
    assert off.task == WatchKey("kling", "task-1")


def test_pages_follow_each_other_without_gaps(store: Store, loaded: Loaded) -> None:
    names = [f"task-{number:02d}" for number in range(ROWS + 5)]
    add(store, *names)
    store.commit([make_end(WatchKey("kling", name)) for name in names], Teller())
    first = table(store, loaded)
    assert first.after is not None
    second = table(store, loaded, after=first.after)
    assert (len(first.rows), len(second.rows), second.after) == (ROWS, 5, None)
    assert len({row.name for row in (*first.rows, *second.rows)}) == ROWS + 5


def test_one_delivery_opens_with_its_bytes_and_another_name_opens_nothing(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller())
    [row] = table(store, loaded).rows
    opened = table(store, loaded, opened=f"{row.view.event_id},automation").opened
    assert opened is not None
    assert (opened.row.name, opened.size_bytes) == (row.name, len(opened.body))
    assert opened.body == f"task_succeeded {row.view.event_id}".encode()
    assert table(store, loaded, opened=f"{row.view.event_id},crm").opened is None
    assert table(store, loaded, opened="nothing").opened is None
