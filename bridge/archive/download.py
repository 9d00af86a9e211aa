"""Downloads one result into a part file. Downloads can be resumed, are limited in size, and are checked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

import anyio
import anyio.abc
import anyio.to_thread

from bridge.archive.part_file import PartFile
from bridge.domain.archive_names import WantedCopy
from bridge.domain.backoff import parse_retry_after
from bridge.domain.content_sniffing import FileType, WrongContent, sniffed
from bridge.domain.result_urls import why_refused
from bridge.domain.task import Reading, ReadingKind
from bridge.net.client import Unanswered
from bridge.net.failure_kinds import BodyStopped, Failure
from bridge.net.outside_client import KeyFor, OutsideAnswer, OutsideClient

BATCH_BYTES: Final = 512 * 1024  # bytes per write
MOST_RESUMES: Final = 8  # within one attempt, each after some progress
GONE: Final = frozenset({HTTPStatus.GONE, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS})
REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_DIGEST: Final = re.compile(r"(?:^|,)\s*sha-256=:?([A-Za-z0-9+/=]+):?", re.IGNORECASE)


Space = Callable[[int], str | None]
"""Returns why the disk has no room for this many more bytes; None if it has. Blocks."""

AskAgain = Callable[[str, str | None], Awaitable[Reading]]
"""Polls a task, by its id and action, once more. When it returns, files inside the answer have been kept."""


async def cannot_ask(task_id: str, action: str | None) -> Reading:
    """An `AskAgain` for a program that polls nothing."""
    return Reading(kind=ReadingKind.TRANSIENT, detail="only the daemon can poll the task")


class Fetched(NamedTuple):
    """A complete file in its part file, on disk."""

    bytes: int
    sha256: str
    type: FileType


class CopyFailed(Exception):
    """Why a result could not be copied. `is_final`: another attempt cannot succeed. `is_refusal`: the server refuses
    this URL, which becomes final when the URL has expired."""

    def __init__(
        self, reason: str, *, is_final: bool = False, is_refusal: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.is_final: Final = is_final
        self.is_refusal: Final = is_refusal
        self.retry_after_s: Final = retry_after_s


class Unsure(Exception):
    """The body ended with the connection, so it may be complete or cut off. `seen` is its length and sha256."""

    def __init__(self, seen: tuple[int, str]) -> None:
        super().__init__("the server does not state the length of the file, and each download was different")
        self.seen: Final = seen


class Cut(Exception):
    """The body ended early after some progress; the rest can be requested. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """How to download results of one account."""

    client: OutsideClient
    key_for: KeyFor  # for results that need the key
    ask_again: AskAgain  # for results that were inside the answer

    async def fetch(self, wanted: WantedCopy, part: PartFile, *, most_bytes: int, space: Space) -> Fetched:
        """Download a result into an open part file. CopyFailed says why it failed; the part that has arrived is kept
        for the next attempt, unless the disk has too little space. OSError if the part file cannot be written."""
        begun_at_bytes, seen = -1, (0, "")
        for _ in range(MOST_RESUMES):
            try:
                return await self._attempt(wanted, part, most_bytes, space, seen)
            except Unsure as unsure:
                await anyio.to_thread.run_sync(part.restart, wanted.url, "")
                begun_at_bytes, seen, reason = -1, unsure.seen, str(unsure)
            except Cut as cut:
                await anyio.to_thread.run_sync(part.note)
                if part.bytes <= begun_at_bytes:
                    raise CopyFailed(str(cut)) from cut
                begun_at_bytes, reason = part.bytes, str(cut)
        raise CopyFailed(reason)

    async def _attempt(
        self, wanted: WantedCopy, part: PartFile, most_bytes: int, space: Space, seen: tuple[int, str]
    ) -> Fetched:
        """One request. A body without a length is complete if it is the same twice; `seen` is the previous one."""
        validator = await anyio.to_thread.run_sync(part.resume, wanted.url)
        headers = {"Range": f"bytes={part.bytes}-", "If-Range": validator} if validator else {}
        keys = {"key_for": self.key_for} if wanted.needs_key else {}
        answer = await self.client.open(wanted.url, headers=headers, **keys)
        if isinstance(answer, Unanswered):
            raise CopyFailed(answer.reason, is_final=_is_final(answer, wanted.url))
        try:
            whole_bytes = await self._begin(wanted, part, answer, validator, most_bytes)
            if whole_bytes is not None:
                await anyio.to_thread.run_sync(_reserve, part, space, max(0, whole_bytes - part.bytes))
            try:
                await _write_all(answer.chunks(), part, most_bytes, space)
            except BodyStopped as error:
                raise Cut(str(error)) from error
            except anyio.get_cancelled_exc_class():
                part.note()  # this is fast, and the next start can resume there
                raise
        finally:
            answer.close()
        if whole_bytes is not None and part.bytes != whole_bytes:
            raise Cut(f"{part.bytes} of {whole_bytes} bytes came")
        fetched = await self._checked(wanted, part, answer)
        if whole_bytes is None and not answer.has_end and seen != fetched[:2]:
            raise Unsure(fetched[:2])
        return fetched

    async def _begin(
        self, wanted: WantedCopy, part: PartFile, answer: OutsideAnswer, validator: str, most_bytes: int
    ) -> int | None:
        """Check status and headers. Returns the length of the whole file; None if the server does not state it."""
        status, headers = answer.status, _headers_of_file(answer)
        if status == HTTPStatus.PARTIAL_CONTENT and validator:
            whole_bytes: int | None = await self._resumed(wanted, part, headers, validator)
        elif status == HTTPStatus.OK:
            length = headers.get("content-length", "")
            whole_bytes = int(length) if length.isdecimal() and len(length) < 19 else None
            await anyio.to_thread.run_sync(part.restart, wanted.url, _validator(headers), whole_bytes)
        else:
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and validator:
                await anyio.to_thread.run_sync(part.restart, wanted.url, "")
            wait_s = parse_retry_after(answer.headers.get("retry-after"), date=answer.headers.get("date"))
            is_refusal = status in REFUSALS
            raise CopyFailed(f"HTTP {status}", is_final=status in GONE, is_refusal=is_refusal, retry_after_s=wait_s)
        if whole_bytes is not None and whole_bytes > most_bytes:
            raise CopyFailed(f"{whole_bytes} bytes are more than archive.max_size", is_final=True)
        return whole_bytes

    async def _resumed(self, wanted: WantedCopy, part: PartFile, headers: Mapping[str, str], validator: str) -> int:
        """The length of the whole file. CopyFailed if the answer is not its rest; then the next attempt starts
        again."""
        found = _RANGE.fullmatch(headers.get("content-range", "").strip())
        problem = "the server resumed at the wrong position"
        if found is not None and int(found[1]) == part.bytes:
            if not _has_changed(headers, validator, part.whole_bytes, int(found[3])):
                return int(found[3])
            problem = "the file at the server has changed"
        await anyio.to_thread.run_sync(part.restart, wanted.url, "")
        raise CopyFailed(problem, retry_after_s=0.0)

    async def _checked(self, wanted: WantedCopy, part: PartFile, answer: OutsideAnswer) -> Fetched:
        """The finished file. CopyFailed if it is not the requested file; the next attempt then starts again."""
        try:
            stated = _stated_sha256(_headers_of_file(answer))
            if stated is not None and stated != part.sha256:
                raise WrongContent("the sha256 is not the one that the server states")
            file_type = sniffed(
                part.head, kind=wanted.kind, url=wanted.url, stated=answer.headers.get("content-type", "")
            )
        except WrongContent as error:
            await anyio.to_thread.run_sync(part.restart, wanted.url, "")
            raise CopyFailed(str(error)) from error
        await anyio.to_thread.run_sync(part.finish)
        return Fetched(part.bytes, part.sha256, file_type)


