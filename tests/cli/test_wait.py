"""`wait`: bars on a terminal, plain lines elsewhere, and its exit codes."""

from __future__ import annotations

import io
import json
import re
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from typing import cast

import anyio
import pytest
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid

from bridge.cli.wait import Bars, WatchViews, _wait
from bridge.clock import FastClock, SystemClock
from bridge.control.estimates import Estimates
from bridge.domain.durations.table import DurationKey, Table
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.domain.views import WatchView
from bridge.errors import StoreError
from bridge.ports import News
from bridge.screen import Screen
from bridge.store import DaemonLock, ReadStore, Store
from tests.cli.shell import Shell
from tests.cli.terminal import in_terminal, interrupt_at
from tests.factories import NOW, make_view, make_wish
from tests.store.making import make_end, nobody
from tests.world import until

KEY = WatchKey("kling", "a")


def end(shell: Shell, *phases: tuple[str, Phase]) -> None:
    """Let these tasks finish, as another process would."""
    store = shell.store()
    for task_id, phase in phases:
        store.commit([make_end(WatchKey("kling", task_id), phase=phase)], nobody)
    store.close()


def meanwhile(shell: Shell, act: Callable[[], None]) -> threading.Thread:
    """Call `act` in another thread as soon as the command waits."""

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


def test_an_account_whose_name_is_no_text_is_unknown(shell: Shell) -> None:
    shell("add", "a")
    said = shell("wait", "--account", "\udcff")
    assert said.code == 2
    assert "unknown account" in said.err


def test_wait_exits_1_for_an_earlier_failure_or_withdrawal(shell: Shell) -> None:
    shell("add", "a", "b")
    shell("withdraw", "b")
    assert shell("wait", "b").out == "kling\tb\twithdrawn\n"
    assert shell("wait", "b").code == 1
    ending = meanwhile(shell, lambda: end(shell, ("a", Phase.FAILED)))
    assert shell("wait").code == 1
    ending.join()
    assert shell("wait", "a").code == 1


def test_a_timeout_exits_75_and_names_the_unfinished_tasks(shell: Shell) -> None:
    shell("add", "a", "b")
    said = shell("wait", "--timeout", "0.1s")
    assert said.code == 75
    assert "timed out: 2 of 2 tasks are still running" in said.err
    assert "timed out: 1 of 1 task is still running" in shell("wait", "a", "--timeout", "0.1s").err
    shell("withdraw", "a", "b")
    assert shell("wait", "--account", "kling").code == 0, "nothing to wait for there"


@pytest.mark.long
def test_wait_says_once_that_the_daemon_has_stopped(shell: Shell) -> None:
    shell("add", "a")
    with ExitStack() as daemon:
        daemon.enter_context(DaemonLock(shell.folder / "state.db"))
        stopping = meanwhile(shell, daemon.close)
        said = shell("wait", "--timeout", "8s")
        stopping.join()
    assert said.code == 75
    assert said.err.splitlines()[:2] == ["kling/a: submitted", "note: no daemon is running; `genbridge run` starts one"]
    assert said.err.count("no daemon is running") == 1


def test_a_store_that_fails_during_the_wait_loses_nothing_and_says_so(shell: Shell) -> None:
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
    assert said.err.endswith(
        "restore a backup, or move it and its -wal file away to start with an empty store; "
        "the tasks are still watched\n"
    )


class RestartedStore:
    """A store whose server restarts: its first reads fail."""

    def __init__(self, store: Store, failures: int) -> None:
        self._store = store
        self._left = failures

    def news(self) -> News:
        if self._left:
            self._left -= 1
            raise StoreError("store: the server is shutting down")
        return self._store.news()

    def view(self, key: WatchKey) -> WatchView:
        return self._store.view(key)


