"""What needs a person: each thing that genbridge cannot repair by itself, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.config.load import Loaded
from bridge.control.needs import RECENT_S, Need, NeedCounts, NeedKind, counts_of, needs
from bridge.control.overview import overview
from bridge.control.store_now import StoreNow
from bridge.domain.daemon_state import AccountNow, DaemonNow
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.page_views import LEAST_BYTES, StoreSpace
from bridge.domain.source import SETTINGS as SETTINGS_FILE
from bridge.domain.source import SourceTally
from bridge.store import Store
from tests.factories import NOW
from tests.store.making import VIDEO, Teller, add, due, make_attempt, make_block, make_deferred, make_end, nobody

SETTINGS = """
accounts: {kling: {provider: kling, base_url: "https://api.example.com", api_key: k, action: videos/text2video}}
sources: {queue: queue/}
endpoints:
  automation: {type: webhook, url: "https://hooks.example.com/kling"}
"""
WORKS = DaemonNow(is_working=True)


def found(
    store: Store, loaded: Loaded, *, daemon: DaemonNow = WORKS, now: float = NOW + 100, p95_s: float | None = None
) -> list[Need]:
    at = StoreNow(store, loaded, now)
    return needs(at, overview(at), daemon=daemon, commit_p95_s=p95_s)


def test_nothing_needs_a_person_while_all_is_well(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    assert found(store, loaded, p95_s=0.01) == []


def test_a_temporary_failure_is_not_a_problem(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller())
    store.commit([make_deferred(due(store)[0], next_attempt_at=NOW + 200)], nobody)
    assert found(store, loaded) == []


def test_a_store_that_cannot_be_written_means_that_no_daemon_works(store: Store, loaded: Loaded) -> None:
    failing = replace(WORKS, store_failed_at=NOW + 5)
    assert found(store, loaded, daemon=failing) == [Need(kind=NeedKind.NO_DAEMON, since_at=NOW + 5)]
    assert found(store, loaded, daemon=replace(WORKS, lease_ended_at=NOW + 1))[0].since_at == NOW + 1


def test_without_a_daemon_no_other_problem_is_listed(store: Store, loaded: Loaded) -> None:
    store.commit([make_block()], nobody)
    failing = replace(WORKS, store_failed_at=NOW + 5)
    assert [need.kind for need in found(store, loaded, p95_s=3.0)] == [NeedKind.ACCOUNT_BLOCKED, NeedKind.STORE_SLOW]
    assert [need.kind for need in found(store, loaded, daemon=failing, p95_s=3.0)] == [NeedKind.NO_DAEMON]


def test_dead_deliveries_and_a_blocked_account_come_in_this_order(store: Store, loaded: Loaded) -> None:
    add(store, "a", "b", "c")
    store.commit([make_block(), make_end(WatchKey("kling", "a"))], Teller())
    [delivery] = [one for one in due(store) if one.subject == "a"]
    lost = replace(
        make_attempt(delivery, at=NOW + 70),
        state=DeliveryState.DEAD,
        outcome="deferred",
        detail="HTTP 500",
        attempts=10,
    )
    store.commit([lost], nobody)
    account = AccountNow(in_flight=0, rate=1.0, full_rate=1.0, probe_at=NOW + 160)
    assert found(store, loaded, daemon=replace(WORKS, accounts={"kling": account})) == [
        Need(
            kind=NeedKind.DEAD_DELIVERIES,
            subject="automation",
            count=1,
            since_at=NOW + 70,
            until_at=NOW + 70,
            detail="HTTP 500",
            attempts=10,
        ),
        Need(
            kind=NeedKind.ACCOUNT_BLOCKED,
            subject="kling",
            count=2,
            since_at=NOW,
            until_at=NOW + 160,
            detail="401: key revoked",
        ),
    ]


def test_dead_deliveries_are_no_problem_after_some_days(store: Store, loaded: Loaded) -> None:
    add(store, "a", "b")
    for name, at in (("a", NOW), ("b", NOW + 1000)):
        store.commit([make_end(WatchKey("kling", name))], Teller())
        [delivery] = [one for one in due(store) if one.subject == name]
        dead = replace(make_attempt(delivery, at=at), state=DeliveryState.DEAD, outcome="deferred", detail="HTTP 500")
        store.commit([dead], nobody)
    assert [need.count for need in found(store, loaded, now=NOW + 500 + RECENT_S)] == [2]
    assert counts_of(found(store, loaded, now=NOW + RECENT_S)) == NeedCounts(dead=2, needs=1)
    assert found(store, loaded, now=NOW + 1001 + RECENT_S) == []


def test_a_disabled_endpoint_says_how_many_deliveries_it_holds(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end()], Teller(("automation", ""), ("removed", "")))
    for queue in (("automation", ""), ("removed", "")):
        [delivery] = due(store, queue=queue)
        store.commit(
            [make_deferred(delivery, next_attempt_at=NOW, outcome="refused", detail="HTTP 410 Gone", disables=True)],
            nobody,
        )
    [need] = found(store, loaded)
    assert (need.kind, need.subject, need.count) == (NeedKind.ENDPOINT_DISABLED, "automation", 1)
    assert (need.since_at, need.detail) == (NOW + 61, "HTTP 410 Gone")


def test_a_slow_store_needs_a_person(store: Store, loaded: Loaded) -> None:
    assert found(store, loaded, p95_s=3.0) == [Need(kind=NeedKind.STORE_SLOW, seconds=3.0)]


@pytest.mark.parametrize(
    ("space", "is_full"),
    [
        (StoreSpace(1), False),
        (StoreSpace(1, LEAST_BYTES - 1, LEAST_BYTES * 2), True),
        (StoreSpace(1, 1 << 30, 100 << 30), True),
        (StoreSpace(1, 1 << 30, 4 << 30), False),
        (StoreSpace(1, 40 << 30, 4000 << 30), False),
    ],
)
def test_a_disk_is_nearly_full(space: StoreSpace, is_full: bool) -> None:
    assert space.is_nearly_full == is_full


def test_rejected_files_need_a_person_until_they_are_removed(store: Store, loaded: Loaded, tmp_path: Path) -> None:
    folder = tmp_path / "queue" / "rejected"
    folder.mkdir(parents=True)
    for name in ("a.txt", "a.txt.reason", "b.txt"):
        (folder / name).write_text("x")
    [need] = found(store, loaded)
    assert (need.kind, need.count, need.detail) == (NeedKind.FILES_REJECTED, 2, str(tmp_path / "queue"))
    assert need.since_at is not None
    for file in folder.iterdir():
        file.unlink()
    assert found(store, loaded) == []


def test_a_result_that_expires_before_its_webhook_is_retried_is_a_problem(store: Store, loaded: Loaded) -> None:
    add(store, "task-1")
    store.commit([make_end(snapshot=VIDEO._replace(expires_ms=round((NOW + 500) * 1000)))], Teller())
    store.commit([make_deferred(due(store)[0], next_attempt_at=NOW + 900)], nobody)
    assert found(store, loaded) == [
        Need(
            kind=NeedKind.RESULT_EXPIRES,
            subject="automation",
            count=1,
            until_at=NOW + 500,
            task=WatchKey("kling", "task-1"),
            next_at=NOW + 900,
        )
    ]


def test_an_invalid_settings_file_is_listed_right_after_a_missing_daemon(store: Store, loaded: Loaded) -> None:
    tally = SourceTally(source=SETTINGS_FILE, path="", is_listing=True)
    tally.looked(NOW)
    store.record_sources([tally.facts()])
    assert found(store, loaded) == []
    tally.invalid(["genbridge.yaml:1:1: wrong", "genbridge.yaml:2:1: wrong"], NOW + 10)
    tally.invalid(["genbridge.yaml:3:1: wrong"], NOW + 20)
    store.record_sources([tally.facts()])
    store.commit([make_block()], nobody)
    need, other = found(store, loaded)
    assert other.kind is NeedKind.ACCOUNT_BLOCKED
    assert need == Need(
        kind=NeedKind.SETTINGS_INVALID,
        count=1,
        since_at=NOW + 10,
        read_at=NOW,
        detail="genbridge.yaml:3:1: wrong",
    )
    assert all(one.source != SETTINGS_FILE for one in overview(StoreNow(store, loaded, NOW + 30)).sources)
