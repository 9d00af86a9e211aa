"""Turns the answer to a create call at the gateway into a watch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import anyio
import anyio.abc

from bridge.domain.forwarding import Pair
from bridge.domain.quoting import printable, unknown_name
from bridge.domain.watch import Wish
from bridge.errors import StoreError
from bridge.http.api_route import strict_json
from bridge.http.problem_details import HttpProblem
from bridge.http.services import Services
from bridge.logs import get_logger
from bridge.net.client import Answer
from bridge.providers.pass_through import PassThrough
from bridge.sources.task_reader import TaskProblem, TaskReader

log = get_logger()

SOURCE: Final = "gateway"  # source of the watches, in the store
COMMIT_S: Final = 5.0  # how long an answer waits for the commit of its watch
RETRY_S: Final = 0.5
WATCH_HEADER: Final = b"genbridge-watch"
PREFIX: Final = "genbridge-"
KNOWN: Final = frozenset({b"genbridge-label", b"genbridge-meta", b"genbridge-endpoints", WATCH_HEADER})
VISIBLE: Final = "".join(map(chr, range(33, 127)))
MOST_REASON: Final = 300
_ENCODED: Final = re.compile(rb"utf-8'[a-z0-9-]*'", re.IGNORECASE)


class WatchWish:
    """The values of `Genbridge-Label`, `-Meta` and `-Endpoints` for the new task. HttpProblem 400 for an invalid
    value, and for another name."""

    def __init__(self, headers: Sequence[Pair], *, account: str, reader: TaskReader) -> None:
        self._reader = reader
        self._account = account
        self._task = _task_of(headers)
        try:
            reader.shaped(Wish(account=account, task_id="-"), self._task)
        except TaskProblem as problem:
            key, _, message = str(problem).partition(": ")
            raise _refused(f"{PREFIX}{key}", message) from None

    def named_by(self, answer: Answer, path: str, rules: PassThrough) -> Wish | None:
        """The task that the answer at this path creates. NotCreated or TaskProblem if it cannot be watched."""
        task = rules.created(path, answer)
        if task is None:
            return None
        return self._reader.shaped(Wish(account=self._account, task_id=task.task_id, action=task.action), self._task)


class WatchCommit:
    """Commits a wish. `header` is for the answer: the watch, or why the task is not watched."""

    def __init__(self, services: Services, account: str) -> None:
        self._services = services
        self._account = account
        self._done = anyio.Event()
        self._reason = f"the store did not answer within {COMMIT_S:g} s"
        self._watch = ""

    @property
    def header(self) -> Pair:
        """`Genbridge-Watch`, with the current state."""
        return WATCH_HEADER, (self._watch or f"failed; {_plain(self._reason)}").encode("ascii")

    async def finish(self, wish: Wish, group: anyio.abc.TaskGroup) -> None:
        """Commit the wish; return when it is on disk, or after `COMMIT_S`. A slower commit continues."""
        group.start_soon(self._add, wish)
        with anyio.move_on_after(COMMIT_S):
            await self._done.wait()
        if not self._watch:
            self.fail(self._reason, task_id=wish.task_id)

    def fail(self, reason: str, *, task_id: str = "") -> None:
        """Record and log that the task is not watched."""
        self._reason = reason
        about = {"task_id": task_id} if task_id else {}
        log.error("gateway.unwatched", account=self._account, reason=reason, **about)

    async def _add(self, wish: Wish) -> None:
        clock = self._services.clock
        gives_up_at = clock.steady() + COMMIT_S - RETRY_S
        while True:
            try:
                # Also while the daemon stops, because the task has already started.
                await self._services.app().parts.intake.add_once([wish], source=SOURCE)
                self._watch = f"{wish.account}/{quote(wish.task_id, safe=VISIBLE)}"
                break
            except StoreError as error:
                self._reason = str(error)
                if clock.steady() >= gives_up_at:
                    break
            await clock.sleep(RETRY_S)
        self._done.set()


def _task_of(headers: Sequence[Pair]) -> Mapping[str, Any]:
    _check_names([name.lower() for name, _ in headers])
    given = {name.lower(): _text(value) for name, value in headers}
    task: dict[str, Any] = {}
    if label := given.get(b"genbridge-label"):
        task["label"] = label
    if endpoints := given.get(b"genbridge-endpoints"):
        task["endpoints"] = [name.strip() for name in endpoints.split(",") if name.strip()]
    if meta := given.get(b"genbridge-meta"):
        try:
            task["meta"] = strict_json(meta)
        except ValueError as error:
            raise _refused("genbridge-meta", f"cannot be read as JSON: {error}") from None
    return task


def _check_names(given: Sequence[bytes]) -> None:
    for name in given:
        if name in KNOWN and given.count(name) > 1:
            raise _refused(_text(name), "is there twice; give it once")
        if name.startswith(PREFIX.encode()) and name not in KNOWN:
            known = (each.decode().title() for each in KNOWN - {WATCH_HEADER})
            raise _refused(_text(name), unknown_name("header", _text(name).title(), known))


def _refused(header: str, message: str) -> HttpProblem:
    where = printable(header.title())
    return HttpProblem(HTTPStatus.BAD_REQUEST, f"{where}: {message}", [(where, message)])


def _text(value: bytes) -> str:
    """A header's text: UTF-8, as clients send it today, or else Latin-1, as in the old standard. `UTF-8''%E7%8C%AB` is
    for clients that can only send ASCII (RFC 8187, 3.2.1)."""
    if (encoded := _ENCODED.match(value)) is not None:
        value = unquote_to_bytes(value[encoded.end() :])
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _plain(text: str) -> str:
    """The text as one line of ASCII."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)[:MOST_REASON]
