"""How the tasks in a body are read."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from bridge.clock import SystemClock
from bridge.config.load import Loaded, load, resolve
from bridge.domain.watch import Wish
from bridge.errors import Unavailable
from bridge.http.services import Services
from bridge.http.task_bodies import COMMITTED_AT_ONCE, MOST_WRONG, WrongTasks, add_tasks, read_wishes
from bridge.ports import Added
from bridge.sources.task_files import SMALL_BYTES

IDS = [f"task-{number:05}" for number in range(10_000)]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    path = tmp_path / "genbridge.yaml"
    path.write_text("accounts: {replicate: {provider: replicate, api_key: k12345678}}\n")
    return resolve(load(path, {}), {})


class Adding:
    """Takes the place of the services of a daemon, and adds tasks to no store."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.clock = SystemClock()
        self.count = 0

    def settings(self) -> Loaded:
        return self.loaded

    async def add(self, wishes: Sequence[Wish], *, again: bool) -> list[Added]:
        self.count += len(wishes)
        return [Added(one.key, "added", "submitted") for one in wishes]


async def test_the_answer_about_many_tasks_is_made_after_each_commit(loaded: Loaded) -> None:
    adding, body = Adding(loaded), json.dumps(IDS).encode()
    seen = 0
    async for some in add_tasks(cast(Services, adding), body, is_json=True, shared={}, again=False):
        seen += len(some)
        assert (len(some), seen) == (COMMITTED_AT_ONCE, adding.count)
    assert seen == len(IDS)


async def read(body: str, loaded: Loaded, *, is_json: bool) -> list[Wish]:
    assert len(body) > SMALL_BYTES
    return await read_wishes(body.encode(), loaded, is_json=is_json, shared={}, clock=SystemClock())


@pytest.mark.parametrize("is_json", [True, False])
async def test_ten_thousand_tasks_in_json_are_read_without_another_process(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, is_json: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a process needs longer to start than this takes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    for body in (json.dumps(IDS), json.dumps([{"id": each, "label": "a", "meta": {"n": 1}} for each in IDS])):
        assert [wish.task_id for wish in await read(body, loaded, is_json=is_json)] == IDS
    with pytest.raises(AssertionError):
        await read("\n".join(IDS), loaded, is_json=False)


@pytest.mark.parametrize("body", ["[" + "{}," * 500_000 + "{}]", "bad id\n" * 500_000])
async def test_garbage_is_not_read_to_its_end(loaded: Loaded, body: str) -> None:
    with pytest.raises(WrongTasks) as refused:
        await read(body, loaded, is_json=False)
    assert len(refused.value.wrong) == MOST_WRONG


async def test_a_body_that_cannot_be_read_now_is_not_wrong(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(Unavailable, match="temporarily unavailable; nothing is added"):
        await read("\n".join(IDS), loaded, is_json=False)
