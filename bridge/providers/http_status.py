"""The meaning of an HTTP status for a poll if the body does not say more. Nothing here is specific to a vendor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from bridge.domain.backoff import parse_retry_after
from bridge.domain.task import Json, Reading, ReadingKind
from bridge.domain.web_pages import described
from bridge.expressions.json_text import parse_json
from bridge.expressions.pattern import Pattern
from bridge.net.client import Answer
from bridge.providers.aggregators import account_trouble, are_too_many
from bridge.providers.json_values import one_line


class Shape(Enum):
    """The type of a body. Proxies and aggregators answer with web pages or text; JSON comes from the provider."""

    JSON = "JSON"
    EMPTY = "the answer is empty"
    TEXT = "the answer is not JSON"
    PAGE = "a web page"


_ABOUT_ACCOUNT: Final = frozenset({402, 403})
_ABOUT_ID: Final = frozenset({404, 410})
_ABOUT_REQUEST: Final = frozenset({400, 406, 415, 422})
_BY_STATUS: Final = {
    401: ReadingKind.AUTH_ERROR,
    409: ReadingKind.PENDING,
    425: ReadingKind.PENDING,
    429: ReadingKind.RATE_LIMITED,
}

_UNSURE: Final = frozenset({ReadingKind.AMBIGUOUS, ReadingKind.TRANSIENT, ReadingKind.BAD_REQUEST})

# How servers and aggregators say that an address does not exist. These texts do not mention a task.
_BARE: Final = frozenset({"not found", "404 not found", "http 404: not found", "404: not found"})
_FASTAPI: Final = {"detail": "Not Found"}  # FastAPI's router; a handler that raises a plain 404 sends the same text
_SPRING: Final = frozenset({"status", "error", "path"})  # Spring's error page; a handler can send the same
_ROUTE: Final = re.compile(
    r"invalid url|unrecogni[sz]ed (request )?(url|path)"
    r"|(unknown|unsupported|invalid|no such) (url|path|route|endpoint|api)"
    r"|cannot (get|post)\b|no (route|handler|static resource)\b|method (not allowed|not found)"
    r"|\b(url|path|route|endpoint|api|page|handler)\b[^.;]{0,60}"
    r"(not found|not be found|not exist|not match|not supported|not available)"
    r"|(路由|接口|路径|地址|页面).{0,20}(不存在|未找到|找不到|无效)|无效的(URL|地址|路径|接口)",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"https?://\S+|/[^\s\"'),;]*")
_TASK: Final = re.compile(
    r"\b(task|job|prediction|generation|video|image|operation|request|id)s?\b|任务", re.IGNORECASE
)
_UNKNOWN: Final = re.compile(r"not (be )?found|not exist|unknown|no such|不存在|未找到|找不到", re.IGNORECASE)
MOST_TEXT_CHARS: Final = 1000
MOST_TEXTS: Final = 30
MOST_PAGE_CHARS: Final = 200
_TEXTS: Final = ("message", "msg", "detail", "error", "title", "description", "reason")
_CODES: Final = ("code", "type")


PARTIAL: Final = 206
_RANGE: Final = re.compile(r"\s*bytes[\s=]+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE | re.ASCII)


def part_of(answer: Answer) -> str | None:
    """Why an answer is incomplete or not from the provider; None if neither.

    Polls request no range and follow no redirect, so an answer with either says nothing about the task.
    """
    stated = answer.headers.get("content-range")
    if answer.status == 200 and stated is None:  # by far the most frequent case
        return None
    if 300 <= answer.status < 400:
        return _text_of(answer, Shape.TEXT)
    if answer.status == PARTIAL:
        return "only a part of the answer, although the whole was requested"
    found = _RANGE.fullmatch(stated) if stated else None
    if found is None or not 200 <= answer.status < 300:
        return None  # other units count the items of a list, which is complete
    is_whole = found[1] == "0" and found[3] in {"*", str(int(found[2]) + 1)}
    return None if is_whole else f"only a part of the answer (Content-Range: {one_line(found[0], 60)})"


def by_status(answer: Answer, shape: Shape, *, said: str = "") -> Reading:
    """The reading of an answer according to its HTTP status. `said` is the text of the body, for people."""
    kind, is_vague = _kind(answer.status, shape), False
    if answer.status == 405:
        kind = ReadingKind.NO_ROUTE
    elif answer.status == 404:
        kind, is_vague = _missing(answer.body, shape)
    reading = read_as(kind, answer, said=said or _text_of(answer, shape))._replace(is_vague=is_vague)
    is_page = shape is Shape.PAGE and 200 <= answer.status < 300
    return reading._replace(unread="web_page") if is_page else reading


def refined(reading: Reading, body: Json, said: str) -> Reading:
    """The reading, or a better one if text or codes of the answer name a problem: the account (no credit, a used-up
    plan, a wrong key), too many requests, or an unknown task. Vendors do so with almost any status. `said` is the text
    of the body, for people."""
    if reading.kind in {ReadingKind.PENDING, ReadingKind.NO_ROUTE} or reading.server_trouble:
        return reading
    texts = [said, *_texts(body, depth=3, keys=(*_TEXTS, *_CODES))]
    kind = account_trouble(texts)
    if kind is None and reading.kind in _UNSURE:
        unknown = ReadingKind.NOT_FOUND if any(map(_no_such_task().is_in, texts)) else None
        kind = ReadingKind.RATE_LIMITED if are_too_many(texts) else unknown
    return reading if kind is None else reading._replace(kind=kind, retry_after_s=None, is_vague=False, unread="")


@cache
def _no_such_task() -> Pattern:
    """How servers say that they do not know the task, with another status than 404. For RE2: `re` would take 20 s for
    some texts of a thousand characters."""
    return Pattern(
        r"(?i)\b(task|job|prediction|operation|generation|record|video)s?[\s_-]*(with[\s_-]*)?(id)?[\s_:'\"#(-]*"
        r"(\S{0,80}\d\S{0,80})?[\s_)'\"]*((is|was|were|does|do|did|could|can)[\s_]*)?"
        r"(n[o']t|no[\s_]longer)[\s_]*(be[\s_]*)?(found|exists?)"
        r"|\b(no such|unknown|(failed|unable) to find|(could|can) ?not find)( the| a| this)? (task|job)\b"
        r"|任务.{0,20}(不存在|未找到|找不到)|(不存在|未找到|找不到|查无).{0,10}任务",
        longest=2 * MOST_TEXT_CHARS,  # `said` has up to twice as many
    )


def shape_of(body: bytes) -> Shape:
    """The type of a body that is not JSON."""
    text = body.strip()
    return Shape.EMPTY if not text else Shape.PAGE if text.startswith(b"<") else Shape.TEXT


def read_as(kind: ReadingKind, answer: Answer, *, said: str) -> Reading:
    """A reading of this kind, with the facts from the status line and the headers."""
    wait = answer.headers.get("retry-after") if kind in {ReadingKind.RATE_LIMITED, ReadingKind.TRANSIENT} else None
    return Reading(
        kind=kind,
        detail=f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}",
        retry_after_s=parse_retry_after(wait, date=answer.headers.get("date")),
        server_trouble=answer.status >= 500,
        unread="unknown_route" if kind is ReadingKind.NO_ROUTE else "redirect" if 300 <= answer.status < 400 else "",
    )


def _kind(status: int, shape: Shape) -> ReadingKind:
    from_provider = shape is Shape.JSON
    if 200 <= status < 300:
        return ReadingKind.AMBIGUOUS if from_provider else ReadingKind.TRANSIENT
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in _ABOUT_ACCOUNT and shape in {Shape.JSON, Shape.EMPTY}:
        return ReadingKind.ACCOUNT_ERROR
    if status in _ABOUT_ID and from_provider:
        return ReadingKind.NOT_FOUND
    if status in _ABOUT_REQUEST and from_provider:
        return ReadingKind.BAD_REQUEST
    return ReadingKind.TRANSIENT


def _missing(body: bytes, shape: Shape) -> tuple[ReadingKind, bool]:
    """Whether a 404 is about the address or the task, and whether that is uncertain.

    A web page comes from a server that knows nothing about tasks. JSON that only says "not found" comes from the API,
    so it is about the task; but some frameworks send the same for an unknown address.
    """
    if shape is Shape.EMPTY:
        return ReadingKind.TRANSIENT, True
    if shape is Shape.PAGE:
        return ReadingKind.NO_ROUTE, False
    value: Json = parse_json(body) if shape is Shape.JSON else body.decode("utf-8", "replace")
    texts = [text.strip() for text in _texts(value, depth=3)]
    said = _ADDRESS.sub(" / ", "; ".join(texts))
    if _TASK.search(_ROUTE.sub(" ", said)) is not None and (shape is Shape.JSON or _UNKNOWN.search(said) is not None):
        return ReadingKind.NOT_FOUND, False
    if _ROUTE.search(said) is not None:
        return ReadingKind.NO_ROUTE, False
    is_frameworks = value == _FASTAPI or (isinstance(value, dict) and _SPRING <= value.keys())
    is_vague = is_frameworks or shape is Shape.TEXT or all(text.rstrip(".!").casefold() in _BARE for text in texts)
    return ReadingKind.NO_ROUTE if is_frameworks or shape is Shape.TEXT else ReadingKind.NOT_FOUND, is_vague


def _texts(value: Json, depth: int, keys: Sequence[str] = _TEXTS) -> list[str]:
    """The first texts of a refusal."""
    return list(islice(_all_texts(value, depth, keys), MOST_TEXTS))


def _all_texts(value: Json, depth: int, keys: Sequence[str]) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value[:MOST_TEXT_CHARS]
    elif depth:
        held = map(value.get, keys) if isinstance(value, dict) else value[:10] if isinstance(value, list) else ()
        for each in held:
            yield from _all_texts(each, depth - 1, keys)


def _text_of(answer: Answer, shape: Shape) -> str:
    if 300 <= answer.status < 400:
        if not (location := answer.headers.get("location")):
            return "a redirect without a Location; redirects are not followed"
        return f"redirected to {_origin(location)}; redirects are not followed"
    if shape is Shape.PAGE:
        page = one_line(described(answer.body, answer.status), MOST_PAGE_CHARS)
        if answer.status >= 500:
            return page
        return f"{page or shape.value} instead of an answer; it may be a login page, or base_url is wrong"
    return "" if shape is Shape.JSON else shape.value


def _origin(location: str) -> str:
    """Where a redirect leads, without path, query and user info, which may contain a key."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an invalid address"
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".removeprefix("://")
    return one_line(origin, 100) if parts.netloc else "another path"
