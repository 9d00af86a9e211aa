"""A simulated provider: Kling's documented legacy routes, over tasks that live in memory.

Below `/kling/v1` (as aggregators have it) and `/v1` (direct): `POST /{group}/{action2}` creates, `GET` on the same path
lists, `GET .../{task_id}` tells how one task is. Result URLs point at `/files/...` here, which needs no key. Tasks
whose id begins with `demo-` are born when first asked for; `bridge.simulator.tasks` has the grammar. Not simulated:
callbacks (most aggregators drop them), and that a task belongs to one action: its id alone is looked at.
"""

from __future__ import annotations

import hmac
import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.ports import Clock
from bridge.simulator.tasks import SPEECH, Ending, Script, SimulatedTask, script_of

TWO_PART_ACTIONS: Final = frozenset({"avatar/image2video", "editing/expand"})
INVALID_KEY: Final = (HTTPStatus.UNAUTHORIZED, 1002, "Authorization is invalid")
INVALID_PARAMETERS: Final = (HTTPStatus.BAD_REQUEST, 1201)
UNKNOWN_METHOD: Final = (HTTPStatus.NOT_FOUND, 1202, "The requested method does not exist")
UNKNOWN_RESOURCE: Final = (HTTPStatus.NOT_FOUND, 1203, "The requested resource does not exist")
TOO_MANY: Final = (HTTPStatus.TOO_MANY_REQUESTS, 1302, "Too many requests; rate limit exceeded")
MAX_BODY_BYTES: Final = 32 * 2**20  # a create may carry pictures in base64
MAX_EXTERNAL_ID_CHARS: Final = 512


