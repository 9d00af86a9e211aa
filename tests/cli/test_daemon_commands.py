"""`run`, `once`, `check` and `test` against a real provider and a real receiver."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from bridge.cli.run import _serve
from bridge.cli.session import CommandSession
from bridge.config.load import Loaded
from bridge.screen import cells
from tests.cli.shell import Said, Shell, change
from tests.cli.terminal import in_terminal, interrupt_at
from tests.daemon_process import DaemonProcess
from tests.programs import ended
from tests.stopwatch import Stopwatch
from tests.world import World, drop, until


def served(shell: Shell, act: Callable[[], object]) -> Said:
    """What `run` says while `act` runs in another thread. After that, SIGTERM stops `run`, even if `act` fails."""
    failures: list[BaseException] = []
    over = threading.Event()

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    around = threading.Thread(target=acting)
    around.start()
    said = shell("run")
    over.set()
    around.join()
    if failures:
        raise AssertionError(said.err) from failures[0]
    return said


def ready(shell: Shell) -> None:
    until(lambda: (shell.folder / "state.db.lock").exists(), seconds=10, what="the lock")
    until((shell.folder / "queue").is_dir, seconds=10, what="the queue folder")


def test_on_a_terminal_run_prints_a_summary_and_then_short_lines(shell: Shell, world: World) -> None:
    change(shell.folder / "genbridge.yaml", log={"format": "auto"}, http={"listen": "127.0.0.1:0"})
    shell("add", "a")
    world.ends_at["a"] = 0.0
    said = in_terminal(shell.folder, "run", on_output=interrupt_at("accepted by"))
    text = "\n".join(said.lines)
    words = " ".join(text.split())  # the length of the folder decides where a line breaks
    for fact in ("accounts kling", "endpoints hook (webhook · 127.0.0.1:", "1 live task", "page on a free"):
        assert fact in words, text
    assert re.search(r"^\d\d:\d\d:\d\d  ✓ kling/a succeeded$", text, re.MULTILINE)
    assert all(cells(line) <= 80 for line in said.lines)


@pytest.mark.usefixtures("unmeasured")
def test_options_say_how_to_log_before_the_environment_and_the_settings(
    shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(shell.folder / "genbridge.yaml", log={"level": "warning", "format": "console"})
    monkeypatch.setenv("GENBRIDGE_LOG_LEVEL", "error")
    shell("add", "a")
    world.ends_at["a"] = 0.0
    said = shell("once", "-v", "--log-format", "json")
    events = {json.loads(line)["event"] for line in said.err.splitlines()}
    assert {"poll.answered", "watch.finished"} <= events
    assert shell("once", "--log-level", "info", "--log-format", "json").err.count("daemon.ready") == 1
    assert shell("once").err == ""


@pytest.mark.usefixtures("unmeasured")
def test_run_works_until_a_signal_and_reports_what_it_does_on_stderr(shell: Shell, world: World) -> None:
    world.ends_at["a"] = 0.0

    def act() -> None:
        ready(shell)
        drop(shell.folder / "queue", "one.txt", "a\n")
        until(lambda: bool(world.received), seconds=10, what="the webhook")

    said = served(shell, act)
    assert (said.code, said.out) == (0, "")
    events = [json.loads(line)["event"] for line in said.err.splitlines()]
    assert events[-1] == "daemon.stopped"
    assert {"daemon.ready", "watch.finished", "delivery.accepted", "daemon.stopping"} <= set(events)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_in_good_order(number: int, shell: Shell, world: World) -> None:
    assert shell("add", *(f"t{number}" for number in range(200))).code == 0
    settings = shell.folder / "genbridge.yaml"
    for delay_s in (0.0, 0.02, 0.1, 0.2):
        with DaemonProcess(settings, from_scratch=True) as daemon:
            until(lambda: (shell.folder / "state.db.lock").exists(), seconds=10, what="the lock")
            time.sleep(delay_s)
            os.kill(daemon.pid, number)
            assert daemon.process.wait(12) == 0
        (shell.folder / "state.db.lock").unlink()
    assert "Traceback" not in daemon.log.read_text()


def test_a_second_signal_quits_without_waiting_for_work_in_flight(shell: Shell, world: World) -> None:
    hang = threading.Event()

    def fault(task_id: str) -> None:
        hang.wait(20)

    world.fault = fault
    shell("add", "slow")

    def act() -> None:
        until(lambda: bool(world.polls), seconds=10, what="the poll")
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: "daemon.stopping" in shell.err_so_far, seconds=10, what="the first signal is obeyed")
        time.sleep(0.5)  # two signals at nearly the same time count as one

    waiting = Stopwatch()
    said = served(shell, act)
    hang.set()
    assert said.code == 1
    assert waiting.seconds < 8


def test_two_simultaneous_signals_count_as_one_stop(shell: Shell, world: World) -> None:
    hang = threading.Event()

    def fault(task_id: str) -> None:
        hang.wait(20)

    world.fault = fault
    shell("add", "slow")
    with DaemonProcess(shell.folder / "genbridge.yaml") as daemon:
        until(lambda: bool(world.polls), seconds=10, what="the poll")
        for number in (signal.SIGTERM, signal.SIGINT):  # as from a terminal and a wrapper, at the same time
            os.kill(daemon.pid, number)
        heard(daemon, "daemon.stopping")
        hang.set()
        assert daemon.process.wait(15) == 0
        assert logged(daemon, "daemon.stopped")


def test_a_reload_signal_during_the_start_takes_effect_after_it(shell: Shell, world: World) -> None:
    for delay_s in (0.0, 0.1, 0.3):
        with DaemonProcess(shell.folder / "genbridge.yaml", from_scratch=True) as daemon:
            until(lambda: blocks(daemon.pid, signal.SIGHUP), seconds=10, what="the first lines of genbridge")
            time.sleep(delay_s)
            os.kill(daemon.pid, signal.SIGHUP)
            heard(daemon, "settings.reloaded")
            assert daemon.stop() == 0
            daemon.log.unlink()


def test_a_daemon_whose_store_is_removed_ends_and_says_so(shell: Shell, world: World) -> None:
    shell("add", "slow")
    with DaemonProcess(shell.folder / "genbridge.yaml") as daemon:
        heard(daemon, "daemon.ready")
        for file in shell.folder.glob("state.db*"):
            file.unlink()
        assert daemon.process.wait(30) == 1
        assert "state.db was removed or replaced while in use" in daemon.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_task_whose_id_is_run_makes_no_daemon_of_another_command(number: int, shell: Shell, world: World) -> None:
    shell("add", "run")
    waiting = [sys.executable, "-m", "bridge", "--config", str(shell.folder / "genbridge.yaml"), "wait", "run"]
    with ended(subprocess.Popen(waiting, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)) as process:
        time.sleep(1.0)
        process.send_signal(number)
        assert process.wait(10) != 0  # 0 would mean that the task succeeded


def blocks(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.split("SigBlk:")[1].split()[0], 16) >> (number - 1) & 1)


def heard(daemon: DaemonProcess, event: str, *, saying: str = "") -> None:
    """Return when the daemon has logged this event, with these words in it."""
    until(lambda: bool(logged(daemon, event, saying)), seconds=20, what=f"{event} {saying}")


def logged(daemon: DaemonProcess, event: str, saying: str = "") -> list[str]:
    lines = daemon.log.read_text().splitlines()
    return [line for line in lines if f'"event":"{event}"' in line.replace(": ", ":") and saying in line]


def test_settings_are_reloaded_on_a_signal_or_change_unless_they_are_invalid(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    good = settings.read_text()
    world.ends_at.update(a=0.0, b=0.0)
    with DaemonProcess(settings) as daemon:
        heard(daemon, "daemon.ready")
        settings.write_text("accounts: [")
        heard(daemon, "settings.invalid", saying="not YAML")
        assert re.search(r"genbridge\.yaml:\d+:\d+: not YAML", daemon.log.read_text())
        drop(shell.folder / "queue", "a.txt", "a\n")
        until(lambda: len(world.received) == 1, seconds=10, what="work by the old settings")
        settings.unlink()
        heard(daemon, "settings.invalid", saying='genbridge.yaml: there is no such file"')
        assert not logged(daemon, "settings.reloaded")
        settings.write_text(good)
        change(settings, sources={"queue": "other"}, log={"level": "debug"})
        os.kill(daemon.pid, signal.SIGHUP)
        until((shell.folder / "other").is_dir, seconds=10, what="the new settings")
        drop(shell.folder / "other", "b.txt", "b\n")
        until(lambda: len(world.received) == 2, seconds=10, what="work by the new settings")
        assert daemon.stop() == 0
    assert logged(daemon, "settings.reloaded")
    assert '"level":"debug"' in daemon.log.read_text().replace(": ", ":"), "the log follows the settings"


def test_a_settings_file_is_not_read_while_it_changes(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    good = settings.read_text()
    with DaemonProcess(settings) as daemon:
        heard(daemon, "daemon.ready")
        for part in range(50):
            settings.write_text(good[: len(good) * part // 50])
            time.sleep(0.05)
        settings.write_text(good)
        heard(daemon, "settings.reloaded")
        assert daemon.stop() == 0
    assert not logged(daemon, "settings.invalid")


def test_a_settings_file_rewritten_with_the_same_size_and_mtime_is_reloaded(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    before, text = settings.stat(), settings.read_text()
    with DaemonProcess(settings) as daemon:
        heard(daemon, "daemon.ready")
        settings.write_text(text.replace("0.5s", "0.7s"))
        os.utime(settings, ns=(before.st_atime_ns, before.st_mtime_ns))
        heard(daemon, "settings.reloaded")
        assert daemon.stop() == 0


def test_a_certificate_that_cannot_be_leaves_the_old_settings_in_force(shell: Shell, world: World) -> None:
    settings = shell.folder / "genbridge.yaml"
    accounts = json.loads(settings.read_text())["accounts"]
    world.ends_at["a"] = 0.0
    with DaemonProcess(settings) as daemon:
        heard(daemon, "daemon.ready")
        change(settings, accounts={"kling": {**accounts["kling"], "ca_file": "missing.pem"}})
        heard(daemon, "settings.invalid", saying="ca_file")
        drop(shell.folder / "queue", "a.txt", "a\n")
        until(lambda: len(world.received) == 1, seconds=10, what="work by the old settings")
        assert daemon.stop() == 0
    assert not logged(daemon, "settings.reloaded")


def test_once_with_nothing_to_do_ends_at_once_with_0(shell: Shell, world: World) -> None:
    world.settings(shell.folder, sources={})
    waiting = Stopwatch()
    assert shell("once").code == 0
    assert waiting.seconds < 5


@pytest.mark.parametrize("wanted", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_on_a_terminal_the_log_has_colours_unless_the_person_wants_none(
    wanted: dict[str, str], shell: Shell, world: World
) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **wanted}
    with ended(
        subprocess.Popen([sys.executable, "-m", "bridge", "once"], cwd=shell.folder, env=env, stderr=theirs)
    ) as process:
        os.close(theirs)
        screen = os.read(ours, 65536)
        process.wait(30)
    os.close(ours)
    assert (b"\x1b[" in screen) == (not wanted)


@pytest.mark.usefixtures("unmeasured")
def test_once_reads_the_sources_first(shell: Shell, world: World) -> None:
    world.ends_at.update(a=time.monotonic() + 1, b=0.0)
    world.fails.add("b")
    (shell.folder / "queue").mkdir()
    drop(shell.folder / "queue", "all.txt", "a\nb\n")
    assert shell("once", "--timeout", "30s").code == 0
    assert {told.topic for told in world.received} == {"task_succeeded", "task_failed"}


def test_once_exits_1_after_its_timeout(shell: Shell, world: World) -> None:
    world.ends_at["a"] = time.monotonic() + 100
    shell("add", "a")
    for timeout in ("0s", "0.5s"):
        said = shell("once", "--timeout", timeout)
        assert said.code == 1
        assert "once.timed_out" in said.err
    assert shell("list", "--json").json[0]["phase"] in {"submitted", "running"}


@pytest.mark.usefixtures("unmeasured")
def test_once_exits_1_after_a_dead_delivery_or_a_timed_out_task(shell: Shell, world: World) -> None:
    world.settings(shell.folder, delivery={"retries": ["0.1s"]})
    world.receive = lambda event_id, times: 500
    world.ends_at["a"] = 0.0
    shell("add", "a")
    assert shell("once", "--timeout", "30s").code == 1
    assert shell("deliveries", "--json").json[0]["state"] == "dead"
    assert shell("once", "--timeout", "30s").code == 0, "that one is an old story"
    world.receive = lambda event_id, times: 200
    world.settings(shell.folder, polling={"min_interval": "0.5s", "give_up_after": "1s"})
    world.ends_at["b"] = time.monotonic() + 100
    shell("add", "b")
    assert shell("once", "--timeout", "30s").code == 1
    assert shell("show", "b", "--json").json["phase"] == "timed_out"


def test_once_does_not_wait_for_work_that_these_settings_can_never_finish(shell: Shell, world: World) -> None:
    world.receive = lambda event_id, times: 410
    world.ends_at["a"] = 0.0
    shell("add", "a")
    disabled = shell("once", "--timeout", "30s")
    assert disabled.code == 1
    assert "once.unfinished" in disabled.err
    settings = shell.folder / "genbridge.yaml"
    kling = json.loads(settings.read_text())["accounts"]["kling"]
    change(settings, accounts={"kling": kling, "gone": kling})
    assert shell("add", "b", "--account", "gone").code == 0
    change(settings, accounts={"kling": kling}, endpoints={})
    gone = shell("once", "--timeout", "30s")
    assert gone.code == 1
    assert "once.timed_out" not in gone.err
    [line] = [json.loads(line) for line in gone.err.splitlines() if "once.unfinished" in line]
    assert (line["watches"], line["deliveries"]) == (1, 1)


def test_test_sends_a_sample_of_any_topic_with_that_many_results(shell: Shell, world: World) -> None:
    assert shell("test", "hook", "--results", "4").code == 0
    assert shell("test", "hook", "--topic", "account_blocked").code == 0
    four, blocked = world.received
    assert len(four.data["urls"]) == 4
    assert blocked.topic == "account_blocked"
    for wrong in (("--topic", "task_exploded"), ("--results", "11"), ("--results", "0")):
        assert shell("test", "hook", *wrong).code == 2


def test_test_sends_a_sample_and_writes_nothing_down(shell: Shell, world: World) -> None:
    said = shell("test", "hook")
    assert said.code == 0
    assert said.out.startswith("hook: accepted: ")
    [told] = world.received
    assert told.topic == "task_succeeded"
    assert not (shell.folder / "state.db").exists()
    world.receive = lambda event_id, times: 500
    failed = shell("test", "hook")
    assert failed.code == 1
    assert "hook: FAILED: " in failed.out
    chat = {"type": "apprise", "urls": ["json://127.0.0.1:9/x"]}
    change(shell.folder / "genbridge.yaml", endpoints={"chat": chat})
    assert shell("test", "chat").out.startswith("chat[1:")
    assert shell("test", "nix").code == 2


class SavingSession(CommandSession):
    """A person saves other settings while the daemon starts."""

    saved = ""

    def working(self) -> Loaded:
        loaded = super().working()
        loaded.path.write_text(self.saved)
        return loaded


def test_settings_that_are_saved_during_the_start_are_used(shell: Shell, world: World) -> None:
    path = shell.folder / "genbridge.yaml"
    session = SavingSession()
    session.saved = path.read_text()
    account = {**json.loads(session.saved)["accounts"]["kling"], "base_url": "http://127.0.0.1:9"}
    change(path, accounts={"kling": account})  # nothing answers there
    shell("add", "a")
    world.ends_at["a"] = 0.0
    try:
        assert _serve(session, once=True, timeout_s=40.0, said={"level": "error"}) == 0
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
