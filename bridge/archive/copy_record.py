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
        """The record of this delivery's task: the one that is there, else a new one at the first free stem."""
        found = {stem: place.read(f"{stem}.json") for stem in stems}
        for stem, content in found.items():
            document = _document(content)
            if document is not None and document["data"].get("event_id") == delivery.event_id:
                return cls(place, stem, document)
        for stem in stems:
            if place.create(f"{stem}.json", delivery.body):
                made = _document(delivery.body)
                assert made is not None
                return cls(place, stem, made)
        raise PlaceFailed(f"{stems[-1]}.json belongs to another task")

    @property
    def copies(self) -> list[CopyMade]:
        """What is noted, in the order of the results."""
        return [self._copies[n] for n in sorted(self._copies)]

    def noted(self, n: int) -> CopyMade | None:
        """What is known of one copy, whether it is there or not."""
        return self._copies.get(n)

    def has(self, n: int) -> bool:
        """Whether the copy is there."""
        copy = self._copies.get(n)
        return copy is not None and self._place.size(copy.path) == copy.bytes

    def keep(self, copy: CopyMade, source: Path) -> None:
        """Note a copy, then move its file to its name. Where that is taken by something else, it gets another one."""
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


def _document(content: bytes | None) -> dict[str, Json] | None:
    """The record in these bytes; None if they are none."""
    try:
        document = orjson.loads(content or b"")
        return document if isinstance(document["data"]["archive"], list) else None
    except (ValueError, KeyError, TypeError):
        return None
