"""Forms for deliveries, endpoints and pauses: redeliver, send now, enable, send a sample, resume."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from pydantic import Field
from starlette.responses import Response

from bridge.control.delivery_list import Redelivery, enable, planned_redelivery, redeliver
from bridge.domain.delivery import Accepted
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import Topic
from bridge.domain.filters import DeliveryFilter
from bridge.domain.page_views import DeliveryGroup, DeliverySearch
from bridge.domain.pause import PauseOf
from bridge.errors import OutdatedError
from bridge.http.access import Right
from bridge.http.page.actions import Done, FormAction, NothingDone, answer_page
from bridge.http.page.view import View, ViewCall, ViewQuery, own_path
from bridge.http.page.wording import Wording
from bridge.http.problem_details import HttpProblem
from bridge.http.request_filters import delivery_filter
from bridge.store import ReadStore
from bridge.store.command_store import CommandStore

MOST_FOUND: Final = 1_000  # maximum number of deliveries that a text search may redeliver
MOST_OUTCOMES: Final = 5  # maximum number of outcomes in the notice about a sample


class OneDelivery(ViewQuery):
    """One delivery, as `STATE,EVENT,ENDPOINT,TARGET`; a target may contain commas. STATE is the state that the page
    showed: if it has changed, nothing is sent."""

    delivery: str = Field(pattern=f"^({'|'.join(DeliveryState)}),[^,]+,[^,]+,")

    def filter(self) -> DeliveryFilter:
        """A filter for this delivery in this state."""
        state, event_id, endpoint, target = self.delivery.split(",", 3)
        return DeliveryFilter(event_ids=(event_id,), endpoint=endpoint, target=target, states=(DeliveryState(state),))


class ManyDeliveries(ViewQuery):
    """The deliveries of a filter. `number`: the number that the reader has confirmed; None: not confirmed yet. `back`:
    the page that the reader came from."""

    state: DeliveryState = DeliveryState.DEAD
    endpoint: str | None = None
    topic: Topic | None = None
    since: str | None = None
    q: str | None = None
    number: int | None = None
    back: str = "/deliveries"


class OneEndpoint(ViewQuery):
    endpoint: str


class OnePause(ViewQuery):
    """An account or endpoint."""

    of: PauseOf
    name: str


async def redeliver_one(call: ViewCall) -> Done:
    """Send one delivery again; a waiting one is sent now."""
    form: OneDelivery = call.query
    services, words, wanted = call.services, call.words, form.filter()
    planned = await services.ask(planned_redelivery, wanted)
    try:
        number = await services.write(redeliver, services.settings(), wanted, expect=1)
    except OutdatedError:
        was = words.text(str(wanted.states[0]))
        raise NothingDone(words.text("This delivery is no longer {state}. Nothing is sent.", state=was)) from None
    return Done(text=_sent(words, number, planned.off))


async def redeliver_all(call: ViewCall) -> Done | Response:
    """Redeliver all deliveries of a filter if their number is the one that the reader confirmed; otherwise ask."""
    wanted, planned = await _planned(call)
    if call.query.number == planned.number:
        with suppress(OutdatedError):
            number = await call.services.write(redeliver, call.services.settings(), wanted, expect=planned.number)
            return Done(text=_sent(call.words, number, planned.off))
        wanted, planned = await _planned(call)
    values = _question(call, wanted, planned)
    return await answer_page(call, "redeliver.html", values, name="deliveries")


async def load_question(call: ViewCall) -> Mapping[str, Any]:
    """The question, as a view, so that Back and Refresh work. HttpProblem 409 if nothing matches."""
    form: ManyDeliveries = call.query.model_copy(update={"number": None})  # not confirmed yet
    asked = replace(call, query=form, back=own_path(form.back))
    try:
        return {"back": asked.back, **_question(asked, *await _planned(asked))}
    except NothingDone as reason:
        raise HttpProblem(HTTPStatus.CONFLICT, str(reason)) from None


async def enable_one(call: ViewCall) -> Done:
    """Enable an endpoint, or end its wait."""
    name, words = call.query.endpoint, call.words
    was_disabled, was_held = await call.services.write(enable, call.services.settings(), name, now=call.now)
    if was_disabled:
        return Done(text=words.text("{endpoint} is enabled. Its waiting deliveries are sent now.", endpoint=name))
    if was_held:
        return Done(text=words.text("{endpoint} no longer waits. Its deliveries are sent now.", endpoint=name))
    raise NothingDone(words.text("{endpoint} is not disabled.", endpoint=name))


async def test(call: ViewCall) -> Done:
    """Send the sample to each target of an endpoint."""
    name, words = call.query.endpoint, call.words
    outcomes = [outcome for _, outcome in await call.services.send_sample(name)]
    failed = [outcome.reason for outcome in outcomes if not isinstance(outcome, Accepted)]
    if failed:
        said = "; ".join(dict.fromkeys(map(words.reason, failed[:MOST_OUTCOMES])))
        return Done(
            text=words.text("{endpoint} did not accept the sample: {answer}", endpoint=name, answer=said), is_good=False
        )
    said = "; ".join(dict.fromkeys(one.summary for one in outcomes[:MOST_OUTCOMES] if isinstance(one, Accepted)))
    return Done(text=words.text("{endpoint} accepted the sample: {answer}", endpoint=name, answer=said))


async def resume_one(call: ViewCall) -> Done:
    """End the pause of an account or endpoint."""
    form: OnePause = call.query
    words, name = call.words, form.name
    if not await call.services.write(CommandStore.resume, form.of, name, now=call.now):
        raise NothingDone(words.text("{name} is not paused.", name=name))
    if form.of is PauseOf.ACCOUNT:
        return Done(text=words.text("{name} is polled again.", name=name))
    return Done(text=words.text("Deliveries to {name} are sent again.", name=name))


async def _planned(call: ViewCall) -> tuple[DeliveryFilter, Redelivery]:
    wanted = await _wanted(call)
    return wanted, await call.services.ask(planned_redelivery, wanted)


async def _wanted(call: ViewCall) -> DeliveryFilter:
    """The deliveries that the form's filter shows. A text matches tasks and event ids."""
    form: ManyDeliveries = call.query
    wanted = delivery_filter(form, now=call.now)
    if form.q is None:
        return wanted
    is_waiting = form.state is DeliveryState.WAITING
    search = DeliverySearch(
        groups=(DeliveryGroup.OFF, DeliveryGroup.WAITING) if is_waiting else (DeliveryGroup(str(form.state)),),
        endpoint=wanted.endpoint,
        topic=wanted.topic,
        since=wanted.since,
        text=form.q,
    )
    found = await call.services.read(ReadStore.delivery_page, search, limit=MOST_FOUND, now=call.now)
    if found.next_after is not None:
        raise NothingDone(
            call.words.text(
                "More than {n} deliveries match this text. Search for something more specific.", n=MOST_FOUND
            )
        )
    if not found.views:
        raise NothingDone(call.words.text("No delivery matches any more. Nothing is sent."))
    return wanted._replace(event_ids=tuple(dict.fromkeys(view.event_id for _, view in found.views)))