@pytest.mark.parametrize(("failures", "is_short"), [(5, True), (1000, False)])
def test_a_short_restart_of_the_server_does_not_end_waiting(
    failures: int, is_short: bool, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell("add", "a")
    with closing(shell.store()) as store:
        key = WatchKey("kling", "a")
        views, known = {key: store.view(key)}, store.news()
        end(shell, ("a", Phase.SUCCEEDED))
        restarted = cast("ReadStore", RestartedStore(store, failures))
        ended = partial(_wait, restarted, views, known, Estimates({}, {}), None, FastClock(20.0), lambda: None)
        with nullcontext() if is_short else pytest.raises(StoreError):
            assert anyio.run(ended)[key].phase is Phase.SUCCEEDED
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert notes == ["note: store: the server is shutting down; trying again"]


@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_on_a_terminal_bars_move_and_on_a_dumb_one_lines_follow(terminal: str, shell: Shell) -> None:
    shell("add", "a", "--label", "[red]film[/red]")
    has_ended = False

    def end_it(seen: str, _: object) -> None:
        nonlocal has_ended
        if "submitted" in seen and not has_ended:
            has_ended = True
            end(shell, ("a", Phase.SUCCEEDED))

    env = {"TERM": terminal, "NO_COLOR": "1"}
    out = shell.folder / "out"
    said = in_terminal(shell.folder, "wait", "a", columns=90, env=env, on_output=end_it, stdout=out)
    assert out.read_text().startswith("kling\ta\tsucceeded")
    assert ("\x1b[" in said) == (terminal != "dumb")
    assert not re.search(r"\x1b\[[0-9;]*m", said), "neither colors nor dim text with NO_COLOR"
    assert ("kling/a: succeeded" if terminal == "dumb" else "[red]film[/red]") in said


def test_results_on_a_terminal_have_marks_whole_urls_and_a_summary(shell: Shell) -> None:
    shell("add", "a", "b")
    end(shell, ("a", Phase.SUCCEEDED), ("b", Phase.FAILED))
    said = in_terminal(shell.folder, "wait", "a", "b", exits=1)
    *_, first, url, second, _, summary = said.lines
    assert summary.startswith("✗ 2 of 2 finished: 1 succeeded, 1 failed, in 0:0")
    assert re.fullmatch(r"✓ kling/a succeeded after [0-9:]+", first)
    assert url == "  https://cdn.example.com/v1.mp4"
    assert second.startswith("✗ kling/b failed after ")


def test_ctrl_c_prints_the_known_results_and_says_that_nothing_is_lost(shell: Shell) -> None:
    shell("add", "a", "b")
    said = in_terminal(shell.folder, "wait", on_output=interrupt_at("0 of 2 finished"), exits=130)
    assert said.lines[-1] == "note: stopped waiting; the tasks are still watched"
    assert "0 of 2 finished" in said.lines[-2]
    assert "\x1b[?25h" in said, "the cursor is back"


def test_sigterm_ends_waiting_and_shows_the_cursor_again(shell: Shell) -> None:
    shell("add", "a", "b")
    look = interrupt_at("0 of 2 finished", number=signal.SIGTERM)
    said = in_terminal(shell.folder, "wait", on_output=look, exits=-signal.SIGTERM)
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


def test_add_wait_prints_only_the_results_and_exits_like_wait(shell: Shell) -> None:
    ending = meanwhile(shell, lambda: end(shell, ("a", Phase.SUCCEEDED)))
    said = shell("add", "a", "--wait", "--timeout", "20s")
    ending.join()
    assert (said.code, said.out) == (0, "kling\ta\tsucceeded\thttps://cdn.example.com/v1.mp4\n")
    assert said.err.count("no daemon is running") == 1
    assert shell("add", "b", "--wait", "--timeout", "0s").code == 75
    waited = json.loads(shell("add", "a", "b", "--wait", "--timeout", "0s", "--json").out)
    assert [task["urls"] for task in waited] == [["https://cdn.example.com/v1.mp4"], []]
    assert sorted(waited, key=lambda task: task["id"]) == sorted(
        shell("list", "--json").json, key=lambda task: task["id"]
    )
    assert shell("add", "a", "--timeout", "1s").code == 2


def board(height: int = 24, known: Estimates | None = None, width: int = 80) -> Bars:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, _environ={})
    return Bars(console, Screen(width, height, is_terminal=True, marks=True), known or Estimates({}, {}), SystemClock())


