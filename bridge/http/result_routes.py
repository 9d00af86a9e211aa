"""Copies of results, for anyone who has a signed link. Nothing else in the archive can be downloaded or listed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from bridge.archive.bucket import Bucket
from bridge.archive.content_sniffing import MEDIA_TYPES, UNKNOWN
from bridge.archive.folder import Folder
from bridge.archive.place import PlaceFailed
from bridge.archive_builder import place_of
from bridge.domain.store_key import RESULTS, KeyPurpose, is_signed
from bridge.errors import Unavailable
from bridge.http.problem_details import HttpProblem, answer_error
from bridge.http.services import Services
from bridge.store import ReadStore

CHUNK_BYTES: Final = 512 * 1024
SHOWN: Final = ("video/", "audio/", "image/")  # shown in a browser; every other type is only saved
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src 'self'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "private, max-age=3600",
    "Referrer-Policy": "no-referrer",
}
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class CopyResponse(FileResponse):
    """A file of the archive, with support for ranges."""

    chunk_size = CHUNK_BYTES


def result_route(services: Services) -> Route:
    """GET and HEAD of a signed link. No token is needed."""
    return Route(f"{RESULTS}{{path:path}}", partial(_answer, services), methods=["GET"])


async def _answer(services: Services, request: Request) -> Response:
    try:
        return await _copy(services, request)
    except Exception as error:  # every failure of a request becomes its answer
        return await answer_error(request, error)


async def _copy(services: Services, request: Request) -> Response:
    path, query = request.path_params["path"], request.query_params
    expires, signature = query.get("expires", ""), query.get("signature", "")
    key = await services.read(ReadStore.key, KeyPurpose.RESULTS)
    if key is None or not is_signed(key, path, expires=expires, signature=signature):
        raise HttpProblem(HTTPStatus.NOT_FOUND, "there is no such link")
    if int(expires) < services.clock.now():
        raise HttpProblem(HTTPStatus.GONE, "the link has expired")
    loaded = services.settings()
    archive = loaded.settings.archive
    if archive is None or not _is_plain(path):
        raise _gone()
    place = place_of(archive, loaded)
    try:
        if isinstance(place, Folder):
            return await anyio.to_thread.run_sync(_from_folder, place, path)
        return await _from_bucket(place, path, request)
    except PlaceFailed as error:
        raise Unavailable(f"the archive cannot be read: {error}") from error


def _from_folder(place: Folder, path: str) -> Response:
    root = place.root.resolve()
    found = root / path
    if found.resolve() != found or not found.is_file():  # no symbolic link may lead out of the archive
        raise _gone()
    return CopyResponse(found, media_type=_media_type(path), headers=_headers(path), stat_result=found.stat())


async def _from_bucket(place: Bucket, path: str, request: Request) -> Response:
    size = await anyio.to_thread.run_sync(place.size, path)
    if size is None:
        raise _gone()
    headers = {**_headers(path), "Accept-Ranges": "bytes"}
    start, stop = 0, size
    found = _RANGE.fullmatch(request.headers.get("range", "").strip())
    is_part = found is not None and (found[1] or found[2]) and "if-range" not in request.headers
    if found is not None and is_part:
        start, stop = _part(found[1], found[2], size)
        if start >= stop:
            return Response(
                status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"}
            )
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    status = HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=_media_type(path))
    return StreamingResponse(place.chunks(path, start, stop), status, headers=headers, media_type=_media_type(path))


def _part(first: str, last: str, size: int) -> tuple[int, int]:
    """Where a range starts and stops (RFC 9110, 14.1.2)."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


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
