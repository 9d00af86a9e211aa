"""`list`, `show`, `explain`, `status`, `deliveries`, `redeliver`, `enable`: what is kept, and what is shown of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bridge.domain.change import AccountPaused
from bridge.domain.delivery import DeliveryState
from bridge.domain.ids import WatchKey
from bridge.domain.task import Kind, Phase
from bridge.domain.watch import Memory
from bridge.store import SqliteStore
from tests.cli.shell import SETTINGS, Shell
from tests.factories import NOW, make_wish
from tests.store.making import Teller, make_attempt, make_block, make_deferred, make_end, make_note

WATCH_KEYS = [
    *("account", "id", "action", "label", "meta", "phase", "added_at", "ended_at", "next_poll_at", "polls"),
    *("progress", "urls", "reason", "eta_at", "eta_low_at", "eta_high_at"),
]
DELIVERY_KEYS = [
    *("event_id", "endpoint", "topic", "account", "id", "state", "attempts", "next_attempt_at", "last_outcome"),
]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DONE, BAD, LIVE = (WatchKey("kling", name) for name in ("done", "bad", "live"))
FAR = 4_000_000_000.0


@pytest.fixture
def store(shell: Shell) -> Iterator[SqliteStore]:
    """One task that ended well and was told, one that failed and whose delivery is dead, one that runs."""
    store = shell.store()
    wishes = [
        make_wish(task_id="done", label="A film", meta={"order": 7, "nested": {"a": [1]}}, action="videos/text2video"),
        make_wish(task_id="bad", action="videos/text2video"),
        make_wish(task_id="live", label="\u202eevil", action="videos/text2video"),
    ]
    store.add(wishes, source="queue:one.yaml", now=NOW)
    tell = Teller(("hook", ""))
    store.note(
        [
            make_note(LIVE, next_poll_at=FAR),
            make_note(DONE, memory=Memory(polls=1), kind=Kind.TRANSIENT, detail="502 \x1b[2J"),
        ]
    )
    store.commit([make_end(DONE)], tell)
    failed = make_end(BAD, phase=Phase.FAILED, reason="risk control", snapshot=None)
    store.commit([failed], tell)
    first, second = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(first, next_attempt_at=NOW + 70)], tell)
    [again] = [one for one in store.due("hook", "", now=FAR, limit=9)[0] if one.delivery_id == first.delivery_id]
    store.commit([make_attempt(again, at=NOW + 71)], tell)
    store.commit([make_attempt(second, state=DeliveryState.DEAD, outcome="refused", detail="HTTP 500")], tell)
    yield store
    store.close()


def test_list_prints_the_shape_of_the_contract(shell: Shell, store: SqliteStore) -> None:
    live, bad, done = shell("list", "--json").json
    assert [list(one) for one in (live, bad, done)] == [WATCH_KEYS] * 3
    assert done == {
        "account": "kling",
        "id": "done",
        "action": "videos/text2video",
        "label": "A film",
        "meta": {"order": 7, "nested": {"a": [1]}},
        "phase": "succeeded",
        "added_at": "2025-11-01T12:26:40.000Z",
        "ended_at": "2025-11-01T12:27:40.000Z",
        "next_poll_at": None,
        "polls": 9,
        "progress": None,
        "urls": ["https://cdn.example.com/v1.mp4"],
        "reason": None,
        "eta_at": None,
        "eta_low_at": None,
        "eta_high_at": None,
    }
    assert (bad["phase"], bad["reason"], bad["urls"]) == ("failed", "risk control", [])
    assert (live["phase"], live["ended_at"]) == ("running", None)
    assert RFC3339.fullmatch(live["next_poll_at"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--phase", "failed"], ["bad"]),
        (["--label", "A film"], ["done"]),
        (["--account", "kling", "--limit", "2"], ["live", "bad"]),
        (["--account", "nobody"], []),
        (["--label", "\udcff"], []),
        (["--account", "\udcff"], []),
    ],
)
def test_list_shows_what_is_asked_for(words: list[str], expected: list[str], shell: Shell, store: SqliteStore) -> None:
    assert [one["id"] for one in shell("list", "--json", *words).json] == expected


def test_the_table_is_aligned_whole_and_plays_no_tricks_on_the_terminal(shell: Shell, store: SqliteStore) -> None:
    store.add([make_wish(task_id="x" * 300)], source="cli", now=NOW)
    store.add([make_wish(task_id="wide", label="映画")], source="cli", now=NOW)
    said = shell("list")
    head, *rows = said.out.splitlines()
    assert head.split() == ["ACCOUNT", "ID", "PHASE", "SINCE", "ETA", "NEXT", "POLL", "POLLS", "LABEL", "RESULT"]
    assert all(row == row.rstrip() for row in rows)
    assert "x" * 300 in said.out
    assert "\\u202eevil" in said.out
    assert "\u202e" not in said.out
    place = head.index("PHASE")
    assert [row[place : place + 4] for row in rows if "xxx" not in row] == ["subm", "runn", "fail", "succ"]
    assert "https://cdn.example.com/v1.mp4" in rows[-1]
    assert "risk control" in rows[-2]


def test_show_prints_a_watch_with_its_deliveries(shell: Shell, store: SqliteStore) -> None:
    shown = shell("show", "done", "--json").json
    assert list(shown) == [*WATCH_KEYS, "deliveries"]
    [delivery] = shown["deliveries"]
    assert list(delivery) == DELIVERY_KEYS
    assert (delivery["state"], delivery["attempts"], delivery["last_outcome"]) == ("accepted", 2, "accepted")
    said = shell("show", "done")
    assert '{"order":7,"nested":{"a":[1]}}' in said.out
    assert "task_succeeded" in said.out
    assert shell("show", "nobody").code == 1


def test_deliveries_prints_the_shape_of_the_contract(shell: Shell, store: SqliteStore) -> None:
    store.commit([make_block()], Teller(("chat", "1:abc")))
    blocked, dead, accepted = shell("deliveries", "--json").json
    assert [list(one) for one in (blocked, dead, accepted)] == [DELIVERY_KEYS] * 3
    assert (dead["id"], dead["topic"], dead["state"], dead["last_outcome"]) == ("bad", "task_failed", "dead", "refused")
    assert (blocked["id"], blocked["account"], blocked["topic"]) == (None, "kling", "account_blocked")
    assert RFC3339.fullmatch(blocked["next_attempt_at"])
    assert blocked["last_outcome"] is None
    assert [one["id"] for one in shell("deliveries", "--json", "--state", "dead").json] == ["bad"]
    assert len(shell("deliveries", "--json", "--limit", "1").json) == 1
    assert "HTTP 500" in shell("deliveries").out
    assert "  chat[1:abc]  " in shell("deliveries").out, "which of a chat's URLs it is"


def test_redeliver_sends_what_was_asked_for_and_refuses_what_is_unknown(shell: Shell, store: SqliteStore) -> None:
    [dead] = shell("deliveries", "--json", "--state", "dead").json
    assert shell("redeliver", dead["event_id"], "evt_nobody").code == 1
    assert shell("redeliver", "\udcff").code == 1
    assert shell("redeliver", "--dead", "--endpoint", "nix").code == 1
    assert shell("deliveries", "--json", "--state", "waiting").json == []
    said = shell("redeliver", dead["event_id"])
    assert said.out == "1 delivery will be sent again\n"
    assert "no daemon runs" in said.err
    [waiting] = shell("deliveries", "--json", "--state", "waiting").json
    assert (waiting["event_id"], waiting["attempts"]) == (dead["event_id"], 0)
    none = shell("redeliver", "--dead", "--endpoint", "hook")
    assert (none.code, none.out, none.err) == (0, "0 deliveries will be sent again\n", "")


@pytest.mark.parametrize(
    ("since", "number"),
    [
        ("2025-11-01T12:27:40Z", "2 deliveries"),
        ("2025-11-01T12:27:40", "2 deliveries"),
        ("2025-11-01T13:27:40+01:00", "2 deliveries"),
        ("2025-11-02", "0 deliveries"),
        ("3000d", "2 deliveries"),
        ("1h", "0 deliveries"),
    ],
)
def test_redeliver_since_takes_a_time_or_a_duration(since: str, number: str, shell: Shell, store: SqliteStore) -> None:
    assert shell("redeliver", "--since", since).out == f"{number} will be sent again\n"


def test_explain_tells_the_story_in_order(shell: Shell, store: SqliteStore) -> None:
    story = shell("explain", "done").out
    parts = [
        "kling/done: succeeded (A film)",
        "named by queue:one.yaml",
        "2025-11-01T12:26:40.000Z  added: queue:one.yaml",
        "2025-11-01T12:27:40.000Z  succeeded",
        "1 x transient, the last",
        "502 \\x1b[2J",
        "https://cdn.example.com/v1.mp4",
        "not handed on: ftp://cdn.example.com/v1.mp4: scheme",
        "task_succeeded to hook: accepted",
        "attempt 1: deferred after 0.1s: 503",
        "attempt 2: accepted after 0.1s: 200",
    ]
    places = [story.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "next poll" not in story


def test_explain_says_what_is_next_and_what_holds_it_back(shell: Shell, store: SqliteStore) -> None:
    story = shell("explain", "live").out
    assert re.search(r"next poll in \d+d \d+h: a tenth of its age", story)
    assert "no daemon runs on this store" in story
    store.commit([make_block(), AccountPaused(account="kling", until_at=FAR)], Teller())
    story = shell("explain", "live").out
    assert "account kling is blocked since" in story
    assert "401: key revoked" in story
    assert "account kling is paused (Retry-After); it goes on in" in story
    shell.settings({"accounts": {"other": SETTINGS["accounts"]["kling"]}})
    assert "next poll never: the settings hold no account kling" in shell("explain", "live").out


def test_explain_of_what_is_overdue_names_no_wait_that_is_over(shell: Shell, store: SqliteStore) -> None:
    why = "usually done 8 s to 11 s after it began (12 tasks seen); asked again after 2 s"
    store.note([make_note(LIVE, next_poll_at=FAR, next_poll_why=why)])
    assert f": {why}\n" in shell("explain", "live").out
    store.note([make_note(LIVE, next_poll_at=NOW + 3, next_poll_why=why)])
    story = shell("explain", "live").out
    assert re.search(r"next poll as soon as a daemon can \(due .* ago\): usually done .* \(12 tasks seen\)\n", story)
    [row] = [row for row in shell("list").out.splitlines() if " live " in row]
    assert re.search(r" ago +- +now +", row)
    store.commit([AccountPaused(account="kling", until_at=FAR)], Teller())
    assert re.search(r"next poll in \d+d .*: usually done .* \(12 tasks seen\)\n", shell("explain", "live").out)


def test_explain_says_why_a_delivery_waits(shell: Shell, store: SqliteStore) -> None:
    bad = shell("explain", "bad").out
    assert "risk control" in bad
    assert "task_failed to hook: dead; `genbridge redeliver evt_" in bad
    tell = Teller(("hook", ""), ("chat", "1:abc"), ("gone", ""))
    store.commit([make_end(LIVE)], tell)
    [delivery] = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=True)], tell)
    story = shell("explain", "live").out
    assert "task_succeeded to hook: waiting, for the endpoint is disabled" in story
    assert "task_succeeded to chat[1:abc]: waiting, next attempt" in story
    assert "task_succeeded to gone: waiting, for the settings hold no such endpoint" in story


def test_a_task_that_nobody_has_asked_about_has_a_short_story(shell: Shell) -> None:
    shell("add", "a")
    story = shell("explain", "a").out
    assert "nothing yet" in story
    assert "next poll as soon as a daemon can" in story
    assert "due as well" not in story


def test_explain_says_how_many_others_wait_beside_it_for_the_limits(shell: Shell) -> None:
    shell.settings({"accounts": {"kling": {**SETTINGS["accounts"]["kling"], "limits": {"rate": 3}}}})
    shell("add", *(f"t{number}" for number in range(5)))
    story = shell("explain", "t0").out
    assert "4 other watches of account kling are due as well; it may send 3 requests a second" in story


def test_status_shows_what_stands_still_and_the_way_on(shell: Shell, store: SqliteStore) -> None:
    tell = Teller(("hook", ""))
    store.commit([make_block()], tell)
    [delivery] = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=True, detail="410 \x1b Gone")], tell)
    status = shell("status", "--json").json
    assert status["watches"] == {"failed": 1, "running": 1, "succeeded": 1}
    assert (status["live"], status["dead"], status["daemon"]) == (1, 1, None)
    assert status["blocked_accounts"] == {"kling": "401: key revoked"}
    assert list(status["disabled_endpoints"]) == ["hook"]
    assert RFC3339.fullmatch(status["oldest_waiting_at"])
    said = shell("status").out
    for part in (
        "daemon    not running",
        "1 running",
        "waiting   2 deliveries, the oldest made",
        "2 to hook",
        "dead      1 delivery: `genbridge deliveries --state dead`",
        "`genbridge enable hook` sends again",
        "blocked   account kling: 401: key revoked",
    ):
        assert part in said, part
    assert "\x1b" not in said
    shell.settings({"accounts": {"other": SETTINGS["accounts"]["kling"]}})
    assert "1 of account kling, which the settings do not hold: never polled" in shell("status").out


def test_enable_is_for_endpoints_of_the_settings(shell: Shell, store: SqliteStore) -> None:
    assert shell("enable", "hook").out == "hook: was not disabled\n"
    tell = Teller(("hook", ""))
    store.commit([make_end(LIVE)], tell)
    [delivery] = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=True)], tell)
    said = shell("enable", "hook")
    assert said.out == "hook: enabled\n"
    assert "no daemon runs" in said.err
    unknown = shell("enable", "nix")
    assert unknown.code == 1
    assert "there are: hook, chat" in unknown.err
    shell.settings({"endpoints": {}})
    assert "there are: none" in shell("enable", "nix").err
