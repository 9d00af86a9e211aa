"""A group robot and a real daemon: several messages of one delivery across a kill, and a limit across a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.loopback import Exchange, Loopback, answers, loopback
from tests.world import World, running_world, until

pytestmark = pytest.mark.long

TAKEN = b'{"errcode":0,"errmsg":"ok"}'
LIMITED = b'{"errcode":45009,"errmsg":"api freq out of limit"}'
LINES = (
    "{% for number in range(45) %}{{ urls[0] }}?part={{ number }}&sign=0123456789abcdef0123456789abcdef\n{% endfor %}"
)


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        running.ends_at["t-1"] = 0.0
        yield running


@contextmanager
def wecom(said: Callable[[int], bytes | None]) -> Iterator[Loopback]:
    """A robot that answers the first, second, ... request with `said(1)`, `said(2)`, ... If that is None, it never
    answers."""

    async def script(exchange: Exchange) -> None:
        body = said(len(server.asked))
        await (exchange.hang() if body is None else answers(200, body)(exchange))

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(loopback(script)) as server:
        yield server


def texts(server: Loopback) -> list[str]:
    return [json.loads(asked.body)["text"]["content"] for asked in server.asked]


def genbridge(folder: Path, *words: str) -> str:
    done = completed(*words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings(world: World, folder: Path, server: Loopback, **team: Any) -> Path:
    robot = {"type": "webhook", "format": "wecom", "url": f"{server.url}/send?key=k1", **team}
    return world.settings(folder, endpoints={"team": robot})


def is_accepted(folder: Path) -> bool:
    [delivery] = json.loads(genbridge(folder, "deliveries", "--json"))
    return bool(delivery["state"] == "accepted")


@pytest.mark.wheel
def test_a_kill_between_two_messages_of_a_delivery_loses_none_of_them(tmp_path: Path, world: World) -> None:
    with wecom(lambda number: None if number == 2 else TAKEN) as server:
        path = settings(world, tmp_path, server, title="{{ name }}", body=LINES)
        genbridge(tmp_path, "add", "t-1")
        with DaemonProcess(path) as daemon:
            until(lambda: len(server.asked) == 2, seconds=20, what="the second message")
            daemon.kill()
        with DaemonProcess(path) as daemon:
            until(lambda: is_accepted(tmp_path), seconds=20, what="the whole delivery")
            assert daemon.stop() == 0
        sent = texts(server)
    again = sent[2:]
    assert len(again) > 1
    assert sent[:2] == again[:2], "a new daemon begins with the first message"
    lines = [line for text in again for line in text.split("\n")]
    assert lines[0] == "t-1"
    assert [line.partition("?part=")[2].partition("&")[0] for line in lines[1:]] == [str(part) for part in range(45)]
    assert all(len(text.encode()) <= 2048 for text in sent)


def test_a_limit_holds_the_robot_across_a_restart(tmp_path: Path, world: World) -> None:
    with wecom(lambda number: LIMITED if number == 1 else TAKEN) as server:
        path = settings(world, tmp_path, server)
        written = json.loads(path.read_text())
        path.write_text(json.dumps({**written, "delivery": {"retries": ["0.1s", "6s"]}}))
        genbridge(tmp_path, "add", "t-1")
        with DaemonProcess(path) as daemon:
            until(lambda: len(server.asked) == 1, seconds=20, what="the first attempt")
            refused_at = time.monotonic()
            time.sleep(1)
            assert daemon.stop() == 0
        with DaemonProcess(path) as daemon:
            until(lambda: len(server.asked) == 2, seconds=20, what="the second attempt")
            assert time.monotonic() - refused_at >= 5.5
            until(lambda: is_accepted(tmp_path), seconds=20, what="the outcome")
            assert daemon.stop() == 0
    assert "code 45009: api freq out of limit" in genbridge(tmp_path, "explain", "t-1")
