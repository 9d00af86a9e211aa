"""Copies of results, for anyone who has a signed link. Nothing else in the archive can be downloaded or listed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Send

from bridge.archive.bucket import Bucket
from bridge.archive.folder import Folder
from bridge.archive.place import PlaceFailed
from bridge.domain.content_sniffing import MEDIA_TYPES, UNKNOWN
from bridge.domain.store_key import RESULTS, KeyPurpose, is_signed
from bridge.errors import StoreError, Unavailable
from bridge.http.problem_details import HttpProblem, answer_error
from bridge.http.services import Services
from bridge.store import ReadStore
from bridge.wiring.archive_builder import place_of

P = ParamSpec("P")
T = TypeVar("T")

CHUNK_BYTES: Final = 512 * 1024
READ_S: Final = 20.0  # until the archive answers
READS: Final = anyio.CapacityLimiter(8)  # links to a bucket or network folder that hangs leave all other threads free
SHOWN: Final = ("video/", "audio/", "image/")  # shown in a browser; every other type is only saved
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src 'self'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "private, max-age=3600",
}
STATIC_FILES: Final = StaticFiles(check_dir=False)  # compares the validators of a request
_RANGES: Final = re.compile(r"bytes\s*=(.*)", re.IGNORECASE)
_RANGE: Final = re.compile(r"\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*")


class CopyResponse(FileResponse):
    """A file of the archive, or its requested `parts`."""

    chunk_size = CHUNK_BYTES
    parts: Sequence[tuple[int, int]] = ()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Send it. Starlette gets only ranges that the file has."""
        headers = [pair for pair in scope["headers"] if pair[0] not in {b"range", b"if-range"}]
        if self.parts:
            ranges = ",".join(f"{start}-{stop - 1}" for start, stop in self.parts)
            headers.append((b"range", f"bytes={ranges}".encode()))
        await super().__call__({**scope, "headers": headers}, receive, send)


def result_route(services: Services) -> Route:
    """GET and HEAD of a signed link. No token is needed."""
    return Route(f"{RESULTS}{{path:path}}", partial(_answer, services), methods=["GET"])


async def _answer(services: Services, request: Request) -> Response:
    try:
        return await _copy(services, request)
    except (PlaceFailed, StoreError):  # without the reason, which names paths and buckets: anyone can have a link
        return await answer_error(request, Unavailable("the copy cannot be read now; try again later"))
    except Exception as error:  # every failure of a request becomes its answer
        return await answer_error(request, error)


async def _copy(services: Services, request: Request) -> Response:
    path, query = request.path_params["path"], request.query_params
    expires, signature = query.get("expires", ""), query.get("signature", "")
    key = await services.read(ReadStore.key, KeyPurpose.RESULTS)
    if key is None or not is_signed(key, path, expires=expires, signature=signature):
        raise HttpProblem(HTTPStatus.NOT_FOUND, "unknown link")
    if int(expires) < services.clock.now():
        raise HttpProblem(HTTPStatus.GONE, "the link has expired")
    loaded = services.settings()
    archive = loaded.settings.archive
    if archive is None or not _is_plain(path):
        raise _gone()
    place = place_of(archive, loaded)
    if isinstance(place, Folder):
        return await in_thread(_from_folder, place, path, request.headers)
    return await _from_bucket(place, path, request)


async def in_thread(call: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
    """Call the archive. PlaceFailed if it does not answer in time; the call then continues on its own."""
    with anyio.move_on_after(READ_S):
        return await anyio.to_thread.run_sync(call, *args, limiter=READS, abandon_on_cancel=True)
    raise PlaceFailed(f"no answer within {READ_S:g} s")


def _from_folder(place: Folder, path: str, asked: Headers) -> Response:
    root = place.root.resolve()
    found = root / path
    if found.resolve() != found or not found.is_file():  # no symbolic link may lead out of the archive
        raise _gone()
    stat = found.stat()
    response = CopyResponse(found, media_type=_media_type(path), headers=_headers(path), stat_result=stat)
    if STATIC_FILES.is_not_modified(response.headers, asked):
        return NotModifiedResponse(response.headers)
    etag = response.headers["etag"]
    if asked.get("if-range", etag) in {etag, response.headers["last-modified"]}:
        response.parts = requested_parts(asked.get("range"), stat.st_size)
    return response


async def _from_bucket(place: Bucket, path: str, request: Request) -> Response:
    size = await in_thread(place.size, path)
    if size is None:
        raise _gone()
    headers = {**_headers(path), "Accept-Ranges": "bytes"}
    parts = [] if "if-range" in request.headers else requested_parts(request.headers.get("range"), size)
    is_part = len(parts) == 1  # with several, the whole file is the answer
    start, stop = parts[0] if is_part else (0, size)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    status = HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=_media_type(path))
    return StreamingResponse(place.chunks(path, start, stop), status, headers=headers, media_type=_media_type(path))


def _is_plain(path: str) -> bool:
    return all(step and not step.startswith(".") and "\0" not in step for step in path.split("/"))


def _media_type(path: str) -> str:
    name = path.rpartition("/")[2]
    extension = "data.json" if name.endswith(".data.json") else name.rpartition(".")[2]
    return MEDIA_TYPES.get(extension, UNKNOWN)


def _headers(path: str) -> Mapping[str, str]:
    media_type = _media_type(path)
    is_shown = media_type.startswith(SHOWN) and media_type != "image/svg+xml"
    name = quote(path.rpartition("/")[2])
    return {**HEADERS, "Content-Disposition": f"{'inline' if is_shown else 'attachment'}; filename*=utf-8''{name}"}


def _gone() -> HttpProblem:
    return HttpProblem(HTTPStatus.NOT_FOUND, "the copy is no longer there")


def requested_parts(text: str | None, size: int) -> list[tuple[int, int]]:
    """The parts (start, stop) that a Range header requests of a file of this size. Empty if there is no header, or if
    it must be ignored, because it is malformed or in another unit. HttpProblem 416 if the file has none of them."""
    given = _RANGES.fullmatch((text or "").strip())
    parts: list[tuple[int, int]] = []
    for one in given[1].split(",") if given else ():
        if (found := _RANGE.fullmatch(one)) is None:
            return []
        first, last, suffix = found.groups()
        if first and last and int(last) < int(first):
            return []
        stop = min(size, int(last) + 1) if last else size
        parts.append((int(first), stop) if first else (max(0, size - int(suffix)), size))
    sound = [(start, stop) for start, stop in parts if start < stop]
    if parts and not sound:
        raise HttpProblem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"the file has {size} bytes, and none in this range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return sound
