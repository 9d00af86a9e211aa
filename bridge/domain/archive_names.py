"""Which results of a task are copied, and the names of the copies in the archive."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bridge.domain.task import Json

COPIED_KINDS: Final = ("videos", "images", "audios", "files")
_COPIED_AS: Final = {**{kind: kind for kind in COPIED_KINDS}, "texts": "files"}  # a text at a URL, such as subtitles
MOST_NAME_BYTES: Final = 120  # maximum for a name; a file system allows 255
MARK_CHARS: Final = 8
MOST_ENDING: Final = "-abcdefgh-9999-abcdefgh.data.json"  # the longest text that may follow the readable part of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCopy:
    """One result to copy. `n` counts the results of a task from 1, over all kinds. Files that were inside the answer
    come last: they have no `url`, and `place` is their position among the results of their kind."""

    kind: str
    n: int
    url: str
    needs_key: bool = False
    place: int = 0
    media_type: str = ""  # this and the next two: only for a file inside the answer
    bytes: int = 0
    sha256: str = ""  # "" if the file could not be kept when the answer arrived

    @property
    def is_inside(self) -> bool:
        """Whether the result was inside the answer."""
        return not self.url

    @property
    def mark(self) -> str:
        return result_mark(self.url, self.sha256)


class CopyMade(NamedTuple):
    """One copy, as an item of `archive` in events, in its documented order. `path` is relative to the archive. `url` is
    null if no URL serves the copies."""

    kind: str
    n: int
    path: str
    url: str | None
    bytes: int
    sha256: str
    media_type: str

    @classmethod
    def parse(cls, item: Json) -> CopyMade | None:
        """The inverse of `_asdict`; None for any other value."""
        try:
            made = cls(**{name: item[name] for name in cls._fields if name in item})
            return made._replace(n=int(made.n), path=str(made.path), bytes=int(made.bytes))
        except (TypeError, ValueError):
            return None


def copies_in(data: Mapping[str, Json]) -> list[CopyMade]:
    """The copies in the `archive` of an event's data."""
    archive = data.get("archive")
    return list(filter(None, map(CopyMade.parse, archive if isinstance(archive, list | tuple) else ())))


def copies_by_mark(data: Mapping[str, Json]) -> dict[str, CopyMade]:
    """The copies in the `archive` of an event's data, by the mark of their result."""
    marks = {one.n: one.mark for one in wanted_copies(data, COPIED_KINDS)}
    return {marks[one.n]: one for one in copies_in(data) if marks.get(one.n)}


def wanted_copies(data: Mapping[str, Json], kinds: Collection[str]) -> Iterator[WantedCopy]:
    """The results of these kinds in an event's `data` that have a URL or were inside the answer."""
    found = list(_results(data.get("task_result")))
    numbered = [one for one in found if one.url] + [one for one in found if not one.url]
    yield from (replace(one, n=n) for n, one in enumerate(numbered, 1) if one.kind in kinds)


def _results(result: Json) -> Iterator[WantedCopy]:
    for kind, items in result.items() if isinstance(result, Mapping) else ():
        for place, item in enumerate(items if isinstance(items, list | tuple) else ()):
            if kind not in _COPIED_AS or not isinstance(item, Mapping):
                continue
            url = item.get("url")
            if isinstance(url, str) and url.startswith(("https://", "http://")):
                yield WantedCopy(kind=_COPIED_AS[kind], n=0, url=url, needs_key=item.get("needs_key") is True)
            elif kind in COPIED_KINDS and url is None and item.get("embedded") is True and "media_type" in item:
                yield WantedCopy(
                    kind=kind,
                    n=0,
                    url="",
                    place=place,
                    media_type=str(item["media_type"]),
                    bytes=item["bytes"] if isinstance(item.get("bytes"), int) else 0,
                    sha256=str(item.get("sha256") or ""),
                )


def result_mark(url: str, sha256: str) -> str:
    """Identifies a result within its task: by its URL, or else by the hash of its content; "" without either."""
    return url or (f"sha256:{sha256}" if sha256 else "")


def spool_name(account: str, task_id: str, kind: str, place: int) -> str:
    """The name of the temporary file that holds a result from inside an answer until it is copied."""
    digest = hashlib.sha256(f"{len(account)} {account}{task_id}".encode(errors="surrogatepass"))
    return f"inside-{base64.b32encode(digest.digest()[:15]).decode().lower()}-{kind}-{place}"


def stems(data: Mapping[str, Json], *, event_id: str) -> tuple[str, str]:
    """Two paths for a task's copies, without number and extension: a readable one, and a unique one for when the first
    is taken. Both are derived from the event, so they are the same in every attempt."""
    ended_at = datetime.fromtimestamp((data.get("ended_at") or 0) / 1000, UTC)
    readable = _safe(str(data.get("label") or data.get("task_id") or ""))
    folder = f"{ended_at:%Y/%m/%d}/{_safe(str(data.get('account') or ''))}"
    return f"{folder}/{readable}", f"{folder}/{readable}-{mark(event_id)}"


def mark(event_id: str) -> str:
    """A short text that is different for each task. It comes from the hash in the event's id, which covers account,
    task id and generation."""
    return event_id.removeprefix("evt_")[:MARK_CHARS]


def due_first(expires_ms: Json) -> float:
    """The `due_at` of a copy, between -1 and 0: due at once, ordered by the expiry of its URL."""
    if isinstance(expires_ms, bool) or not isinstance(expires_ms, int | float):
        return 0.0
    return min(0.0, max(-1.0, expires_ms / 1e13 - 1.0))  # 1e13 ms: the year 2286


def _safe(text: str) -> str:
    """Letters, digits, `-`, `_` and `.`; everything else becomes `_`."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(char if char.isalnum() or char in "-_." else "_" for char in text).lstrip(".-")
    room = MOST_NAME_BYTES - len(MOST_ENDING)
    return kept.encode("utf-8", "ignore")[:room].decode("utf-8", "ignore") or "task"
