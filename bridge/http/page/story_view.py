"""The page of one task: its result, who was notified, what happened, and when it was polled."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field

from bridge.config.load import Loaded
from bridge.control.explanation import ADDED
from bridge.control.lookup import find_keys
from bridge.control.store_now import StoreNow
from bridge.domain.event import Topic
from bridge.domain.ids import MAX_TASK_ID_CHARS, WatchKey, event_id
from bridge.errors import UnknownError, UsageError
from bridge.http.live.poll_record import last_polls
from bridge.http.page.result_boxes import ResultBox, main_results, results_of
from bridge.http.page.result_copies import TaskResult
from bridge.http.page.task_story import TaskStory, read_story
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.http.problem_details import HttpProblem
from bridge.wiring.archive_builder import RETRIES

COPIES_WITHIN_S: Final = 0.5  # how long to wait for the archive
MOST_LOOKED_FOR: Final = 4096  # maximum characters of `id`; a URL may be longer than an id


class StoryQuery(ViewQuery):
    """`id` may also be ACCOUNT/ID or the query URL of a task."""

    account: Annotated[str | None, Field(max_length=MAX_TASK_ID_CHARS)] = None
    id: Annotated[str, Field(max_length=MOST_LOOKED_FOR)] = ""


async def _load(call: ViewCall) -> Mapping[str, Any]:
    services, query = call.services, call.query
    loaded = services.settings()
    keys = await services.ask(_keys, query.id, query.account)
    if not keys:
        raise _not_kept(call, loaded)
    if len(keys) > 1:
        return {
            "story": None,
            "choices": await services.read(lambda store: [store.view(key) for key in keys]),
            "wanted_id": query.id,
        }
    try:
        story = await services.ask(read_story, keys[0])
    except UnknownError:  # it has just been deleted
        raise _not_kept(call, loaded) from None
    event = event_id(Topic.TASK_SUCCEEDED, story.view.account, story.view.task_id, story.generation)
    result = TaskResult(story.view, story.details.watch.snapshot, event)
    [results] = await results_of(services, [result], now=call.now, within_s=COPIES_WITHIN_S)
    return {"choices": (), "wanted_id": query.id, "results": _in_order(results), **_shown(story, call, loaded)}


def _in_order(results: Sequence[ResultBox]) -> Sequence[ResultBox]:
    """The results in order of importance: for example a song before its cover and its video."""
    first = main_results(results)
    return [*first, *(box for box in results if box not in first)]


def _shown(story: TaskStory, call: ViewCall, loaded: Loaded) -> Mapping[str, Any]:
    view, polls = story.view, last_polls(call.services.live.polls, story.details)
    account = loaded.settings.accounts.get(view.account)
    return {
        "story": story,
        "events": story.events,
        "polls": polls,
        "strip": story.strip(polls),
        "most_attempts": len(loaded.settings.delivery.retries_s) + 1,
        "most_copy_attempts": len(RETRIES.steps_s) + 1,
        "added": ADDED,
        "provider": account.provider if account is not None else view.account,
        "command": shlex.join(["genbridge", "explain", f"{view.account}/{view.task_id}"]),
    }


def _keys(at: StoreNow, text: str, account: str | None) -> Sequence[WatchKey]:
    """The tasks with this id: of several accounts, unless `account` selects one."""
    found = at.store.find(text, account)
    if found:
        return [watch.state.key for watch in found]
    try:
        return find_keys(at, [text], account)
    except (UnknownError, UsageError):
        return []


def _not_kept(call: ViewCall, loaded: Loaded) -> HttpProblem:
    words = call.words
    span = words.days(loaded.settings.retention.ended_s)
    return HttpProblem(
        HTTPStatus.NOT_FOUND, words.text("No task with this id is kept. Results are kept for {span}.", span=span)
    )


VIEW: Final = View(path="/task", template="story.html", name="tasks", load=_load, query=StoryQuery)
