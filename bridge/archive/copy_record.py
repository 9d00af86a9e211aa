"""The JSON file in the folder of a task's copies: it reserves their names, and describes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from bridge.archive.place import Place, PlaceFailed
from bridge.domain.archive_names import CopyMade, copies_by_mark, copies_in, mark, stems
from bridge.domain.delivery import Delivery
from bridge.domain.task import Json
from bridge.domain.views import WatchView


class CopyRecord:
    """`STEM.json`: the event's topic and data, with `archive`. Every call blocks, and raises PlaceFailed.

    It is created only if it does not exist, so if two tasks have the same label, only one gets the readable names. A
    copy is recorded in it before the copy appears. So after a crash it is known to which task a file belongs, and what
    it must contain.
    """

    def __init__(self, place: Place, stem: str, document: dict[str, Json]) -> None:
        self.stem = stem
        self._place = place
        self._document = document
        self._copies = {copy.n: copy for copy in copies_in(document["data"])}

    @classmethod
    def find(cls, place: Place, stems: Sequence[str], event_id: str) -> CopyRecord | None:
        """The record of the task with this event at one of these stems; None if it has none."""
        for stem in stems:
            if (document := _ours(place.read(f"{stem}.json"), event_id)) is not None:
                return cls(place, stem, document)
        return None

    @classmethod
    def at(cls, place: Place, stem: str) -> CopyRecord | None:
        """The record of whichever task has this stem; None if the file there is not a record of genbridge."""
        document = _record(place.read(f"{stem}.json"))
        if document is None:
            return None
        try:
            is_ours = stem in stems(document["data"], event_id=document["data"]["event_id"])
        except (ValueError, OverflowError, OSError):  # an impossible time
            return None
        return cls(place, stem, document) if is_ours else None

    @classmethod
    def claim(cls, place: Place, stems: Sequence[str], delivery: Delivery) -> CopyRecord:
        """The record of this delivery's task: the existing one, or else a new one at the first free stem."""
        if (record := cls.find(place, stems, delivery.event_id)) is not None:
            return record
        for stem in stems:
            content = delivery.body if place.create(f"{stem}.json", delivery.body) else place.read(f"{stem}.json")
            if (document := _ours(content, delivery.event_id)) is not None:  # created by another daemon for this task
                return cls(place, stem, document)
        raise PlaceFailed(f"{stems[-1]}.json belongs to another task")

    @property
    def copies(self) -> list[CopyMade]:
        """The recorded copies, in the order of the results."""
        return [self._copies[n] for n in sorted(self._copies)]

    def noted(self, n: int) -> CopyMade | None:
        """The record of one copy. The copy itself may be missing."""
        return self._copies.get(n)

    def has(self, n: int) -> bool:
        """Whether the copy exists."""
        copy = self._copies.get(n)
        return copy is not None and self._place.size(copy.path) == copy.bytes

    def existing(self) -> dict[str, CopyMade]:
        """The copies that exist, by `WantedCopy.mark`."""
        return {mark: one for mark, one in copies_by_mark(self._document["data"]).items() if self.has(one.n)}

    def keep(self, copy: CopyMade, source: Path) -> None:
        """Record a copy, then move its file to its name. If another file has that name, the copy gets a different
        name. It may have its name already: from another daemon that has lost its lease."""
        self._note(copy)
        if self._place.put(copy.path, source, media_type=copy.media_type):
            return
        folder, _, name = copy.path.rpartition("/")
        stem, _, extension = name.partition(f"-{copy.n}.")
        event_id = str(self._document["data"]["event_id"])
        other = f"{folder}/{stem}-{copy.n}-{mark(event_id)}.{extension}"
        copy = copy._replace(path=other)
        self._note(copy)
        if not self._place.put(other, source, media_type=copy.media_type):
            raise PlaceFailed(f"{other} is taken by another file")

    def _note(self, copy: CopyMade) -> None:
        self._copies[copy.n] = copy
        self._document["data"]["archive"] = [each._asdict() for each in self.copies]
        self._place.replace(f"{self.stem}.json", orjson.dumps(self._document, option=orjson.OPT_INDENT_2))


def copies_at(place: Place, view: WatchView, event_id: str) -> dict[str, CopyMade]:
    """The existing copies of a succeeded task, by `WantedCopy.mark`. Blocks. PlaceFailed while it cannot be read."""
    data = {**view._asdict(), "ended_at": round((view.ended_at or 0.0) * 1000)}
    record = CopyRecord.find(place, stems(data, event_id=event_id), event_id)
    return {} if record is None else record.existing()


def _ours(content: bytes | None, event_id: str) -> dict[str, Any] | None:
    """The record in these bytes if it belongs to the task with this event; otherwise None."""
    document = _record(content)
    return document if document is not None and document["data"]["event_id"] == event_id else None


def _record(content: bytes | None) -> dict[str, Any] | None:
    """The record in these bytes; None if they are something else."""
    try:
        document = orjson.loads(content or b"")
        data = document["data"]
        is_record = isinstance(data["archive"], list) and isinstance(data["event_id"], str)
        return document if is_record and isinstance(data.get("ended_at"), int | float | None) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
