"""The JSON file beside the copies of a task: it claims their names, and says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from bridge.archive.place import Place, PlaceFailed
from bridge.domain.archive_names import CopyMade, mark
from bridge.domain.delivery import Delivery
from bridge.domain.task import Json


class CopyRecord:
    """`STEM.json`: the event's topic and data, with `archive`. Every call blocks, and raises PlaceFailed.

    It is created only if there is none, so of two tasks with the same label only one gets the readable names. A copy is
    noted in it before it appears, so that after a crash it is known whose a file is, and what it must be.
    """

    def __init__(self, place: Place, stem: str, document: dict[str, Json]) -> None:
        self.stem = stem
        self._place = place
        self._document = document
        found = (CopyMade.parse(item) for item in document["data"]["archive"])
        self._copies = {copy.n: copy for copy in found if copy is not None}

    @classmethod
    def claim(cls, place: Place, stems: Sequence[str], delivery: Delivery) -> CopyRecord:
        """The record of this delivery's task: the existing one, else a new one at the first free stem."""
        for stem in stems:
            if (document := _ours(place.read(f"{stem}.json"), delivery)) is not None:
                return cls(place, stem, document)
        for stem in stems:
            content = delivery.body if place.create(f"{stem}.json", delivery.body) else place.read(f"{stem}.json")
            if (document := _ours(content, delivery)) is not None:  # if it is there now: of another daemon, for us
                return cls(place, stem, document)
        raise PlaceFailed(f"{stems[-1]}.json belongs to another task")

    @property
    def copies(self) -> list[CopyMade]:
        """What is noted, in the order of the results."""
        return [self._copies[n] for n in sorted(self._copies)]

    def noted(self, n: int) -> CopyMade | None:
        """What the record says about one copy. The copy itself may be missing."""
        return self._copies.get(n)

    def has(self, n: int) -> bool:
        """Whether the copy is there."""
        copy = self._copies.get(n)
        return copy is not None and self._place.size(copy.path) == copy.bytes

    def keep(self, copy: CopyMade, source: Path) -> None:
        """Note a copy, then move its file to its name. If another file has that name, the copy gets a different
        name."""
        self._note(copy)
        if self._place.put(copy.path, source, media_type=copy.media_type):
            return
        if self._place.size(copy.path) == copy.bytes:
            return  # another daemon, which has lost its lease meanwhile, has put it there
        folder, _, name = copy.path.rpartition("/")
        stem, _, extension = name.partition(f"-{copy.n}.")
        event_id = str(self._document["data"]["event_id"])
        other = f"{folder}/{stem}-{copy.n}-{mark(event_id)}.{extension}"
        copy = replace(copy, path=other)
        self._note(copy)
        if not self._place.put(other, source, media_type=copy.media_type) and self._place.size(other) != copy.bytes:
            raise PlaceFailed(f"{other} is taken by another file")

    def _note(self, copy: CopyMade) -> None:
        self._copies[copy.n] = copy
        self._document["data"]["archive"] = [each.json for each in self.copies]
        self._place.replace(f"{self.stem}.json", orjson.dumps(self._document, option=orjson.OPT_INDENT_2))


def _ours(content: bytes | None, delivery: Delivery) -> dict[str, Json] | None:
    """The record in these bytes, if it is that of this delivery's task; else None."""
    try:
        document = orjson.loads(content or b"")
        is_record = isinstance(document["data"]["archive"], list)
        return document if is_record and document["data"]["event_id"] == delivery.event_id else None
    except (ValueError, KeyError, TypeError):
        return None