def rendered(bars: Bars, views: WatchViews, now: float = NOW, width: int = 80) -> list[str]:
    """The lines of a board."""
    console = Console(file=io.StringIO(), width=width, _environ={})
    for row in bars.rows(views, now):
        console.print(row)
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_live_tasks_are_shown_and_the_others_counted_if_rows_are_few() -> None:
    lines = rendered(board(height=8), _views(30, ended=27))
    assert [line.split()[1] for line in lines[:4]] == ["task-27", "task-28", "task-29", "task-00"]
    assert lines[4] == "  26 more"
    assert lines[5].startswith("⠸ 27 of 30 finished  3 running, 27 succeeded")
    assert "63%" in lines[0]


@pytest.mark.parametrize("width", [40, 50, 60])
def test_a_narrow_terminal_cuts_the_reason_but_not_the_time(width: int) -> None:
    [(key, view)] = _views(1, ended=1).items()
    failed = view._replace(label="A street musician", phase=Phase.FAILED, reason="Failure to pass the risk control")
    [line, *_] = rendered(board(width=width), {key: failed}, width=width)
    assert re.fullmatch(r"✗  A street.* ━+  Failure.*…  +\d+:\d\d", line)


def test_tasks_that_should_finish_first_are_on_top() -> None:
    views = {
        key: view._replace(progress=percent, added_at=NOW - 100)
        for (key, view), percent in zip(_views(4, ended=0).items(), (10.0, None, 90.0, 50.0), strict=True)
    }
    assert [line.split()[1] for line in rendered(board(), views)[:4]] == ["task-02", "task-03", "task-00", "task-01"]


def test_a_bar_follows_the_usual_duration_and_hides_a_vague_range() -> None:
    key = DurationKey("kling", "")
    table = Table()
    for seconds in range(50, 70):
        table.seen(0.0, seconds - 1.0)
        table.ended([float(seconds)], succeeded=True)
    known = Estimates({key: table}, {"kling": "kling"})
    [(_, view)] = _views(1, ended=0).items()
    views = {KEY: view._replace(progress=None, added_at=NOW)}
    early, late = (rendered(board(known=known), views, NOW + age_s)[0] for age_s in (5, 45))
    assert "in " in early
    assert 0 < early.count("━") <= late.count("━")
    assert "in " not in rendered(board(known=known), views, NOW + 3000)[0]


def test_a_bar_never_moves_back_when_a_task_takes_longer_than_expected() -> None:
    table = Table()
    for seconds in [*[50.0, 60.0, 70.0] * 9, 5000.0, 6000.0, 7000.0]:
        table.seen(0.0, seconds - 1.0)
        table.ended([seconds], succeeded=True)
    bars = board(known=Estimates({DurationKey("kling", ""): table}, {"kling": "kling"}))
    [(_, view)] = _views(1, ended=0).items()
    views = {KEY: view._replace(progress=None, added_at=NOW)}
    filled = []
    for age_s in range(10, 600, 20):
        [grid, *_] = bars.rows(views, NOW + age_s)
        assert isinstance(grid, Grid)
        [bar] = grid.columns[2].cells
        assert isinstance(bar, ProgressBar)
        filled.append(bar.completed)
    assert filled[0] > 0
    assert filled == sorted(filled)


def _views(number: int, *, ended: int) -> dict[WatchKey, WatchView]:
    views = [make_view(task_id=f"task-{place:02}", action=None, added_at=NOW - 10) for place in range(number)]
    live = [view._replace(phase=Phase.RUNNING, ended_at=None, progress=63.0) for view in views[ended:]]
    return {WatchKey(view.account, view.task_id): view for view in [*views[:ended], *live]}


def test_an_account_that_is_gone_can_still_be_waited_for_by_id(shell: Shell) -> None:
    store = shell.store()
    store.add([make_wish(account="gone", task_id="x")], source="cli", now=NOW)
    store.close()
    assert shell("wait", "x", "--timeout", "0s").code == 75
