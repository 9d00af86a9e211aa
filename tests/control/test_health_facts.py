"""What the page shows of accounts and endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from bridge.config.load import Loaded
from bridge.control.health_facts import AccountFacts, EndpointFacts, FactState, account_facts, endpoint_facts
from bridge.control.overview import overview
from bridge.control.store_now import StoreNow
from bridge.domain.change import AccountAskedToWait
from bridge.domain.daemon_state import AccountNow, DaemonNow
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import BoundedCount
from bridge.domain.pause import PauseOf
from bridge.store import Store
from tests.factories import NOW
from tests.store.making import Teller, add, due, make_attempt, make_block, make_deferred, make_end, nobody

SETTINGS = """
accounts:
  suno: {provider: kling, base_url: "https://api.example.org", api_key: k, action: audio}
  kling: {provider: kling, base_url: "https://api.example.com", api_key: k, action: videos/text2video}
endpoints:
  backup: {type: webhook, url: "https://hooks.example.com/backup"}
  automation: {type: webhook, url: "https://hooks.example.com/kling"}
"""
CALM = AccountNow(in_flight=2, rate=10.0, full_rate=10.0, answered_at=NOW + 5)
WORKS = DaemonNow(is_working=True, accounts={"kling": CALM, "suno": CALM})


class Facts(NamedTuple):
    accounts: list[AccountFacts]
    endpoints: list[EndpointFacts]


def facts(store: Store, loaded: Loaded, daemon: DaemonNow = WORKS) -> Facts:
    at = StoreNow(store, loaded, NOW + 100)
    found = overview(at)
    accounts = account_facts(at, found, daemon=daemon, polls={"kling": 60.0})
    return Facts(accounts, endpoint_facts(at, found))


def account(found: Facts, name: str = "kling") -> AccountFacts:
    return next(one for one in found.accounts if one.account == name)


def endpoint(found: Facts, name: str = "automation") -> EndpointFacts:
    return next(one for one in found.endpoints if one.endpoint == name)


def states(found: Facts) -> list[tuple[str, FactState]]:
    return [(one.account, one.state) for one in found.accounts] + [(one.endpoint, one.state) for one in found.endpoints]


def test_all_is_well(store: Store, loaded: Loaded) -> None:
    table = Table()
    for _ in range(50):
        table.seen(0.0, 100.0)
        table.ended([100.0], succeeded=True)
    store.learn({DurationKey("kling", "videos/text2video"): table})
    add(store, "task-1")
    found = facts(store, loaded)
    assert states(found) == [(name, FactState.WELL) for name in ("suno", "kling", "backup", "automation")]
    kling = account(found)
    assert (kling.live, kling.in_flight, kling.answered_at) == (1, 2, NOW + 5)
    assert (kling.polls_per_minute, kling.rate_used) == (60.0, 0.1)
    assert account(found, "suno").rate_used is None
    assert kling.usual_s == pytest.approx(100, rel=0.3)


def test_problems_come_first(store: Store, loaded: Loaded) -> None:
    store.commit([make_block()], nobody)
    store.pause(PauseOf.ENDPOINT, "automation", now=NOW, until_at=NOW + 500)
    blocked = replace(WORKS, accounts={"kling": replace(CALM, probe_at=NOW + 160), "suno": replace(CALM, rate=5.0)})
    found = facts(store, loaded, blocked)
    assert states(found) == [
        ("kling", FactState.BLOCKED),
        ("suno", FactState.SLOWED),
        ("automation", FactState.PAUSED),
        ("backup", FactState.WELL),
    ]
    kling = account(found)
    assert (kling.since_at, kling.until_at, kling.reason) == (NOW, NOW + 160, "401: key revoked")
    assert (endpoint(found).since_at, endpoint(found).until_at) == (NOW, NOW + 500)


def test_an_account_that_waits_says_until_when(store: Store, loaded: Loaded) -> None:
    store.commit(
        [AccountAskedToWait(account="kling", until_at=NOW + 200, route="videos/text2video", reason="HTTP 503")], nobody
    )
    kling = account(facts(store, loaded))
    assert (kling.state, kling.until_at, kling.reason) == (FactState.HELD, NOW + 200, "HTTP 503")
    probing = replace(WORKS, accounts={"kling": replace(CALM, probe_at=NOW + 130)})
    assert account(facts(store, loaded, probing)).state == FactState.FAILING
    store.pause(PauseOf.ACCOUNT, "kling", now=NOW + 1, until_at=None)
    assert account(facts(store, loaded, probing)).state == FactState.PAUSED


@pytest.mark.parametrize(
    ("failures", "live", "state"), [(2, 1, FactState.WELL), (3, 1, FactState.FAILING), (3, 0, FactState.WELL)]
)
def test_an_account_whose_polls_all_fail_is_not_well(
    store: Store, loaded: Loaded, failures: int, live: int, state: FactState
) -> None:
    add(store, *["task-1"][:live])
    silent = replace(CALM, failures=failures, failure="api.example.com refused the connection")
    kling = account(facts(store, loaded, replace(WORKS, accounts={"kling": silent})))
    assert (kling.state, kling.reason) == (state, silent.failure if state is FactState.FAILING else "")


def test_an_endpoint_shows_what_waits_what_was_accepted_and_its_last_error(store: Store, loaded: Loaded) -> None:
    add(store, *"abcd")
    for place, name in enumerate("abcd"):
        store.commit([make_end(WatchKey("kling", name), at=NOW + place)], Teller())
    first, second, *_ = due(store)
    store.commit([make_attempt(first, at=NOW + 50)], nobody)
    lost = replace(make_attempt(second, at=NOW + 60), state=DeliveryState.DEAD, outcome="deferred", detail="HTTP 500")
    store.commit([lost], nobody)
    found = endpoint(facts(store, loaded))
    assert (found.state, found.reason, found.since_at) == (FactState.FAILING, "HTTP 500", NOW + 60)
    assert (found.waiting, found.dead) == (2, 1)
    assert (found.accepted, found.accepted_at, found.error) == (BoundedCount(1, False), NOW + 50, "HTTP 500")
    assert endpoint(facts(store, loaded), "backup").accepted == BoundedCount(0, False)


def test_a_disabled_endpoint_is_not_merely_failing(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller())
    gone = make_deferred(due(store)[0], next_attempt_at=NOW, outcome="refused", detail="HTTP 410 Gone", disables=True)
    store.commit([gone], nobody)
    found = endpoint(facts(store, loaded))
    assert (found.state, found.since_at, found.reason) == (FactState.DISABLED, gone.at, "HTTP 410 Gone")