class SimulatedProvider:
    """The provider and its tasks. All instants are `clock.steady()`, told in milliseconds.

    `key`: the API key that is asked for; None takes any, or none. `rate`: requests answered in each second of the
    clock, further ones get 429; None sets no bound.
    """

    def __init__(self, clock: Clock, *, key: str | None = None, rate: int | None = None) -> None:
        self.polls: Counter[str] = Counter()
        """Queries answered about each known task."""
        self._clock = clock
        self._authorization = None if key is None else f"Bearer {key}".encode()
        self._rate = rate
        self._second, self._taken = 0, 0
        self._tasks: dict[str, SimulatedTask] = {}
        self._by_external_id: dict[str, SimulatedTask] = {}
        # Ids begin where the clock stands: one created after a restart is never one of an earlier run.
        self._numbers = itertools.count(int(clock.now() * 1000))
        self._requests = itertools.count(1)
        actions = ("/kling/v1/{group}/{rest:path}", "/v1/{group}/{rest:path}")
        self.app: Final = Starlette(
            routes=[
                *(Route(path, self._get, methods=["GET"]) for path in actions),
                *(Route(path, self._create, methods=["POST"]) for path in actions),
                Route("/files/{name:path}", _file, methods=["GET"]),
            ],
            exception_handlers={HTTPException: self._no_such_route, ClientDisconnect: _nobody_listens},
        )
        self.app.router.redirect_slashes = False

    def plan(
        self,
        task_id: str,
        script: Script,
        *,
        action: str = "videos/text2video",
        born_at: float | None = None,
        external_id: str = "",
    ) -> SimulatedTask:
        """Add a task, or plan it anew; born now unless told otherwise, in the past or to come."""
        task = SimulatedTask(
            task_id=task_id,
            action=action,
            script=script,
            born_at=self._clock.steady() if born_at is None else born_at,
            external_id=external_id,
        )
        self._tasks[task_id] = task
        if external_id:
            self._by_external_id[external_id] = task
        return task

    @property
    def ended_at(self) -> Mapping[str, float]:
        """The tasks that have ended by now, and when."""
        now = self._clock.steady()
        ends = ((task.task_id, task.ends_at) for task in self._tasks.values())
        return {task_id: ends_at for task_id, ends_at in ends if ends_at is not None and ends_at <= now}

    async def _get(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        group, *rest = _segments(request)
        if len(rest) == 1 or "/".join(rest) in TWO_PART_ACTIONS:
            return self._list("/".join([group, *rest]), request)
        task = self._find(rest[-1], action="/".join([group, *rest[:-1]]))
        if task is None:
            return self._error(*UNKNOWN_RESOURCE)
        self.polls[task.task_id] += 1
        return self._good(task.data(self._clock.steady(), files_url=_files_url(request)))

    def _find(self, task_id: str, *, action: str) -> SimulatedTask | None:
        task = self._tasks.get(task_id) or self._by_external_id.get(task_id)
        if task is not None:
            return task
        script = script_of(task_id)
        return None if script is None else self.plan(task_id, script, action=action)

    def _list(self, action: str, request: Request) -> Response:
        """One page of this action's tasks, newest first."""
        try:
            page = _whole(request, "pageNum", default=1, most=1000)
            size = _whole(request, "pageSize", default=30, most=500)
        except ValueError as error:
            return self._error(*INVALID_PARAMETERS, str(error))
        tasks = (task for task in reversed(self._tasks.values()) if task.action == action)
        now, files_url = self._clock.steady(), _files_url(request)
        wanted = itertools.islice(tasks, (page - 1) * size, page * size)
        return self._good([task.data(now, files_url=files_url) for task in wanted])

    async def _create(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            external_id = await self._external_id(request)
        except ValueError as error:
            return self._error(*INVALID_PARAMETERS, str(error))
        action = "/".join(_segments(request))
        task = self.plan(
            f"857{next(self._numbers):015d}",
            _script_for(action, external_id),
            action=action,
            external_id=external_id,
        )
        if action == SPEECH:
            return self._good(task.data(self._clock.steady(), files_url=_files_url(request)))
        return self._good(task.created())

    async def _external_id(self, request: Request) -> str:
        """The creator's own id in the body, "" for none; ValueError for a body or an id that will not do."""
        wish: Any = orjson.loads(await _body(request) or b"{}")
        if not isinstance(wish, dict):
            raise ValueError("the body must be a JSON object")
        external_id = wish.get("external_task_id") or ""
        if not isinstance(external_id, str) or len(external_id) > MAX_EXTERNAL_ID_CHARS:
            raise ValueError(f"external_task_id must be text of at most {MAX_EXTERNAL_ID_CHARS} characters")
        if external_id in self._by_external_id:
            raise ValueError("external_task_id exists already")
        return external_id

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").encode()
        if self._authorization is not None and not hmac.compare_digest(given, self._authorization):
            return self._error(*INVALID_KEY)
        if self._rate is None:
            return None
        second = int(self._clock.steady())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._error(*TOO_MANY) if self._taken > self._rate else None

    async def _no_such_route(self, _: Request, error: Exception) -> Response:
        wrong_method = isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        return self._error(*(UNKNOWN_METHOD if wrong_method else UNKNOWN_RESOURCE))

    def _good(self, data: object) -> Response:
        return self._answer(HTTPStatus.OK, {"code": 0, "message": "SUCCEED", "data": data})

    def _error(self, status: HTTPStatus, code: int, message: str) -> Response:
        return self._answer(status, {"code": code, "message": message})

    def _answer(self, status: HTTPStatus, answer: dict[str, object]) -> Response:
        answer["request_id"] = f"{next(self._requests):08x}-0000-4000-8000-000000000000"
        return Response(orjson.dumps(answer), status, media_type="application/json")


def _script_for(action: str, external_id: str) -> Script:
    """As an external id in the grammar of `demo-` ids asks; else a success of the kind that fits the action."""
    asked = script_of(external_id)
    if asked is not None:
        return asked
    if action == SPEECH:
        return Script(ending=Ending.AUDIOS, lasts_s=0.0)
    group = action.partition("/")[0]
    return Script(ending={"images": Ending.IMAGES, "audio": Ending.AUDIOS}.get(group, Ending.VIDEOS))


def _segments(request: Request) -> list[str]:
    """Group, action2 and what follows, each decoded by itself: a task id may hold an encoded slash."""
    path = request.scope["raw_path"].decode("ascii", "replace")
    return [unquote(segment) for segment in path.partition("/v1/")[2].split("/")]


def _files_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}/files"


def _whole(request: Request, name: str, *, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise ValueError(f"{name} must be a number from 1 to {most}")
    return int(text)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _nobody_listens(_: Request, __: Exception) -> Response:
    """The client went away while sending; without this uvicorn logs a traceback."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


# The smallest that programs take for a picture (one grey pixel), a video and two sounds.
_PNG: Final = b"".join(
    (
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(b"\x00\x80")),
        _chunk(b"IEND", b""),
    )
)
_FILES: Final = {
    ".png": ("image/png", _PNG),
    ".mp4": ("video/mp4", b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom"),
    ".mp3": ("audio/mpeg", b"ID3\x04\x00\x00\x00\x00\x00\x00"),
    ".wav": ("audio/wav", b"RIFF\x04\x00\x00\x00WAVE"),
}


async def _file(request: Request) -> Response:
    kind = _FILES.get(PurePosixPath(request.path_params["name"]).suffix)
    if kind is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    media_type, content = kind
    return Response(content, media_type=media_type)
