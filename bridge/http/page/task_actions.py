"""Forms for tasks: poll now, watch again, withdraw, add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from bridge.control import watch_requests
from bridge.control.watch_requests import WrongTask
from bridge.domain.ids import WatchKey
from bridge.domain.quoting import printable
from bridge.domain.views import RequestResult
from bridge.http.page.actions import Done, FormAction, NothingDone, answer_page
from bridge.http.page.view import View, ViewCall, ViewQuery
from bridge.http.page.wording import Wording
from bridge.http.problem_details import HttpProblem
from bridge.http.task_bodies import WrongTasks, add_tasks
from bridge.ports import Added
from bridge.store import ReadStore
from bridge.wiring.task_reading import task_reader

MAX_ADD_BYTES: Final = 1 << 20
MOST_MISTAKES: Final = 50  # maximum number of mistakes that the page shows


class OneTask(ViewQuery):
    account: str
    id: str

    @property
    def key(self) -> WatchKey:
        return WatchKey(self.account, self.id)


class NewTasks(ViewQuery):
    """Tasks in any syntax that `genbridge add -` reads. `again`: watch finished ones again."""

    tasks: str = ""
    account: str | None = None
    action: str | None = None
    again: bool = False


class AddFormQuery(ViewQuery):
    """`account`: the one that is selected at first."""

    account: str = ""


async def poll(call: ViewCall) -> Done:
    """Poll a task now."""
    accounts = call.services.settings().settings.accounts
    await _touch(call, partial(watch_requests.poll_now, accounts=accounts))
    if call.query.account not in accounts:
        text = call.words.text("{task} is polled once its account is in the settings again.", task=_name(call))
        return Done(text=text, is_good=False)
    return Done(text=call.words.text("{task} is polled as soon as its account allows.", task=_name(call)))


async def withdraw(call: ViewCall) -> Done:
    """Stop watching a task, without an event."""
    await _touch(call, watch_requests.withdraw)
    return Done(
        text=call.words.text("{task} is no longer watched. The task at the provider continues.", task=_name(call))
    )


async def watch_again(call: ViewCall) -> Done:
    """Watch a finished or withdrawn task once more."""
    services = call.services
    view = await services.read(ReadStore.view, call.query.key)
    wish = watch_requests.wish_again(task_reader(services.settings()), view)
    [added] = await services.add([wish], again=True)
    if added.what == "known":
        raise NothingDone(call.words.text("{task} is already watched.", task=_name(call)))
    return Done(text=call.words.text("{task} is watched again.", task=_name(call)))


async def add(call: ViewCall) -> Done | Response:
    """Watch tasks: all of them, or none if one is invalid. Then the form shows what is wrong."""
    form: NewTasks = call.query
    data = form.tasks.replace("\r\n", "\n").encode("utf-8", "replace")
    shared = {"account": form.account, "action": form.action}
    try:
        commits = add_tasks(call.services, data, is_json=False, shared=shared, again=form.again)
        added = [one async for some in commits for one in some]
    except HttpProblem as problem:
        if problem.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        wrong = problem.wrong if isinstance(problem, WrongTasks) else [WrongTask(0, str(problem))]
        values = add_values(call, form, wrong)
        return await answer_page(call, "add.html", values, name="tasks", status=problem.status)
    return Done(text=_added(call.words, added), is_good=any(one.what in watch_requests.NEEDS_DAEMON for one in added))


def add_values(call: ViewCall, form: NewTasks, wrong: Sequence[WrongTask] = ()) -> Mapping[str, Any]:
    """The values of the form for adding tasks, with every mistake. If only a field is missing, the form asks for it."""
    accounts = list(call.services.settings().settings.accounts)
    lacks = [key for key in ("account", "action") if any(one.lacks == key for one in wrong)]
    can_choose = len(accounts) > 1 and not form.account
    asks = all(one.lacks for one in wrong) and ("account" not in lacks or can_choose)
    shown = () if asks else wrong
    return {
        "accounts": accounts,
        "form": form,
        "wrong": shown[:MOST_MISTAKES],
        "more": max(0, len(shown) - MOST_MISTAKES),
        "lacks": lacks,
        "lacking": len(wrong),
    }


async def _load(call: ViewCall) -> Mapping[str, Any]:
    return {"back": "/tasks", **add_values(call, NewTasks(account=call.query.account or None))}


async def _touch(call: ViewCall, request: Callable[..., Sequence[tuple[RequestResult, Any]]]) -> None:
    [(touched, _)] = await call.services.write(request, [call.query.key], now=call.now)
    if not touched.done:
        raise NothingDone(call.words.text("{task} has finished or is no longer watched.", task=_name(call)))


def _name(call: ViewCall) -> str:
    return f"{call.query.account}/{printable(call.query.id)}"


def _added(words: Wording, added: list[Added]) -> str:
    """One sentence for each result."""
    found = Counter(one.what for one in added)
    watched, known, ended = found["added"] + found["revived"] + found["again"], found["known"], found["ended"]
    said = [
        (watched, words.counted(watched, "{n} task is watched now.", "{n} tasks are watched now.")),
        (known, words.counted(known, "{n} was watched already.", "{n} were watched already.")),
        (ended, words.counted(ended, "{n} had already finished.", "{n} had already finished.")),
    ]
    return " ".join(text for number, text in said if number)


VIEW: Final = View(path="/add", template="add.html", name="tasks", load=_load, query=AddFormQuery)

ACTIONS: Final = (
    FormAction(name="poll", form=OneTask, button="Poll now", run=poll),
    FormAction(name="withdraw", form=OneTask, button="Withdraw", run=withdraw),
    FormAction(name="again", form=OneTask, button="Watch again", run=watch_again),
    FormAction(name="add", form=NewTasks, button="Add", run=add, max_bytes=MAX_ADD_BYTES),
)
