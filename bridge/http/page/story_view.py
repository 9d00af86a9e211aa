"""The page of one task: its result, who was notified, what happened, and when it was polled."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field

from bridge.archive_builder import RETRIES
from bridge.config.load import Loaded
from bridge.control.lookup import find_keys
from bridge.control.poll_record import poll_strip
from bridge.domain.ids import MAX_TASK_ID_CHARS, WatchKey
from bridge.domain.task import LIVE
from bridge.domain.views import WatchView
from bridge.errors import UnknownError, UsageError
from bridge.http.page.result_boxes import with_copies
from bridge.http.page.result_copies import shown_copies
from bridge.http.page.task_story import TaskStory, read_story
from bridge.http.page.tasks_view import kept_for
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.http.problem_details import HttpProblem
from bridge.store import ReadStore

MOST_LOOKED_FOR: Final = 4096  # maximum characters of `id`; a URL may be longer than an id


class StoryQuery(ViewQuery):
    """`id` may also be ACCOUNT/ID or the query URL of a task."""

    account: Annotated[str | None, Field(max_length=MAX_TASK_ID_CHARS)] = None
    id: Annotated[str, Field(max_length=MOST_LOOKED_FOR)] = ""


async def _load(call: ViewCall) -> Mapping[str, Any]:
    services, query = call.services, call.query
    loaded = services.settings()
    keys = await services.read(_keys, loaded, query.id, query.account)
    if not keys:
        raise _not_kept(call, loaded)
    if len(keys) > 1:
        return {"story": None, "choices": await services.read(_views, keys), "wanted_id": query.id}
    try:
        story = await services.read(read_story, loaded, keys[0], now=call.now)
    except UnknownError:  # it has just been deleted
        raise _not_kept(call, loaded) from None
    copies = await shown_copies(services, loaded, story.details.watch)
    story = replace(story, results=with_copies(story.results, copies))
    return {"choices": (), "wanted_id": query.id, **_shown(story, call, loaded)}


def _shown(story: TaskStory, call: ViewCall, loaded: Loaded) -> Mapping[str, Any]:
    view, record = story.view, poll_strip(call.services.live.polls, story.details)
    return {
        "story": story,
        "view_of_task": view,
        "events": story.events,
        "polls": record,
        "strip": story.strip(record.at),
        "most_attempts": len(loaded.settings.delivery.retries_s) + 1,
        "most_copy_attempts": len(RETRIES.steps_s) + 1,
        "provider": _provider(loaded, view.account),
        "command": shlex.join(["genbridge", "explain", f"{view.account}/{view.task_id}"]),
        "is_live": view.phase in LIVE,
    }


def _keys(store: ReadStore, loaded: Loaded, text: str, account: str | None) -> Sequence[WatchKey]:
    """The tasks with this id: of several accounts, unless `account` selects one."""
    found = store.find(text, account)
    if found:
        return [watch.state.key for watch in found]
    try:
        return find_keys(store, loaded, [text], account)
    except (UnknownError, UsageError):
        return []


def _views(store: ReadStore, keys: Sequence[WatchKey]) -> list[WatchView]:
    return [store.view(key) for key in keys]


def _not_kept(call: ViewCall, loaded: Loaded) -> HttpProblem:
    words = call.words
    span = kept_for(words, loaded.settings.retention.ended_s)
    return HttpProblem(
        HTTPStatus.NOT_FOUND, words.text("No task with this id is kept. Results are kept for {span}.", span=span)
    )


def _provider(loaded: Loaded, account: str) -> str:
    """The provider of the account; the account itself if it is not in the settings."""
    known = loaded.settings.accounts.get(account)
    return known.provider if known is not None else account


VIEW: Final = View(path="/task", template="story.html", name="tasks", load=_load, query=StoryQuery)
