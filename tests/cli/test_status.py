"""`status`, and what `explain` says about the same accounts and endpoints."""

from __future__ import annotations

import json
import re

from bridge.clock import SystemClock
from bridge.domain.account_state import FAILING
from bridge.domain.change import AccountAskedToWait
from bridge.domain.delivery_state import NOT_CHECKED
from bridge.domain.task import ReadingKind
from bridge.domain.watch import Memory
from bridge.store import Store
from tests.cli.kept_tasks import FAR, LIVE, RFC3339
from tests.cli.shell import SETTINGS, Shell
from tests.disks import small_disk
from tests.factories import NOW, make_wish
from tests.store.making import Teller, make_attempt, make_block, make_deferred, make_end, make_note


def test_explain_and_status_show_what_is_held_and_until_when(shell: Shell, store: Store) -> None:
    def held(route: str, until_at: float, reason: str, account: str = "kling") -> AccountAskedToWait:
        return AccountAskedToWait(account=account, until_at=until_at, route=route, reason=reason)

    store.note([make_note(LIVE, next_poll_at=NOW + 3)])
    pauses = [
        held("videos/text2video", FAR, "HTTP 503"),
        held("images/generations", FAR, "HTTP 500"),
        held("audio/tts", NOW, "over"),
        held("", FAR, "HTTP 429", "third"),
    ]
    store.commit(pauses, Teller())
    story = shell("explain", "live").out
    assert re.search(r"next poll: in \d+d", story)
    assert re.search(r"account kling waits on videos/text2video until \S+Z \(in .*\): HTTP 503\n", story)
    assert "images/generations" not in story
    status = shell("status").out
    assert "held      account kling waits on images/generations until" in status
    assert "audio/tts" not in status
    found = json.loads(shell("status", "--json").out)["held_accounts"]
    assert [(each["account"], each["scope"], each["route"]) for each in found] == [
        ("kling", "route", "images/generations"),
        ("kling", "route", "videos/text2video"),
        ("third", "account", None),
    ]
    assert found[0]["reason"] == "HTTP 500"
    assert found[0]["until"].endswith("Z")
    store.commit([held("videos/text2video", 0, "")], Teller())
    assert "next poll: as soon as possible" in shell("explain", "live").out


def test_explain_and_status_show_that_the_provider_fails(shell: Shell, store: Store) -> None:
    store.note([make_note(LIVE, next_poll_at=NOW)])
    store.add([make_wish(task_id=f"t{number}") for number in range(20)], source="cli", now=NOW)
    failing = AccountAskedToWait(account="kling", until_at=FAR, route=FAILING, reason="HTTP 502: down")
    store.commit([failing], Teller())
    line = "account kling sends one request at a time, at least every 30 s, until one is answered: HTTP 502: down"
    story = shell("explain", "live").out
    assert "next poll: as soon as possible" in story
    assert f"  {line}\n" in story
    assert "requests a second" not in story, "that is not what limits it now"
    assert f"held      {line}\n" in shell("status").out
    [held] = json.loads(shell("status", "--json").out)["held_accounts"]
    assert (held["scope"], held["route"], held["reason"]) == ("failing", None, "HTTP 502: down")


def test_status_names_an_account_whose_provider_gives_no_answer(shell: Shell, store: Store) -> None:
    memory = Memory(polls=3, failures=3)
    refused = "127.0.0.1:9 refused the connection"
    store.note([make_note(LIVE, at=NOW + 60, memory=memory, kind=ReadingKind.TRANSIENT, detail=refused)])
    said = shell("status").out
    assert re.search(rf"failing   account kling: 1 task without a usable answer, .* ago\n +{refused}\n", said)
    found = shell("status", "--json").json["failing_accounts"]["kling"]
    assert (found["tasks"], found["reason"]) == (1, refused)
    assert RFC3339.fullmatch(found["last_at"])


def test_status_shows_what_is_blocked_and_how_to_continue(shell: Shell, store: Store) -> None:
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


def test_status_warns_of_a_disk_that_is_nearly_full(shell: Shell) -> None:
    with small_disk(shell.folder / "disk", size="4m") as disk:
        shell.settings({"store": str(disk / "state.db")})
        assert shell("add", "a").code == 0
        said = shell("status").out
        assert re.search(r"^warning   the disk of the store is nearly full: \d MB are free$", said, re.MULTILINE)


def test_health_is_refused_with_another_display(shell: Shell) -> None:
    for other in ("--json", "--watch"):
        assert (said := shell("status", "--health", other)).code == 2
        assert said.err == "genbridge: give --health without --json and --watch\n"


def test_status_leaves_out_problems_of_removed_accounts_and_endpoints(shell: Shell, store: Store) -> None:
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
