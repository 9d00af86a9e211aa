"""The endpoint `@archive`: its deliveries are copies of results."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import anyio.to_thread
import orjson

from bridge.archive.answer_spool import AnswerSpool
from bridge.archive.copy_record import CopyRecord
from bridge.archive.download import CopyFailed, Download, Fetched, Space
from bridge.archive.part_file import PartFile, PartTaken
from bridge.archive.place import Place, PlaceFailed
from bridge.domain.archive_names import CopyMade, WantedCopy, due_first, mark, stems, wanted_copies
from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Undeliverable
from bridge.domain.event import Event, Parcel, Topic
from bridge.domain.event_building import archived_event
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.task import Json
from bridge.encoding import documented
from bridge.ports import Clock

P = ParamSpec("P")
T = TypeVar("T")

NO_SPACE_S: Final = 60.0  # how long copies wait when there is too little space
PLACE_S: Final = 30.0  # ... and if the archive cannot be read or written
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
LinkTo = Callable[[str], Awaitable[str | None]]
"""Returns the URL of a copy for others; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSink:
    """`ports.Sink`. An attempt makes all missing copies of a task, one after the other. It copies results of these
    `kinds` that have at most `most_bytes`.

    `space` returns why there is no room for copies, or for more bytes; None if there is. Existing copies are found
    again after a crash: each task has a record (`CopyRecord`) beside its copies, which reserves their names and
    describes them.
    """

    place: Place
    partial: Callable[[str], PartFile]
    downloads: Mapping[str, Download]
    spool: AnswerSpool
    kinds: Collection[str]
    most_bytes: int
    space: Space
    clock: Clock
    link_to: LinkTo

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        """See `Sink.parcels`: none for an event without results to copy."""
        if event.topic is not Topic.TASK_SUCCEEDED or not any(wanted_copies(event.data, self.kinds)):
            return []
        due_at = due_first(event.data.get("expires_at"))
        return [Parcel(endpoint=ARCHIVE, target="", body=documented(event), is_documented=True, due_at=due_at)]

    def targets(self) -> Sequence[str]:
        return [""]

    async def deliver(self, delivery: Delivery) -> Outcome:
        """See `Sink.deliver`. It may take hours: it gives up on a slow server, but not on a large file."""
        problem = await anyio.to_thread.run_sync(self.space, 0)
        if problem is not None:
            return _wait(problem, NO_SPACE_S)
        data = orjson.loads(delivery.body)["data"]
        if delivery.account not in self.downloads:
            return Undeliverable(reason=f"the account {delivery.account} is no longer in the settings")
        try:
            record = await _at_place(CopyRecord.claim, self.place, stems(data, event_id=delivery.event_id), delivery)
            failed = [
                (wanted, failure)
                for wanted in wanted_copies(data, self.kinds)
                if (failure := await self._copied(wanted, record, delivery, data.get("action"))) is not None
            ]
        except PlaceFailed as error:
            return _wait(str(error), PLACE_S)
        if failed:
            return self._unfinished(failed, data)
        return await self._finished(record, delivery, data)

    async def _copied(
        self, wanted: WantedCopy, record: CopyRecord, delivery: Delivery, action: str | None
    ) -> CopyFailed | None:
        """Make one copy unless it exists; returns why that failed."""
        key = WatchKey(delivery.account, delivery.subject)
        part = self.partial(f"{mark(delivery.event_id)}-{wanted.n}")
        if await _at_place(record.has, wanted.n):
            part.discard()  # left by a crash just after the file was moved
            self.spool.discard(wanted, key)
            return None
        try:
            with part:
                made = record.noted(wanted.n)
                if made is None or not await anyio.to_thread.run_sync(part.adopt, made.bytes, made.sha256):
                    made = self._copy(wanted, record, await self._fetched(wanted, part, key, action))
                await _at_place(record.keep, made, part.path)
                part.discard()
                self.spool.discard(wanted, key)
        except CopyFailed as failure:
            if failure.is_final:
                part.discard()  # it may be as large as `max_size`
            return failure
        except PartTaken:
            return CopyFailed("another daemon copies it")
        except OSError as error:
            if error.errno in FULL:  # a quota, or files without a length: other copies may still fit
                part.discard()
                return CopyFailed(f"{part.path.parent}: {error.strerror}")
            raise PlaceFailed(f"{part.path.parent}: {error.strerror or error}") from error
        return None

    async def _fetched(self, wanted: WantedCopy, part: PartFile, key: WatchKey, action: str | None) -> Fetched:
        download = self.downloads[key.account]
        if wanted.is_inside:
            return await self.spool.fetch(wanted, part, key, lambda: download.ask_again(key.task_id, action))
        return await download.fetch(wanted, part, most_bytes=self.most_bytes, space=self.space)

    @staticmethod
    def _copy(wanted: WantedCopy, record: CopyRecord, fetched: Fetched) -> CopyMade:
        return CopyMade(
            kind=wanted.kind,
            n=wanted.n,
            path=f"{record.stem}-{wanted.n}.{fetched.type.extension}",
            url=None,
            bytes=fetched.bytes,
            sha256=fetched.sha256,
            media_type=fetched.type.media_type,
        )

    def _unfinished(self, failed: Sequence[tuple[WantedCopy, CopyFailed]], data: Mapping[str, Json]) -> Outcome:
        """Retry if any of the copies can still be made."""
        reason = _listed(failed)
        expires_ms = data.get("expires_at")
        is_expired = isinstance(expires_ms, int | float) and expires_ms / 1000 < self.clock.now()
        left = [one for _, one in failed if not (one.is_final or (one.is_refusal and is_expired))]
        if not left:
            has_expired = is_expired and any(one.is_refusal for _, one in failed)
            return Undeliverable(reason=reason + ("; the URL has expired" if has_expired else ""))
        return Deferred(reason=reason, retry_after_s=max(one.retry_after_s or 0.0 for one in left) or None)

    async def _finished(self, record: CopyRecord, delivery: Delivery, data: Mapping[str, Json]) -> Outcome:
        copies = [copy._replace(url=await self.link_to(copy.path)) for copy in record.copies]
        total = sum(copy.bytes for copy in copies)
        paths = ", ".join(copy.path for copy in copies)
        event = archived_event(data, [copy._asdict() for copy in copies], of=delivery.event_id, at=self.clock.now())
        return Accepted(detail=f"{total} bytes: {paths}", event=event)


async def _at_place(call: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
    """Call the archive. If this is canceled, the call continues: an upload may take minutes, and can be repeated."""
    return await anyio.to_thread.run_sync(call, *args, abandon_on_cancel=True)


def _listed(failed: Sequence[tuple[WantedCopy, CopyFailed]]) -> str:
    """`images 1-12: HTTP 404; videos 13: the file is empty`"""
    alike: dict[tuple[str, str], list[int]] = {}
    for wanted, failure in failed:
        alike.setdefault((wanted.kind, failure.reason), []).append(wanted.n)
    return "; ".join(f"{kind} {_numbers(found)}: {reason}" for (kind, reason), found in alike.items())


def _numbers(found: Sequence[int]) -> str:
    """`1-12` for consecutive numbers; otherwise `1,3,4`."""
    first, last = found[0], found[-1]
    is_run = len(found) > 2 and last - first + 1 == len(found)
    return f"{first}-{last}" if is_run else ",".join(map(str, found))


def _wait(reason: str, seconds: float) -> Deferred:
    """All copies must wait; the attempt does not count."""
    return Deferred(reason=reason, retry_after_s=seconds, delays_queue=True, is_counted=False)
