"""What a receiver's answer says besides its status: refusals with HTTP 200, and the wait that it asks for.

Webhooks, robots and Apprise's plugins share these readers; Apprise itself checks only the status.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from bridge.domain.task import Json
from bridge.domain.web_pages import described
from bridge.expressions.answer_budget import ExpressionLimit
from bridge.expressions.query import ExpressionError, Query
from bridge.net.client import Answer

SHORT_WAIT_S: Final = 10.0  # after a rate limit without a time in the answer

_EXCERPT_BYTES: Final = 800
_CODES: Final = ("code", "errcode", "error_code", "StatusCode", "errno")
_TEXTS: Final = (
    *("message", "msg", "errmsg", "description", "StatusMessage"),
    *("error_description", "detail", "error", "errors", "info", "reason"),
)
_WEB_PAGE: Final = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_ADVICE: Final = (  # for robots, by words that several services use
    (("sign", "timestamp"), "check secret and the clock of this machine"),
    (("keyword", "key words"), "put one of the robot's keywords into title"),
    (("ip not allowed", "whitelist"), "add this machine's address to the robot's allow list"),
    (("token", "webhook", "unauthorized"), "check url; the robot may have been removed"),
    (("chat not found",), "check chat_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer says about the message.

    `refusal`: why the receiver refused it, in the receiver's words. `doubt`: why the answer could not be checked, so
    that only the status counts. `wait_s`: for how long the receiver wants no more requests. `moved_to`: the new id of
    the chat. `media_id`: the id of an uploaded file.
    """

    refusal: str = ""
    doubt: str = ""
    wait_s: float | None = None
    moved_to: str = ""
    media_id: str = ""


ACCEPTED: Final = Verdict()
AnswerReader = Callable[[Answer], Verdict]


def read_nothing(answer: Answer) -> Verdict:
    """The reader for receivers that answer only with a status."""
    return ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReader:
    """The reader for services whose JSON answers contain a code.

    The code is the first of the keys `codes` that the answer has; the codes in `good` mean success. The message is
    under the first of the keys `texts`. `waits` are the seconds to wait after certain codes.
    """

    codes: tuple[str, ...]
    texts: tuple[str, ...]
    good: frozenset[float] = frozenset({0})
    waits: Mapping[float, float] = field(default_factory=dict)

    def __call__(self, answer: Answer) -> Verdict:
        found, doubt = object_of(answer)
        if doubt:
            return Verdict(doubt=doubt)
        code, text = _first(number, found, self.codes), _first(text_in, found, self.texts) or ""
        if code in self.good:
            return ACCEPTED
        wait_s = self.waits.get(code) if code is not None else number(found.get("wait"))
        if wait_s is None and "too many request" in text.lower():
            wait_s = SHORT_WAIT_S  # Feishu mentions this in the answer to every bad request
        return Verdict(refusal=refusal(code, text, answer), wait_s=wait_s)


class AcceptRule:
    """The reader for the setting `accept`: an expression that gives `false` or `null` if a JSON answer is a refusal.

    What the reader `service` finds in the answer, such as waits, still counts. ValueError if the expression is not
    JMESPath.
    """

    def __init__(self, expression: str, *, where: str, service: AnswerReader = read_nothing) -> None:
        self._query = Query(expression, where=where)
        self._service = service

    def __call__(self, answer: Answer) -> Verdict:
        found, doubt = json_of(answer)
        if doubt:
            return Verdict(doubt=doubt)
        try:
            result = self._query.search(found)
        except (ExpressionError, ExpressionLimit) as error:
            return Verdict(doubt=f"accept cannot be applied to the response: {error}")
        refused = words_of(answer) if result is None or result is False else ""
        return replace(self._service(answer), refusal=refused, doubt="")


def json_of(answer: Answer) -> tuple[Json, str]:
    """The JSON of the body and ""; or None and the reason why it could not be read."""
    if answer.is_over_cap:
        return None, "the response is over 64 KiB"
    if not answer.complete:
        return None, f"the response is incomplete ({answer.trouble})"
    try:
        return orjson.loads(answer.body.removeprefix(codecs.BOM_UTF8)), ""
    except orjson.JSONDecodeError:
        return None, "the response is not JSON"


def object_of(answer: Answer) -> tuple[Mapping[str, Any], str]:
    """Like `json_of`, but with an empty object for any JSON value that is not an object."""
    found, doubt = json_of(answer)
    return (found if isinstance(found, Mapping) else {}), doubt


def retry_after_in(found: Json) -> float | None:
    """The seconds to wait in the JSON of an answer, as Discord and (under `parameters`) Telegram write them."""
    given = found.get("parameters") if isinstance(found, Mapping) else None
    waits = [number(holder.get("retry_after")) for holder in (found, given) if isinstance(holder, Mapping)]
    return next((wait_s for wait_s in waits if wait_s is not None and wait_s >= 0), None)


def words_of(answer: Answer) -> str:
    """The receiver's own message: its code and text if it has any, or else an excerpt of the body."""
    found, _ = object_of(answer)
    text = _first(text_in, found, _TEXTS)
    return _with_code(_first(number, found, _CODES), text, answer) if text else _excerpt(answer)


def refusal(code: float | None, text: str | None, answer: Answer) -> str:
    """`code 19021: sign match fail; check secret and the clock of this machine`."""
    said = words_of(answer) if code is None and not text else _with_code(code, text or _excerpt(answer), answer)
    advice = next((what for signs, what in _ADVICE if any(sign in (text or "").lower() for sign in signs)), "")
    return f"{said}; {advice}" if advice else said


def number(value: object) -> float | None:
    """A number, also if it is written as text."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", value):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text_in(value: object) -> str | None:
    """A message: a text, the `message` of an object, or the first message of a list. None for anything else, and for an
    empty text."""
    if isinstance(value, Mapping):
        return text_in(value.get("message"))
    if isinstance(value, list):
        return text_in(value[0]) if value else None
    return value if isinstance(value, str) and value else None


def _first(read: Callable[[object], Any], found: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value for key in keys if (value := read(found.get(key))) is not None), None)


def _excerpt(answer: Answer) -> str:
    """The beginning of the body; for a web page its title, or "" if that only repeats the status."""
    if _WEB_PAGE.match(answer.body):
        return described(answer.body, answer.status)
    return answer.body[:_EXCERPT_BYTES].decode(errors="replace")


def _with_code(code: float | None, text: str, answer: Answer) -> str:
    if code is None or code == answer.status:  # the reason begins with the status
        return text
    return f"code {code:g}: {text}" if code < 1e6 else f"code {code:.0f}: {text}"
