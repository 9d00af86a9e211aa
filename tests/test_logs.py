from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from bridge import logs, redaction


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def logged(form: str) -> str:
    stream = io.StringIO()
    redaction.hide(["s3cret-and", "s3cret-and-more"])
    logs.set_up(level="debug", syntax=form, stream=stream)
    error = ValueError("refused: " + "-".join(["s3cret", "and", "more"]))  # the traceback shows this line, too
    try:
        raise error
    except ValueError:
        logs.get_logger().exception("poll.bug", reason="s3cret-and", task_ids=["s3cret-and", "a\x1b[2Jb"])
    return stream.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_shows_in_values_lists_or_tracebacks(form: str) -> None:
    said = logged(form)
    assert "ValueError: refused: ***" in said
    assert "s3cret-and" not in said
    assert "-more" not in said


def test_control_characters_never_reach_the_terminal() -> None:
    assert "\x1b[2J" not in logged("console")


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_value_that_cannot_be_rendered_affects_only_its_own_line(form: str) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("a fault of ours")

    stream = io.StringIO()
    logs.set_up(level="info", syntax=form, stream=stream)
    endless: list[object] = []
    endless.append(endless)
    for value in (Broken(), endless):
        logs.get_logger().info("poll.answered", value=value)
    logs.get_logger().info("settings.skipped")
    first, second, third = stream.getvalue().splitlines()
    assert "log.bug" in first
    assert "ValueError" in first
    assert "RecursionError" in second
    assert "settings.skipped" in third


@pytest.mark.parametrize(
    "failing",
    [
        "threading.Thread(target=lambda: bytes(1 << 62)).start(); time.sleep(60)",  # as if a call never returned
        "report_bug(ExceptionGroup('', [ExceptionGroup('', [MemoryError()])])); raise SystemExit(1)",
    ],
)
def test_a_lack_of_memory_ends_the_process_with_one_line(failing: str) -> None:
    script = f"import threading, time\nfrom bridge.redaction import *\nguard_tracebacks()\n{failing}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    said = "genbridge: out of memory; raise its limit, or end other programs\n"
    assert (done.stderr, done.returncode) == (said, 1)
