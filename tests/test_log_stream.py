from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import select
import socket
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import structlog

from bridge import logs, redaction
from bridge.log_stream import LogStream
from tests.disks import fill, small_disk
from tests.stopwatch import Stopwatch


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    logging.basicConfig(force=True)


def read_all(descriptor: int) -> bytes:
    found = b""
    while select.select([descriptor], [], [], 0.05)[0]:
        found += os.read(descriptor, 1 << 16)
    return found


def test_an_unread_pipe_does_not_block_and_dropped_lines_are_reported() -> None:
    reader, writer = os.pipe()
    stream = LogStream(writer)
    lines = [b"%05d %s\n" % (number, b"x" * 200) for number in range(2000)]
    watch = Stopwatch()
    for line in lines:
        assert stream.write(line) == len(line)
    assert watch.seconds < 2.0
    assert fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK == 0  # other processes have this pipe, too
    found = read_all(reader)
    stream.write(b"after\n")
    found += read_all(reader)
    *written, notice, after = found.splitlines(keepends=True)
    assert written == lines[: len(written)]
    assert notice == b"genbridge: log lines dropped: %d (the reader does not keep up)\n" % (2000 - len(written))
    assert after == b"after\n"


def test_a_slow_reader_gets_every_line() -> None:
    reader, writer = os.pipe()
    stream = LogStream(writer)
    lines = [b"%05d %s\n" % (number, b"x" * 9000) for number in range(30)]
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        got = b""
        while len(got) < sum(map(len, lines)):
            time.sleep(0.01)
            got += os.read(reader, 8192)
        os._exit(got != b"".join(lines))
    for line in lines:
        stream.write(line)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_an_unread_socket_does_not_block() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = LogStream(ours.fileno())
        watch = Stopwatch()
        for _ in range(5000):
            stream.write(b"x" * 199 + b"\n")
        assert watch.seconds < 2.0


def test_an_unread_or_closed_terminal_does_not_block() -> None:
    master, slave = os.openpty()
    settings = termios.tcgetattr(slave)
    stream = LogStream(slave)
    watch = Stopwatch()
    for _ in range(5000):
        stream.write(b"x" * 199 + b"\n")
    assert watch.seconds < 2.0
    assert termios.tcgetattr(slave) == settings
    os.close(master)
    assert stream.write(b"hung up\n") == 8


def test_a_closed_pipe_does_not_block() -> None:
    reader, writer = os.pipe()
    stream = LogStream(writer)
    os.close(reader)
    assert stream.write(b"to nobody\n") == 10
    stream.catch_up()


def test_a_full_device_drops_lines_of_several_threads() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    stream = LogStream(descriptor)
    stream.write(b"one\n")
    stream.write(b"two, of wh")
    stream.write(b"ich there is more\nthree\n")
    target = os.open("/dev/null", os.O_WRONLY)
    said: list[int] = []

    def describe(count: int, reason: str) -> str:
        said.append(count)
        return f"{reason}\n"

    stream.describe = describe
    os.dup2(target, descriptor)
    stream.catch_up()
    assert said == [3]
    stream.catch_up()
    assert said == [3]


def test_a_line_cut_by_a_full_disk_is_completed_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="64k") as disk:
        log = disk / "log"
        stream = LogStream(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        filler = fill(disk)
        stream.write(b"no room\n")
        with filler.open("ab") as file:
            file.truncate(filler.stat().st_size - 4096)
        stream.write(b"a" * 6000 + b"\n")
        stream.write(b"no room either\n")
        filler.unlink()
        stream.write(b"after\n")
        said = log.read_bytes().splitlines()
        assert said[0].startswith(b"genbridge: log lines dropped: 1 (No space left")
        assert said[1] == b"a" * 6000
        assert said[2].startswith(b"genbridge: log lines dropped: 1 (No space left")
        assert said[3:] == [b"after"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_dropped_lines_are_reported_in_the_syntax_of_the_log(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(cast("BinaryIO", LogStream(descriptor)), line_buffering=True))
    logs.set_up(level="info", syntax=form)
    logs.get_logger().info("daemon.ready")
    logging.getLogger("uvicorn.error").error("a library's line about %s", "s3cret\x1b[2J")
    assert not logging.getLogger("uvicorn.error").handlers
    os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), descriptor)
    logs.catch_up()
    [line] = (tmp_path / "log").read_text().splitlines()
    if form == "json":
        assert {"event": "log.dropped", "count": 2, "reason": "No space left on device"}.items() <= json.loads(
            line
        ).items()
    else:
        assert "log.dropped" in line
        assert "count=2" in line


def test_log_lines_of_libraries_have_the_log_syntax_and_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    redaction.hide(["s3cret-token"])
    logs.set_up(level="warning", syntax="json")
    try:
        raise ValueError("s3cret-token")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("for %s\n", "s3cret-token")
    logging.getLogger("asyncio").log(35, "between the levels")
    logging.getLogger("httpx").info("unheard")
    logging.getLogger("broken").warning("%d", "no number")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["logger"]) == ("library.message", "error", "uvicorn.error")
    assert first["message"] == "for ***\\n"
    assert "s3cret" not in first["exception"]
    assert (second["level"], second["message"]) == ("warning", "between the levels")
    assert third["message"] == "%d"