def _question(call: ViewCall, wanted: DeliveryFilter, planned: Redelivery) -> Mapping[str, Any]:
    """The values of the page that asks. It contains an absolute time for `since`, because an age would change."""
    form, words = call.query, call.words
    if not planned.number:
        raise NothingDone(words.text("No delivery matches any more. Nothing is sent."))
    return {
        "planned": planned,
        "was": form.number,
        "state": words.text(str(form.state)),
        "fields": {
            "state": form.state,
            "endpoint": form.endpoint,
            "topic": form.topic,
            "q": form.q,
            "since": None if wanted.since is None else words.iso(wanted.since),
            "number": planned.number,
        },
    }


def _sent(words: Wording, number: int, off: Collection[str]) -> str:
    text = words.counted(number, "{n} delivery is sent again.", "{n} deliveries are sent again.")
    if off:
        endpoints = words.text(", ").join(sorted(off))
        text += words.text(" ") + words.text(
            "{endpoints}: sent when it is enabled, resumed or in the settings again.", endpoints=endpoints
        )
    return text


VIEW: Final = View(
    path="/redeliver",
    template="redeliver.html",
    name="deliveries",
    load=load_question,
    query=ManyDeliveries,
    right=Right.FULL,
)

ACTIONS: Final = (
    FormAction(name="redeliver", form=OneDelivery, button="Redeliver", run=redeliver_one),
    FormAction(name="send", form=OneDelivery, button="Send now", run=redeliver_one),
    FormAction(name="redeliver-all", form=ManyDeliveries, button="Redeliver", run=redeliver_all),
    FormAction(name="enable", form=OneEndpoint, button="Enable", run=enable_one),
    FormAction(name="test", form=OneEndpoint, button="Test", run=test),
    FormAction(name="resume", form=OnePause, button="Resume", run=resume_one),
)
