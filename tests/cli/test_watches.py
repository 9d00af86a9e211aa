"""`list`, `show`, `explain`, `status`, `deliveries`, `redeliver`, `enable`: what is kept, and what is shown of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import pytest

from bridge.clock import SystemClock
from bridge.domain.account_state import FAILING, HOST
from bridge.domain.change import AccountPaused
from bridge.domain.delivery_state import NOT_CHECKED, DeliveryState
from bridge.domain.event import Event, Parcel
from bridge.domain.ids import WatchKey
from bridge.domain.task import Kind, Phase
from bridge.domain.watch import Memory
from bridge.store import DaemonLock, SqliteStore
from tests.cli.shell import SETTINGS, Shell
from tests.factories import NOW, make_wish
from tests.store.making import Teller, make_attempt, make_block, make_deferred, make_end, make_note

WATCH_KEYS = [
    *("account", "id", "action", "label", "meta", "phase", "added_at", "ended_at", "next_poll_at", "polls"),
    *("progress", "urls", "reason", "eta_at", "eta_low_at", "eta_high_at"),
]
DELIVERY_KEYS = [
    *(
        "event_id",
        "endpoint",
        "target",
        "topic",
        "account",
        "id",
        "about",
        "state",
        "attempts",
        "next_attempt_at",
        "last_outcome",
        "created_at",
        "last_reason",
    ),
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
        (["--live"], ["live"]),
        (["--since", "2025-11-01T12:27:00Z"], ["bad", "done"]),
        (["--since", "2h"], []),
        (["--label", "A film"], ["done"]),
        (["--account", "kling", "--limit", "2"], ["live", "bad"]),
        (["--label", "\udcff"], []),
    ],
)
def test_list_shows_the_requested_tasks(
    words: list[str], expected: list[str], shell: Shell, store: SqliteStore
) -> None:
    assert [one["id"] for one in shell("list", "--json", *words).json] == expected


def test_list_takes_a_phase_or_live_but_not_both(shell: Shell, store: SqliteStore) -> None:
    assert shell("list", "--live", "--phase", "failed").code == 2
    assert shell("list", "--label", "nobody").err == "no matching tasks\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--state", "accepted"], ["done"]),
        (["--endpoint", "hook"], ["bad", "done"]),
        (["--endpoint", "chat"], []),
        (["--task", "bad"], ["bad"]),
        (["--task", "kling/done"], ["done"]),
        (["--task", "live"], []),
        (["--since", "2025-11-01T12:27:40Z"], ["bad", "done"]),
        (["--since", "1h"], []),
        (["--state", "dead", "--endpoint", "hook", "--task", "bad"], ["bad"]),
    ],
)
def test_deliveries_shows_the_requested_deliveries(
    words: list[str], expected: list[str], shell: Shell, store: SqliteStore
) -> None:
    assert [one["id"] for one in shell("deliveries", "--json", *words).json] == expected


def test_deliveries_of_a_task_that_is_not_watched_are_an_error(shell: Shell, store: SqliteStore) -> None:
    said = shell("deliveries", "--task", "nobody")
    assert (said.code, said.out) == (1, "")
    assert "nobody is not watched" in said.err


@pytest.mark.parametrize(
    "words",
    [
        *(["show"], ["explain"], ["wait"], ["poll"], ["withdraw"], ["wait", "live"], ["deliveries", "--task"]),
        ["redeliver"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_id_is_wrong_usage(words: list[str], empty: str, shell: Shell, store: SqliteStore) -> None:
    said = shell(*words, empty)
    assert (said.code, said.out) == (2, "")
    assert "id is empty" in said.err


def test_the_table_is_aligned_uncut_and_escaped(shell: Shell, store: SqliteStore) -> None:
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


def test_redeliver_sends_the_requested_deliveries_and_refuses_unknown_ones(shell: Shell, store: SqliteStore) -> None:
    [dead] = shell("deliveries", "--json", "--state", "dead").json
    assert shell("redeliver", dead["event_id"], "evt_nobody").code == 1
    assert shell("redeliver", "\udcff").code == 1
    assert shell("redeliver", "--dead", "--endpoint", "nix").code == 2
    assert shell("deliveries", "--json", "--state", "waiting").json == []
    said = shell("redeliver", dead["event_id"])
    assert said.out == "1 delivery will be sent again\n"
    assert "no daemon is running" in said.err
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


def test_explain_shows_the_history_in_order(shell: Shell, store: SqliteStore) -> None:
    story = shell("explain", "done").out
    parts = [
        "kling/done: succeeded (A film)",
        "added from the queue folder, one.yaml",
        "2025-11-01T12:26:40.000Z  added: from the queue folder, one.yaml",
        "2025-11-01T12:27:40.000Z  succeeded",
        "1 x transient, the last",
        "502 \\x1b[2J",
        "https://cdn.example.com/v1.mp4",
        "not delivered: ftp://cdn.example.com/v1.mp4: scheme",
        "task_succeeded to hook: accepted",
        "attempt 1: deferred after 0.1s: 503",
        "attempt 2: accepted after 0.1s: 200",
    ]
    places = [story.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "next poll" not in story


def test_explain_says_where_a_task_came_from(shell: Shell) -> None:
    assert shell("add", "mine").code == 0
    story = shell("explain", "mine").out
    assert "generation 1, added on the command line\n" in story
    assert "  added: on the command line\n" in story
    assert shell("explain", "mine", "--json").json["added_by"] == ["cli"]
    assert shell("withdraw", "mine").code == 0
    assert "  withdrawn: by a person\n" in shell("explain", "mine").out


def test_explain_has_the_same_for_programs(shell: Shell, store: SqliteStore) -> None:
    story = shell("explain", "done", "--json").json
    assert list(story) == [
        *("account", "id", "phase", "generation", "added_by", "history", "answers", "urls_not_delivered"),
        *("next_poll", "deliveries"),
    ]
    assert (story["account"], story["id"], story["phase"]) == ("kling", "done", "succeeded")
    assert story["added_by"] == ["queue:one.yaml"]
    assert [(one["what"], one["detail"]) for one in story["history"]] == [
        ("added", "queue:one.yaml"),
        ("succeeded", None),
    ]
    assert [(one["outcome"], one["count"], one["last_reason"]) for one in story["answers"]] == [
        ("transient", 1, "502 \x1b[2J"),
        ("succeeded", 1, None),
    ]
    assert story["urls_not_delivered"][0].startswith("ftp://")
    assert story["next_poll"] is None
    [delivery] = story["deliveries"]
    assert list(delivery) == [*DELIVERY_KEYS, "summary", "attempts_made"]
    assert delivery["summary"] == "accepted"
    assert [list(one.values()) for one in delivery["attempts_made"]] == [
        ["2025-11-01T12:27:41.000Z", "deferred", "503", 0.1],
        ["2025-11-01T12:27:51.000Z", "accepted", "200", 0.1],
    ]


def test_explain_json_has_the_next_step_and_the_reason_why_a_delivery_waits(shell: Shell, store: SqliteStore) -> None:
    when, *more = shell("explain", "live", "--json").json["next_poll"]
    assert when.startswith("in ")
    assert "no daemon is running on this store: `genbridge run` starts one" in more
    store.commit([make_end(LIVE)], Teller(("hook", "")))
    shell("pause", "hook", "--for", "2h")
    [delivery] = shell("explain", "live", "--json").json["deliveries"]
    assert delivery["summary"].startswith("waiting: the endpoint is paused until ")
    assert delivery["next_attempt_at"] in delivery["summary"]


def test_explain_shows_the_next_step_and_the_reason_for_its_delay(shell: Shell, store: SqliteStore) -> None:
    story = shell("explain", "live").out
    assert re.search(r"next poll: in \d+d \d+h; a tenth of its age", story)
    assert "no daemon is running on this store" in story
    store.commit([make_block(), AccountPaused(account="kling", until_at=FAR)], Teller())
    story = shell("explain", "live").out
    assert re.search(r"account kling has been blocked for \d+d \d+h: ", story)
    assert "401: key revoked" in story
    assert re.search(r"account kling is paused until \S+Z \(in .*\): the provider asked for a wait", story)
    shell.settings({"accounts": {"other": SETTINGS["accounts"]["kling"]}})
    assert "next poll: never; the settings have no account kling" in shell("explain", "live").out


def test_explain_and_status_show_what_is_held_and_until_when(shell: Shell, store: SqliteStore) -> None:
    def held(route: str, until_at: float, reason: str, account: str = "kling") -> AccountPaused:
        return AccountPaused(account=account, until_at=until_at, route=route, reason=reason)

    store.note([make_note(LIVE, next_poll_at=NOW + 3)])
    pauses = [
        held("videos/text2video", FAR, "HTTP 503"),
        held("images/generations", FAR, "HTTP 500"),
        held("audio/tts", NOW, "over"),
        held(HOST, FAR, "the host named account kling a time", "other"),
        held("", FAR, "HTTP 429", "third"),
    ]
    store.commit(pauses, Teller())
    story = shell("explain", "live").out
    assert re.search(r"next poll: in \d+d", story)
    assert re.search(r"account kling is paused on videos/text2video until \S+Z \(in .*\): HTTP 503\n", story)
    assert "images/generations" not in story
    status = shell("status").out
    assert "held      account kling is paused on images/generations until" in status
    assert "held      account other sends one request every 30 s until" in status
    assert "audio/tts" not in status
    found = json.loads(shell("status", "--json").out)["held_accounts"]
    assert [(each["account"], each["scope"], each["route"]) for each in found] == [
        ("kling", "route", "images/generations"),
        ("kling", "route", "videos/text2video"),
        ("other", "host", None),
        ("third", "account", None),
    ]
    assert found[0]["reason"] == "HTTP 500"
    assert found[0]["until"].endswith("Z")
    store.commit([held(HOST, FAR, "the host named account other a time"), held("videos/text2video", 0, "")], Teller())
    story = shell("explain", "live").out
    assert "next poll: as soon as possible" in story
    assert "account kling sends one request every 30 s until" in story


def test_explain_and_status_show_that_the_provider_fails(shell: Shell, store: SqliteStore) -> None:
    store.note([make_note(LIVE, next_poll_at=NOW)])
    store.add([make_wish(task_id=f"t{number}") for number in range(20)], source="cli", now=NOW)
    failing = AccountPaused(account="kling", until_at=FAR, route=FAILING, reason="HTTP 502: down")
    store.commit([failing], Teller())
    line = "account kling sends one request at a time, at least every 30 s, until one is answered: HTTP 502: down"
    story = shell("explain", "live").out
    assert "next poll: as soon as possible" in story
    assert f"  {line}\n" in story
    assert "requests a second" not in story, "that is not what limits it now"
    assert f"held      {line}\n" in shell("status").out
    [held] = json.loads(shell("status", "--json").out)["held_accounts"]
    assert (held["scope"], held["route"], held["reason"]) == ("failing", None, "HTTP 502: down")


def test_explain_of_an_overdue_poll_names_no_past_wait(shell: Shell, store: SqliteStore) -> None:
    why = "similar tasks usually take 8 s to 11 s (12 tasks seen); polled again after 2 s"
    store.note([make_note(LIVE, next_poll_at=FAR, next_poll_why=why)])
    assert f"; {why}\n" in shell("explain", "live").out
    store.note([make_note(LIVE, next_poll_at=NOW + 3, next_poll_why=why)])
    story = shell("explain", "live").out
    assert re.search(
        r"next poll: as soon as possible \(due .* ago\); similar tasks usually take .* \(12 tasks seen\)\n", story
    )
    [row] = [row for row in shell("list").out.splitlines() if " live " in row]
    assert re.search(r" ago +- +now +", row)
    store.commit([AccountPaused(account="kling", until_at=FAR)], Teller())
    assert re.search(
        r"next poll: in \d+d .*; similar tasks usually take .* \(12 tasks seen\)\n", shell("explain", "live").out
    )


def test_explain_says_why_a_delivery_waits(shell: Shell, store: SqliteStore) -> None:
    bad = shell("explain", "bad").out
    assert "risk control" in bad
    assert "task_failed to hook: dead; `genbridge redeliver evt_" in bad
    tell = Teller(("hook", ""), ("chat", "1:abc"), ("gone", ""))
    store.commit([make_end(LIVE)], tell)
    [delivery] = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=True)], tell)
    story = shell("explain", "live").out
    assert "task_succeeded to hook: waiting: the endpoint is disabled" in story
    assert "task_succeeded to chat[1:abc]: waiting, next attempt" in story
    assert "task_succeeded to gone: waiting: this endpoint is not in the settings" in story


def test_a_task_that_was_never_polled_has_a_short_history(shell: Shell) -> None:
    shell("add", "a")
    story = shell("explain", "a").out
    assert "none yet" in story
    assert "next poll: as soon as possible" in story
    assert "due as well" not in story


def test_explain_says_how_many_other_tasks_wait_for_the_limits(shell: Shell) -> None:
    shell.settings({"accounts": {"kling": {**SETTINGS["accounts"]["kling"], "limits": {"rate": 3}}}})
    shell("add", *(f"t{number}" for number in range(5)))
    story = shell("explain", "t0").out
    assert "4 other tasks of account kling are due, too; its limit is 3 requests a second" in story


def test_status_shows_what_is_blocked_and_how_to_continue(shell: Shell, store: SqliteStore) -> None:
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
        "waiting   2 deliveries, the oldest ",
        "2 to hook",
        "dead      1 delivery: `genbridge deliveries --state dead`",
        "`genbridge enable hook` sends again",
        "blocked   account kling: 401: key revoked",
    ):
        assert part in said, part
    assert "\x1b" not in said
    shell.settings({"accounts": {"other": SETTINGS["accounts"]["kling"]}})
    assert "1 of account kling, which is not in the settings: never polled" in shell("status").out


def test_enable_is_for_endpoints_of_the_settings(shell: Shell, store: SqliteStore) -> None:
    assert shell("enable", "hook").out == "hook: was not disabled\n"
    tell = Teller(("hook", ""))
    store.commit([make_end(LIVE)], tell)
    [delivery] = store.due("hook", "", now=FAR, limit=9)[0]
    store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=True)], tell)
    said = shell("enable", "hook")
    assert said.out == "hook: enabled\n"
    assert "no daemon is running" in said.err
    unknown = shell("enable", "nix")
    assert unknown.code == 2
    assert "there are: chat, hook" in unknown.err
    shell.settings({"endpoints": {}})
    assert "there are none" in shell("enable", "nix").err


def test_list_shows_when_the_pause_of_an_account_ends(shell: Shell) -> None:
    shell.settings({"endpoints": {}})
    shell("add", "task-1")
    [account] = {row["account"] for row in shell("list", "--json").json}
    shell("pause", account, "--for", "2h")
    assert re.search(r"in (2h 0m|1h 59m)", shell("list").out)
    until = shell("status", "--json").json["paused_accounts"][account]
    assert [row["next_poll_at"] for row in shell("list", "--json").json] == [until]
    shell("pause", account)
    assert [row["next_poll_at"] for row in shell("list", "--json").json] == [None]


def test_explain_says_that_copies_are_made_and_what_waits_for_them(shell: Shell, store: SqliteStore) -> None:
    def parcels(event: Event) -> Sequence[Parcel]:
        due_at = {"hook": FAR, "@archive": -0.8}
        return [Parcel(endpoint=name, target="", body=b"{}", due_at=at) for name, at in due_at.items()]

    shell.settings({"archive": {"to": "archive/"}})
    store.commit([make_end(LIVE)], parcels)
    with DaemonLock(shell.folder / "state.db"):
        story = shell("explain", "live").out
    assert "task_succeeded to @archive: waiting: its results are being copied, or wait for other copies\n" in story
    assert re.search(r"task_succeeded to hook: waiting for the copies of its results until \S+Z \(in ", story)
    idle = shell("explain", "live").out
    assert "task_succeeded to @archive: waiting, next attempt now\n" in idle, "no daemon makes them"
    [copy] = [one for one in shell("deliveries", "--json").json if one["endpoint"] == "@archive"]
    assert RFC3339.fullmatch(copy["next_attempt_at"])


def test_status_leaves_out_problems_of_removed_accounts_and_endpoints(shell: Shell, store: SqliteStore) -> None:
    tell = Teller(("hook", ""), ("chat", ""), ("former", ""))
    store.commit([make_end(LIVE), make_block()], tell)
    for name in ("hook", "chat", "former"):
        [delivery] = [one for one in store.due(name, "", now=FAR, limit=9)[0] if one.subject == "live"]
        if name == "chat":
            store.commit(
                [make_attempt(delivery, detail=f"HTTP 200{NOT_CHECKED}not JSON", at=SystemClock().now())], tell
            )
        else:
            store.commit([make_deferred(delivery, next_attempt_at=FAR, disables=name == "former")], tell)
    before = shell("status").out
    assert "disabled" not in before, "the endpoint former is in no settings"
    assert "blocked   account kling" in before
    assert "endpoint hook" in before
    assert "endpoint chat" in before
    assert "3 to former, which is not in the settings: not sent" in before
    other = {"other": {"provider": "kling", "base_url": "https://o.example.com", "api_key": "k", "action": "videos/x"}}
    shell.settings({"accounts": other, "endpoints": {}})
    after = shell("status", "--json").json
    assert (after["disabled_endpoints"], after["blocked_accounts"]) == ({}, {})
    assert (after["unchecked_by_endpoint"], after["failing_endpoints"]) == ({}, {})
    assert "which is not in the settings" in shell("status").out
