"""The outcome of an Apprise attempt, from the requests, answers and log of its plugin.

Most plugins check only the status of an answer. Some services refuse a message with HTTP 200.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from bridge.domain.delivery import Accepted, Deferred, Outcome
from bridge.net.client import Answer
from bridge.sinks.answers import ACCEPTED, AnswerReader, Verdict, object_of, words_of
from bridge.sinks.chat_services import service_of
from bridge.sinks.judging import judge
from bridge.sinks.requests_hook import Exchange, Recording

# The operator's own programs answer, so any answer can mean success.
_PROGRAMS: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})

# Without HTTP (mail, MQTT, XMPP) only the log is known, and it does not show whether the message was sent. So wait, to
# avoid sending it twice.
_UNANSWERED: Final = re.compile(r"time[d-]?[ -]?out|connection unexpectedly closed", re.IGNORECASE)


def judged(is_sent: bool, recorded: Recording, schemes: Collection[str]) -> Accepted | Deferred:
    """The outcome of a message that the plugin of these schemes reports as sent, or as failed."""
    if not is_sent:
        return failed(recorded.exchanges, schemes, recorded.log)
    outcomes = list(_outcomes(recorded.exchanges, schemes))
    refused = next((outcome for outcome in outcomes if isinstance(outcome, Deferred)), None)
    doubts = [outcome.doubt for outcome in outcomes if isinstance(outcome, Accepted)]
    return refused or Accepted(detail="", doubt=next(filter(None, doubts), ""))


def failed(exchanges: Sequence[Exchange], schemes: Collection[str], log: Sequence[str]) -> Deferred:
    """The outcome of a message that the plugin reports as failed, with an empty reason."""
    waits = [each.requested_wait_s for each in exchanges]
    waits += [each.retry_after_s for each in _outcomes(exchanges, schemes) if isinstance(each, Deferred)]
    known = [wait_s for wait_s in waits if wait_s is not None]
    if exchanges:
        is_unanswered = any(each.is_unanswered for each in exchanges)
    else:
        is_unanswered = any(_UNANSWERED.search(line) for line in log)
    return Deferred(
        reason="", retry_after_s=max(known, default=None), holds_queue=bool(known), is_unanswered=is_unanswered
    )


def problems(exchanges: Sequence[Exchange]) -> list[str]:
    """Details that plugins often leave out: status and text of answers other than 2xx, and failures of the proxy."""
    found = [each.proxy_problem for each in exchanges if each.proxy_problem]
    for each in exchanges:
        if each.answer is not None and not each.is_good:
            outcome = judge(each.answer, asked=each.url)
            found += [] if isinstance(outcome, Accepted) else [outcome.reason]
    return found


def _outcomes(exchanges: Sequence[Exchange], schemes: Collection[str]) -> Iterator[Outcome]:
    """What the 2xx answers to messages mean."""
    for each in exchanges:
        read = _reader(each.host, schemes)
        if read is not None and each.answer is not None and each.is_good and each.method != "GET":
            yield judge(each.answer, read(each.answer), asked=each.url)


def _reader(host: str, schemes: Collection[str]) -> AnswerReader | None:
    service = service_of(host, schemes)
    if service is not None:
        return service.read
    return None if _PROGRAMS.intersection(schemes) else _read_plain_refusal


def _read_plain_refusal(answer: Answer) -> Verdict:
    """The reader for all other services: only a clear refusal counts."""
    found, _ = object_of(answer)
    is_no = found.get("ok") is False or found.get("success") is False or found.get("errcode", 0) not in (0, "0", None)
    return Verdict(refusal=words_of(answer)) if is_no else ACCEPTED
