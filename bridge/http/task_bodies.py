"""The tasks in the body of a request. A thread or a process reads a large one, so that no poll waits for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread

from bridge.config.load import Loaded
from bridge.control.watch_requests import WrongTask, sorted_wishes
from bridge.domain.watch import Wish
from bridge.errors import Unavailable, os_reason
from bridge.http.problem_details import HttpProblem, invalid
from bridge.http.services import Services
from bridge.ports import Added, Clock
from bridge.sources.entry import Entry
from bridge.sources.parse_process import ParseProcess, ParseTimeout
from bridge.sources.task_files import SMALL_BYTES, read_any, read_json_text, read_tasks
from bridge.wiring.task_reading import task_reader

JSON_SUFFIXES: Final = frozenset({".json", ".jsonl"})
FAST_JSON_BYTES: Final = 1 << 20  # of JSON, this much takes a thread as long as another process needs to start
MOST_WRONG: Final = 10_000  # wrong tasks of a body; the rest is not read, so that garbage takes little memory
COMMITTED_AT_ONCE: Final = 2000  # tasks per commit, because other commits of the daemon wait for it
_ONE_AT_A_TIME: Final = anyio.CapacityLimiter(1)

Shared = Mapping[str, str | None]
"""The `account` and `action` for tasks that name none."""


class WrongTasks(HttpProblem):
    """A body with tasks that cannot be watched."""

    def __init__(self, wrong: Sequence[WrongTask]) -> None:
        said = invalid([(one.place, one.why) for one in wrong])
        super().__init__(said.status, str(said), said.errors)
        self.wrong = wrong


async def add_tasks(
    services: Services, data: bytes, *, is_json: bool, shared: Shared, again: bool
) -> AsyncIterator[list[Added]]:
    """Watch the tasks in a body; yields those of each commit. Errors as for `read_wishes`; StoreError."""
    wishes = await read_wishes(data, services.settings(), is_json=is_json, shared=shared, clock=services.clock)
    for start in range(0, len(wishes), COMMITTED_AT_ONCE):
        yield await services.add(wishes[start : start + COMMITTED_AT_ONCE], again=again)


async def read_wishes(data: bytes, loaded: Loaded, *, is_json: bool, shared: Shared, clock: Clock) -> list[Wish]:
    """The tasks in a body: JSON if `is_json`, otherwise in any syntax. If any task cannot be watched, HttpProblem 422
    lists all such tasks, and none is watched. Unavailable if the body cannot be read now."""
    read = partial(_read, data, loaded, is_json, {name: value for name, value in shared.items() if value}, clock)
    if len(data) <= SMALL_BYTES:
        return read()
    return await anyio.to_thread.run_sync(read, limiter=_ONE_AT_A_TIME)


def _read(data: bytes, loaded: Loaded, is_json: bool, shared: dict[str, Any], clock: Clock) -> list[Wish]:
    reader = task_reader(loaded)
    try:
        entries = (read_json_text if is_json else read_any)(
            data, read_tasks if len(data) <= SMALL_BYTES else partial(_read_large, clock)
        )
        good, problems = sorted_wishes(reader, entries, shared, most_wrong=MOST_WRONG)
    except ParseTimeout as error:
        raise invalid([("", str(error))]) from None
    except OSError as error:  # the process that reads the body could not start, or was killed
        raise Unavailable(f"the body cannot be read now: {os_reason(error)}; nothing is added; try again") from None
    if problems:
        raise WrongTasks(problems)
    if not good:
        raise invalid([("", "the body contains no task; give at least one id or task")])
    return good


def _read_large(clock: Clock, data: bytes, suffix: str) -> Iterator[Entry]:
    if suffix in JSON_SUFFIXES and len(data) <= FAST_JSON_BYTES:
        yield from read_tasks(data, suffix)
        return
    file = os.memfd_create("tasks")
    try:
        with open(file, "wb", closefd=False) as written:
            written.write(data)
        os.lseek(file, 0, os.SEEK_SET)
        yield from ParseProcess(steady=clock.steady).entries(file, suffix)
    finally:
        os.close(file)
