"""`list`, `show`, `deliveries`, `redeliver` and `enable`, on a filled store."""

from __future__ import annotations

import json
import re

import pytest

from bridge.store import Store
from tests.cli.kept_tasks import DELIVERY_KEYS, FAR, LIVE, RFC3339, WATCH_KEYS
from tests.cli.shell import Shell
from tests.factories import NOW, make_wish
from tests.store.making import Teller, make_block, make_deferred, make_end


def test_list_prints_the_shape_of_the_contract(shell: Shell, store: Store) -> None:
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
def test_list_shows_the_requested_tasks(words: list[str], expected: list[str], shell: Shell, store: Store) -> None:
    assert [one["id"] for one in shell("list", "--json", *words).json] == expected


def test_list_takes_a_phase_or_live_but_not_both(shell: Shell, store: Store) -> None:
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
    words: list[str], expected: list[str], shell: Shell, store: Store
) -> None:
    assert [one["id"] for one in shell("deliveries", "--json", *words).json] == expected


def test_deliveries_of_a_task_that_is_not_watched_are_an_error(shell: Shell, store: Store) -> None:
    said = shell("deliveries", "--task", "nobody")
    assert (said.code, said.out) == (1, "")
    assert "nobody is not watched" in said.err
    assert "`genbridge list --wide` shows whole ids" in shell("show", "b1f6a0c2-7b…a1c9aa").err


@pytest.mark.parametrize(
    "words",
    [
        *(["show"], ["explain"], ["wait"], ["poll"], ["withdraw"], ["wait", "live"], ["deliveries", "--task"]),
        ["redeliver"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_id_is_wrong_usage(words: list[str], empty: str, shell: Shell, store: Store) -> None:
    said = shell(*words, empty)
    assert (said.code, said.out) == (2, "")
    assert "id is empty" in said.err


def test_the_table_is_aligned_uncut_and_escaped(shell: Shell, store: Store) -> None:
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


def test_show_prints_a_watch_with_its_deliveries(shell: Shell, store: Store) -> None:
    shown = shell("show", "done", "--json").json
    assert list(shown) == [*WATCH_KEYS, "deliveries"]
    [delivery] = shown["deliveries"]
    assert list(delivery) == DELIVERY_KEYS
    assert (delivery["state"], delivery["attempts"], delivery["last_outcome"]) == ("accepted", 2, "accepted")
    said = shell("show", "done")
    assert '{"order":7,"nested":{"a":[1]}}' in said.out
    assert "task_succeeded" in said.out
    assert shell("show", "nobody").code == 1


def test_deliveries_prints_the_shape_of_the_contract(shell: Shell, store: Store) -> None:
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


def test_redeliver_sends_the_requested_deliveries_and_refuses_unknown_ones(shell: Shell, store: Store) -> None:
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


def test_redeliver_says_why_an_endpoint_gets_nothing_now(shell: Shell, store: Store) -> None:
    shell("pause", "hook")
    [dead] = shell("deliveries", "--json", "--state", "dead").json
    said = shell("redeliver", dead["event_id"])
    assert (said.code, said.out) == (0, "1 delivery will be sent again\n")
    assert said.err.startswith("note: nothing is sent to hook now: the endpoint is paused since ")
    assert "`genbridge resume hook` ends the pause" in said.err


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
def test_redeliver_since_takes_a_time_or_a_duration(since: str, number: str, shell: Shell, store: Store) -> None:
    assert shell("redeliver", "--since", since).out == f"{number} will be sent again\n"


def test_enable_is_for_endpoints_of_the_settings(shell: Shell, store: Store) -> None:
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


def test_nothing_is_due_without_its_account_or_endpoint_in_the_settings(shell: Shell, store: Store) -> None:
    store.commit([make_end(LIVE)], Teller(("hook", ""), ("chat", "1:abc")))
    shell("add", "task-1")
    settings = json.loads((shell.folder / "genbridge.yaml").read_text())
    shell.settings({"accounts": {"other": settings["accounts"]["kling"]}, "endpoints": {}})
    [task] = shell("list", "--json", "--phase", "submitted").json
    waiting = shell("deliveries", "--json", "--state", "waiting").json
    assert task["next_poll_at"] is None
    assert [one["next_attempt_at"] for one in waiting] == [None, None]
    assert " now " not in shell("list").out + shell("deliveries").out
