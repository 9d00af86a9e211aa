"""What a page may show of a task's results: each with its kind and picture, if the reader's browser may load it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from bridge.domain.origins import has_origin
from bridge.domain.result_facts import MadeResult, result_facts, wanted_first
from bridge.domain.task import Phase, Snapshot
from bridge.http.page.result_copies import ShownCopy, TaskResult, copies_of
from bridge.http.services import Services

COPIES_WITHIN_S: Final = 0.05  # how long to wait for the archive
SOON_S: Final = 600.0  # a result that will be gone within this time ...
SOON_SHARE: Final = 0.1  # ... or within this part of its lifetime is marked


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
    ELSEWHERE = "elsewhere"  # the host's name and a link, because its origin is not in `http.previews`
    GONE = "gone"  # the provider has deleted it
    EMBEDDED = "embedded"  # it was inside the answer, and only the archive may have it
    CLOSED = "closed"  # only the API key opens it


class ResultBox(NamedTuple):
    """One result. `kind` is that of its copy, if there is one. `gone_at`: when the provider deletes it; `is_soon`: that
    is near. `cover` is a picture that may be shown."""

    made: MadeResult
    kind: ResultKind
    state: ResultState = ResultState.ELSEWHERE
    cover: str = ""
    gone_at: float | None = None
    is_soon: bool = False
    copy: str = ""  # the link to a copy in the archive

    @property
    def url(self) -> str:
        return self.made.url

    @property
    def source(self) -> str:
        """What a browser loads."""
        return self.copy or self.made.url


class Thumbnail(NamedTuple):
    """What a row shows of a result: a picture that the browser may load, and the kind. Both may be empty."""

    picture: str = ""
    kind: str = ""


def result_boxes(
    snapshot: Snapshot | None, previews: Collection[str], *, began_at: float, now: float
) -> Sequence[ResultBox]:
    """Every result of a task, in the provider's order. `began_at`: when its results became available."""
    if snapshot is None:
        return ()
    gone_at = None if snapshot.expires_ms is None else snapshot.expires_ms / 1000
    every = result_facts(snapshot.result, snapshot.urls).every
    return [_box(made, previews, gone_at, began_at, now) for made in every]


async def results_of(
    services: Services, tasks: Sequence[TaskResult], *, now: float, within_s: float = COPIES_WITHIN_S
) -> list[Sequence[ResultBox]]:
    """The results of each task that succeeded, with links to those copies that are found within this time."""
    http = services.settings().settings.http
    copies = await copies_of(services, tasks, within_s=within_s)
    previews = http.previews if http else ()
    return [with_copies(_boxes(task, previews, now), copies.get(task.event_id, {})) for task in tasks]


def thumbnail(results: Sequence[ResultBox]) -> Thumbnail:
    """What a row shows of these results."""
    main = main_results(results)
    return Thumbnail(next((box.cover for box in main if box.cover), ""), str(main[0].kind)) if main else Thumbnail()


def with_copies(boxes: Sequence[ResultBox], copies: Mapping[str, ShownCopy]) -> Sequence[ResultBox]:
    """The results, with links to their copies. A copy can be shown even if the result is gone."""
    return [_with_copy(box, copies[box.made.mark]) if box.made.mark in copies else box for box in boxes]


def main_results(boxes: Sequence[ResultBox]) -> Sequence[ResultBox]:
    """The results, without renditions, of the kind that people most likely want; first those that can be shown."""
    main = [box for box in boxes if not box.made.is_rendition]
    kinds = {box.kind for box in main}
    kind = next((one for one in map(_KINDS.__getitem__, wanted_first(box.made for box in main)) if one in kinds), None)
    return sorted((box for box in main if box.kind is kind), key=lambda box: box.state is not ResultState.SHOWN)


def _boxes(task: TaskResult, previews: Collection[str], now: float) -> Sequence[ResultBox]:
    if task.view.phase is not Phase.SUCCEEDED:
        return ()
    began_at = task.view.added_at if task.view.ended_at is None else task.view.ended_at
    return result_boxes(task.snapshot, previews, began_at=began_at, now=now)


def _box(made: MadeResult, previews: Collection[str], gone_at: float | None, began_at: float, now: float) -> ResultBox:
    kind = _KINDS[made.kind]
    box = ResultBox(made, kind)
    if not made.url:
        state = ResultState.SHOWN if made.text else ResultState.EMBEDDED
        return box._replace(kind=ResultKind.TEXT if made.text else kind, state=state)
    if gone_at is not None:
        left_s = gone_at - now
        is_soon = left_s < max(SOON_S, SOON_SHARE * (gone_at - began_at))
        box = box._replace(gone_at=gone_at, is_soon=is_soon)
        if left_s <= 0:
            return box._replace(state=ResultState.GONE)
    if made.needs_key:
        return box._replace(state=ResultState.CLOSED)
    cover = next((one for one in made.pictures if has_origin(one, previews)), "")
    is_shown = kind in _PLAYED and has_origin(made.url, previews)
    return box._replace(cover=cover, state=ResultState.SHOWN if is_shown else ResultState.ELSEWHERE)


def _with_copy(box: ResultBox, copy: ShownCopy) -> ResultBox:
    box = box._replace(copy=copy.link, is_soon=False)
    kind = _KINDS.get(copy.media_type.partition("/")[0] + "s")
    if kind not in _PLAYED or copy.media_type == "image/svg+xml":
        return box
    return box._replace(kind=kind, state=ResultState.SHOWN, cover=copy.link if kind is ResultKind.IMAGE else box.cover)
