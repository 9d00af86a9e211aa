"""`wait`: bars that move on a terminal, plain lines elsewhere, and an exit code that says how it went."""

from __future__ import annotations

import io
import os
import pty
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from contextlib import closing

import pytest
from rich.console import Console

from bridge.cli.wait import Bars
from bridge.control.estimates import Estimates
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.store.views import WatchView
from tests.cli.shell import Shell
from tests.factories import NOW, make_wish
from tests.programs import ended
from tests.store.making import make_end, nobody
from tests.world import until

KEY = WatchKey("kling", "a")


def end(shell: Shell, *phases: tuple[str, Phase]) -> None:
    """Another process's work: these tasks end."""
    store = shell.store()
    for task_id, phase in phases:
        store.commit([make_end(WatchKey("kling", task_id), phase=phase)], nobody)
    store.close()


def meanwhile(shell: Shell, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as the command waits."""

    def acting() -> None:
        until(lambda: ": submitted" in shell.err_so_far, seconds=20, what="it waits")
        act()

    thread = threading.Thread(target=acting)
    thread.start()
    return thread


def test_all_succeeded_is_0_with_a_line_for_each_task(shell: Shell) -> None:
    shell("add", "a", "b")
    ending = meanwhile(shell, lambda: end(shell, ("a", Phase.SUCCEEDED), ("b", Phase.SUCCEEDED)))
    said = shell("wait", "a", "b", "--timeout", "20s")
    ending.join()
    assert said.code == 0
    url = "https://cdn.example.com/v1.mp4"
    assert said.out == f"kling\ta\tsucceeded\t{url}\nkling\tb\tsucceeded\t{url}\n"
    assert said.err.splitlines() == [
        "note: no daemon is running; `genbridge run` starts one",
        *("kling/a: submitted", "kling/b: submitted", "kling/a: succeeded", "kling/b: succeeded"),
    ]


def test_an_account_whose_name_is_no_text_has_nothing_to_wait_for(shell: Shell) -> None:
    shell("add", "a")
    said = shell("wait", "--account", "\udcff")
    assert (said.code, said.err) == (0, "nothing is watched\n")


def test_one_that_did_not_succeed_is_1_also_when_it_was_withdrawn_or_over_before(shell: Shell) -> None:
    shell("add", "a", "b")
    shell("withdraw", "b")
    assert shell("wait", "b").out == "kling\tb\twithdrawn\n"
    assert shell("wait", "b").code == 1
    ending = meanwhile(shell, lambda: end(shell, ("a", Phase.FAILED)))
    assert shell("wait").code == 1
    ending.join()
    assert shell("wait", "a").code == 1


def test_time_over_is_75_and_says_what_is_missing(shell: Shell) -> None:
    shell("add", "a", "b")
    said = shell("wait", "--timeout", "0.1s")
    assert said.code == 75
    assert "timed out: 2 of 2 tasks still running" in said.err
    assert shell("wait", "--account", "other").code == 0, "nothing to wait for there"


def test_a_store_that_fails_meanwhile_says_that_nothing_is_lost(shell: Shell) -> None:
    shell("add", "a")
    file = shell.folder / "state.db"

    def spoil() -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("UPDATE watches SET label = 'x'")  # so that it is read again
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as pages:
            pages.seek(4096)
            pages.write(b"\xa5" * (file.stat().st_size - 4096))

    spoiling = meanwhile(shell, spoil)
    said = shell("wait", "--timeout", "20s")
    spoiling.join()
    assert said.code == 1
    assert said.err.endswith("restore a backup, or move it away to begin anew; the tasks are still watched\n")


@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_on_a_terminal_bars_move_and_on_a_dumb_one_lines_follow(terminal: str, shell: Shell) -> None:
    shell("add", "a", "--label", "[red]film[/red]")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (20, 90))
    waiting = subprocess.Popen(
        [sys.executable, "-m", "bridge", "wait", "a"],
        cwd=shell.folder,
        env={**os.environ, "TERM": terminal, "NO_COLOR": "1"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    screen, has_ended = b"", False
    with ended(waiting) as process:
        try:
            while chunk := os.read(ours, 65536):
                screen += chunk
                if b"submitted" in screen and not has_ended:
                    has_ended = True
                    end(shell, ("a", Phase.SUCCEEDED))
        except OSError:
            pass  # the other side has closed it
        out, _ = process.communicate(timeout=30)
    os.close(ours)
    text = screen.decode()
    assert process.returncode == 0
    assert out.startswith(b"kling\ta\tsucceeded")
    assert ("\x1b[" in text) == (terminal != "dumb")
    assert "\x1b[31m" not in text, "NO_COLOR"
    if terminal == "dumb":
        assert "kling/a: succeeded" in text
    else:
        assert "[red]film[/red]" in text


def test_of_more_tasks_than_rows_the_live_ones_are_shown_and_the_sum_tells_of_the_others() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=8, _environ={})
    bars = Bars(console, Estimates({}, {}))
    with bars:
        bars.show(_views(30, ended=0))
        bars.show(_views(30, ended=27))
    file = console.file
    assert isinstance(file, io.StringIO)
    last = file.getvalue()[-1500:]
    assert "27 of 30 finished" in last
    assert all(f"task-{number:02}" in last for number in (27, 28, 29))
    assert "63%" not in last


def _views(number: int, *, ended: int) -> Mapping[WatchKey, WatchView]:
    views = {}
    for place in range(number):
        over = place < ended
        key = WatchKey("kling", f"task-{place:02}")
        views[key] = WatchView(
            watch_id=1,
            account=key.account,
            task_id=key.task_id,
            action=None,
            label=None,
            meta={},
            phase=Phase.SUCCEEDED if over else Phase.RUNNING,
            added_at=NOW,
            ended_at=NOW if over else None,
            next_poll_at=None,
            polls=1,
            progress=None if over else 63.0,
            urls=(),
            reason=None,
        )
    return views


def test_an_account_that_is_gone_can_still_be_waited_for_by_id(shell: Shell) -> None:
    store = shell.store()
    store.add([make_wish(account="gone", task_id="x")], source="cli", now=NOW)
    store.close()
    assert shell("wait", "x", "--timeout", "0s").code == 75