def _is_final(failure: Unanswered, url: str) -> bool:
    """Whether another attempt cannot succeed. If only a redirect or the resolver leads to a forbidden address, it may
    be the network's sign-in page, which answers for every host until somebody signs in."""
    names_it = failure.kind is Failure.FORBIDDEN and why_refused(url, own_host="") is not None
    return names_it or failure.kind is Failure.REQUEST


def _reserve(part: PartFile, space: Space, more_bytes: int = 0) -> None:
    """CopyFailed if the disk has too little space. The part is removed then, so that the disk does not fill up."""
    if (problem := space(more_bytes)) is not None:
        part.restart("", "")
        raise CopyFailed(problem)


def _write(part: PartFile, batch: Sequence[bytes], space: Space) -> None:
    part.write(batch)
    _reserve(part, space)


async def _write_all(chunks: AsyncIterator[bytes], part: PartFile, most_bytes: int, space: Space) -> None:
    """Write a body while it arrives, in batches. What has arrived is kept."""
    batch, batch_bytes = list[bytes](), 0
    try:
        async for chunk in chunks:
            batch.append(chunk)
            batch_bytes += len(chunk)
            if part.bytes + batch_bytes > most_bytes:
                raise CopyFailed("the body is longer than archive.max_size", is_final=True)
            if batch_bytes >= BATCH_BYTES:
                await anyio.to_thread.run_sync(_write, part, batch, space)
                batch, batch_bytes = [], 0
    except BodyStopped:
        await anyio.to_thread.run_sync(part.write, batch)
        raise
    await anyio.to_thread.run_sync(part.write, batch)


def _headers_of_file(answer: OutsideAnswer) -> Mapping[str, str]:
    """The headers that describe the file; none if the server compressed it, because they describe that form then."""
    return {} if answer.is_compressed else answer.headers


def _validator(headers: Mapping[str, str]) -> str:
    """The value for `If-Range` (RFC 9110, 13.1.5): a strong ETag, or else the date of the last change. None is sent if
    it is not ASCII."""
    etag = headers.get("etag", "").strip()
    found = etag if etag.startswith('"') else "" if etag else headers.get("last-modified", "").strip()
    return found if found.isascii() else ""


def _has_changed(headers: Mapping[str, str], validator: str, known_bytes: int | None, whole_bytes: int) -> bool:
    """Whether the rest of a file does not belong to the part that is here. Some servers ignore `If-Range` (RFC 9110,
    15.3.7.3)."""
    now = _validator(headers)
    is_comparable = bool(now) and now.startswith('"') == validator.startswith('"')  # two ETags, or two dates
    return (is_comparable and now != validator) or known_bytes not in {None, whole_bytes}


def _stated_sha256(headers: Mapping[str, str]) -> str | None:
    """The sha256 of the whole file, in hex, if the server states it (RFC 9530, RFC 3230, S3)."""
    found = _DIGEST.search(headers.get("repr-digest", "")) or _DIGEST.search(headers.get("digest", ""))
    text = found[1] if found else headers.get("x-amz-checksum-sha256", "")
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 32 else None
