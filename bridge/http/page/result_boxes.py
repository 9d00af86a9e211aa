"""What a page may show of a task's results: each with its kind, its picture, and whether the reader's browser may load
it from here."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bridge.domain.task import Json, Snapshot
from bridge.http.page.result_copies import ShownCopy
from bridge.providers.inline_files import EXTENSIONS

SOON_S: Final = 600.0  # a result that is gone within this time ...
SOON_SHARE: Final = 0.1  # ... or within this share of its life is marked
MOST_TEXT: Final = 20_000  # characters of one text
COVERS: Final = (
    "cover_url",
    "cover_image_url",
    "image_url",
    "image_large_url",
    "thumbnail_url",
    "poster_url",
    "coverUrl",
)
_PORTS: Final = {"http": 80, "https": 443}


class ResultKind(StrEnum):
    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"
    TEXT = "text"
    FILE = "file"


_KINDS: Final = {f"{kind}s": kind for kind in ResultKind}
_PLAYED: Final = frozenset({ResultKind.VIDEO, ResultKind.IMAGE, ResultKind.AUDIO})


class ResultState(StrEnum):
    """What a result box shows."""

    SHOWN = "shown"  # the file itself, or the text
    ELSEWHERE = "elsewhere"  # the host's name and a link: `http.previews` does not have its origin
    GONE = "gone"  # the provider has deleted it
    EMBEDDED = "embedded"  # it was inside the answer, and is not kept
    CLOSED = "closed"  # only the API key opens it


class ResultBox(NamedTuple):
    """One result. `gone_at`: when the provider deletes it; `is_soon`: that is near. `cover` is a picture that may be
    shown. `size` is known of files inside answers only."""

    kind: ResultKind
    state: ResultState
    url: str = ""
    cover: str = ""
    text: str = ""
    title: str = ""
    duration_s: float | None = None
    width: int = 0
    height: int = 0
    size: int = 0
    gone_at: float | None = None
    is_soon: bool = False
    copy: str = ""  # the link to a copy in the archive

    @property
    def source(self) -> str:
        """What a browser loads."""
        return self.copy or self.url


def result_boxes(
    snapshot: Snapshot | None, previews: Collection[str], *, began_at: float, now: float
) -> Sequence[ResultBox]:
    """Every result of a task, in the provider's order. `began_at`: when the life of its results began."""
    if snapshot is None:
        return ()
    gone_at = None if snapshot.expires_ms is None else snapshot.expires_ms / 1000
    named = [
        _box(_KINDS[kind], item, previews, gone_at, began_at, now)
        for kind, items in snapshot.result.items()
        if kind in _KINDS
        for item in items
    ]
    known = {box.url for box in named}
    return [
        *named,
        *(
            _box(kind_of_url(url), {"url": url}, previews, gone_at, began_at, now)
            for url in snapshot.urls
            if url not in known
        ),
    ]


def with_copies(boxes: Sequence[ResultBox], copies: Mapping[str, ShownCopy]) -> Sequence[ResultBox]:
    """The results, with the links to their copies. A copy can be shown whatever has become of the result."""
    return [_with_copy(box, copies[box.url]) if box.url in copies else box for box in boxes]


def is_allowed(url: str, previews: Collection[str]) -> bool:
    """Whether the page's policy lets a browser load it. Origins may begin with `*.`, as in the policy."""
    origin = _origin(url)
    if origin is None:
        return False
    scheme, host, port = origin
    for allowed in previews:
        wanted = _origin(allowed.replace("://*.", "://", 1))
        if wanted is not None and (scheme, port) == (wanted[0], wanted[2]):
            if host == wanted[1] if "://*." not in allowed else host.endswith("." + wanted[1]):
                return True
    return False


def kind_of_url(url: str) -> ResultKind:
    """What its file extension says."""
    path = PurePosixPath(url.partition("?")[0].partition("#")[0])
    return _KINDS[EXTENSIONS.get(path.suffix.lower(), "files")]


def _box(
    kind: ResultKind,
    item: Mapping[str, Json],
    previews: Collection[str],
    gone_at: float | None,
    began_at: float,
    now: float,
) -> ResultBox:
    url, text = _text(item.get("url")), _text(item.get("text"))
    box = ResultBox(
        kind=kind,
        state=ResultState.ELSEWHERE,
        url=url,
        text=text[:MOST_TEXT],
        title=_text(item.get("title"))[:200],
        duration_s=_number(item.get("duration")),
        width=int(_number(item.get("width")) or 0),
        height=int(_number(item.get("height")) or 0),
        size=int(_number(item.get("bytes")) or 0),
    )
    if not url:
        state = ResultState.SHOWN if text else ResultState.EMBEDDED
        return box._replace(kind=ResultKind.TEXT if text else kind, state=state)
    if gone_at is not None:
        left_s = gone_at - now
        is_soon = left_s < max(SOON_S, SOON_SHARE * (gone_at - began_at))
        box = box._replace(gone_at=gone_at, is_soon=is_soon)
        if left_s <= 0:
            return box._replace(state=ResultState.GONE)
    if item.get("needs_key"):
        return box._replace(state=ResultState.CLOSED)
    covers = [url] if kind is ResultKind.IMAGE else [_text(item.get(name)) for name in COVERS]
    cover = next((one for one in covers if one and is_allowed(one, previews)), "")
    is_shown = kind in _PLAYED and is_allowed(url, previews)
    return box._replace(cover=cover, state=ResultState.SHOWN if is_shown else ResultState.ELSEWHERE)


def _with_copy(box: ResultBox, copy: ShownCopy) -> ResultBox:
    box = box._replace(copy=copy.link, size=copy.bytes, is_soon=False)
    kind = _KINDS.get(copy.media_type.partition("/")[0] + "s")
    if kind not in _PLAYED or copy.media_type == "image/svg+xml":
        return box
    return box._replace(kind=kind, state=ResultState.SHOWN, cover=copy.link if kind is ResultKind.IMAGE else box.cover)


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            return None
        return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]
    except ValueError:
        return None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Json) -> float | None:
    """A number, or a text that is one: `"5.1"`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 < number < 1e12 else None
