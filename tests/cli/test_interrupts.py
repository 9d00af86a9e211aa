"""Commands that end early: Ctrl-C, a full disk, a closed pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.cli import is_interrupt
from tests.cli.shell import Shell
from tests.cli.terminal import allow_ctrl_c
from tests.programs import ended
from tests.world import until


@pytest.mark.parametrize("words", [["list"], ["schema"], ["--version"]])
def test_a_full_disk_under_stdout_is_one_line(words: list[str], shell: Shell) -> None:
    shell("add", "a")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words],
            cwd=shell.folder,
            env={**os.environ, "PYTHONUNBUFFERED": ""},  # buffered, as for most users
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == b"genbridge: the output cannot be written: the disk is full; free some space\n"


def test_a_removed_working_directory_is_named(shell: Shell) -> None:
    gone = shell.folder / "gone"
    gone.mkdir()
    command = f"rmdir {gone} && exec {sys.executable} -P -m bridge init --provider fal --key k --tasks none --to ''"
    done = subprocess.run(command, shell=True, cwd=gone, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "genbridge: the working directory no longer exists; change to another one\n"


def test_a_closed_reader_of_stdout_is_no_error(shell: Shell) -> None:
    shell("add", *(f"task-{number:04}" for number in range(3000)))
    pipeline = f"{sys.executable} -m bridge list | head -1"
    done = subprocess.run(pipeline, shell=True, cwd=shell.folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("ACCOUNT")
    assert done.stderr == ""


@pytest.mark.parametrize("reader", ["head -1", "cat >/dev/full"])
def test_a_demo_whose_reader_has_gone_ends_with_a_line(shell: Shell, reader: str) -> None:
    words = f"{sys.executable} -m bridge demo"
    pipeline = f"{words} >/dev/full" if "full" in reader else f"{words} | {reader}"
    done = subprocess.run(pipeline, shell=True, cwd=shell.folder, capture_output=True, text=True, timeout=90)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("genbridge: ")


@pytest.mark.parametrize("words", [["wait"], ["simulate", "--listen", "127.0.0.1:0"], ["demo"], ["add", "-"]])
def test_ctrl_c_ends_a_command_without_a_traceback(words: list[str], shell: Shell) -> None:
    shell("add", "a")
    with (
        (shell.folder / "said").open("w+") as said,
        ended(
            subprocess.Popen(
                [sys.executable, "-m", "bridge", *words],
                cwd=shell.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                preexec_fn=allow_ctrl_c,
            )
        ) as process,
    ):
        until(lambda: is_at_rest(process.pid), seconds=60, what="it has started and waits")
        process.send_signal(signal.SIGINT)
        process.wait(15)
        said.seek(0)
        assert "Traceback" not in said.read()
    assert process.returncode in ({0} if words[0] == "simulate" else {130})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("word", "codes"),
    [
        ("list", {signal.SIGINT: 130, signal.SIGTERM: -15}),
        ("once", {signal.SIGINT: 130, signal.SIGTERM: -15}),
        ("wait", {signal.SIGINT: 130, signal.SIGTERM: -15}),
        ("run", {signal.SIGINT: 0, signal.SIGTERM: 0}),
    ],
)
def test_a_signal_while_it_loads_what_it_needs_is_no_traceback_either(
    word: str, codes: dict[signal.Signals, int], number: signal.Signals, shell: Shell
) -> None:
    with ended(
        subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "bridge", word],
            cwd=shell.folder,
            stderr=subprocess.PIPE,
            bufsize=0,
            pipesize=4096,  # with the default it could write all lines and end before this test reads the first
            preexec_fn=allow_ctrl_c,
        )
    ) as process:
        assert process.stderr is not None
        assert any(line.endswith(b" click\n") for line in process.stderr)  # the first of many imports of other packages
        process.send_signal(number)
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(15) == codes[number]


class InterruptedWhileNamed:
    """A class member that acts like Ctrl-C while its class is created."""

    def __set_name__(self, owner: type, name: str) -> None:
        raise KeyboardInterrupt


def test_a_ctrl_c_while_a_class_is_created_is_no_bug() -> None:
    with pytest.raises((RuntimeError, KeyboardInterrupt)) as caught:
        type("Loading", (), {"member": InterruptedWhileNamed()})
    assert is_interrupt(caught.value)
    assert not is_interrupt(RuntimeError("another fault"))


def test_a_ctrl_c_in_a_finalizer_ends_the_command_without_a_traceback(shell: Shell) -> None:
    script = """
import sys
import weakref
from bridge.cli import main

class Module:
    pass

def interrupt(_):
    raise KeyboardInterrupt

modules = [Module()]
finalizer = weakref.ref(modules[0], interrupt)
sys.settrace(lambda frame, event, arg: modules.clear() if frame.f_code.co_name == "resolve_command" else None)
main(["list"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=shell.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("step", ["_replace_unprintable", "_flushed"])
def test_a_ctrl_c_just_before_or_after_the_command_is_no_traceback(step: str, shell: Shell) -> None:
    shell("add", "a")
    script = f"""
import os, signal, sys
from bridge import __main__, cli

sys.argv = ["genbridge", "list"]
cli.{step} = lambda *_: os.kill(os.getpid(), signal.SIGINT)
__main__.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=allow_ctrl_c,
    )
    assert (done.returncode, done.stderr) == (130, "")


def is_at_rest(pid: int) -> bool:
    """Whether the process was asleep at twenty instants in a row. Then it has loaded everything and does not wait for a
    core."""
    for _ in range(20):
        time.sleep(0.01)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state != "S":
            return False
    return True
