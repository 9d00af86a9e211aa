"""The outcome of an attempt that was answered: the only place that turns a status and a verdict into an outcome."""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from bridge.domain.backoff import parse_retry_after
from bridge.domain.delivery import Accepted, Deferred, Outcome, Refused
from bridge.net.client import Answer
from bridge.redaction import hidden
from bridge.sinks.answers import ACCEPTED, Verdict, json_of, retry_after_in, words_of
from bridge.sinks.neutral import one_line

MOST_ANSWER_BYTES: Final = 64 * 1024  # this much of an answer is read, so that the connection can be used again
MOST_EXCERPT: Final = 200  # characters of an answer that are kept in a reason or doubt

_WAIT_HEADERS: Final = ("x-ratelimit-reset-after", "x-ogw-ratelimit-reset")  # Discord's and Feishu's, in seconds
_MOST_LOCATION: Final = 150  # characters
_SHARED_CHARS: Final = 8  # a path segment of this length that is also in the requested URL may be a secret
_TOKEN: Final = re.compile(r"(?=.*\d).{16,}")  # looks like a secret anywhere


def judge(answer: Answer, verdict: Verdict = ACCEPTED, *, asked: str) -> Outcome:
    """The outcome of an answered attempt. `asked` is the requested URL.

    2xx is accepted unless the verdict is a refusal. 410 disables the endpoint. Everything else is retried. If the
    receiver asks for a wait, its whole queue waits, unless it only says that something is wrong with this request.
    """
    is_good = 200 <= answer.status < 300
    if is_good and not verdict.refusal:
        doubt = one_line(hidden(verdict.doubt), most_chars=MOST_EXCERPT)
        return Accepted(detail=f"HTTP {answer.status}", doubt=doubt)
    words = one_line(hidden(verdict.refusal or words_of(answer)), most_chars=MOST_EXCERPT)
    reason = f"HTTP {answer.status}, but refused" if is_good else _status_line(answer, asked)
    if words:
        reason += ": " + words.removeprefix(f"{_phrase(answer.status)}: ")
    if answer.status == HTTPStatus.GONE:
        return Refused(reason=reason)
    wait_s = requested_wait_s(answer, verdict)
    is_general = verdict.wait_s is not None or answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500
    return Deferred(reason=reason, retry_after_s=wait_s, delays_queue=wait_s is not None and is_general)


def requested_wait_s(answer: Answer, verdict: Verdict = ACCEPTED) -> float | None:
    """The longest wait in a header or in the JSON of the answer. The retry plan limits it later."""
    headers = answer.headers
    waits = [verdict.wait_s, parse_retry_after(headers.get("retry-after"), date=headers.get("date"), most_s=math.inf)]
    if not 200 <= answer.status < 300:
        waits.append(retry_after_in(json_of(answer)[0]))
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or verdict.wait_s is not None:
        waits += [parse_retry_after(headers.get(name), date=None, most_s=math.inf) for name in _WAIT_HEADERS]
    return max((wait_s for wait_s in waits if wait_s is not None and 0 <= wait_s < math.inf), default=None)


def redirection(status: int, location: str | None, *, asked: str) -> str | None:
    """One line about a redirect: where it leads, and that redirects are not followed. None if the answer is not a
    redirect.

    Secrets are left out: user info, the query, and path segments that look like a token or are also in `asked`.
    """
    if not 300 <= status < 400:
        return None
    if not location:
        return "a redirect without a Location; redirects are not followed"
    return f"redirects to {_without_secrets(location, asked)}; redirects are not followed"


def _status_line(answer: Answer, asked: str) -> str:
    line = f"HTTP {answer.status} {_phrase(answer.status)}".rstrip()
    moved = redirection(answer.status, answer.headers.get("location"), asked=asked)
    return line if moved is None else hidden(f"{line} ({moved})")


def _phrase(status: int) -> str:
    """What the status means, such as `Forbidden`; empty for an unknown one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _without_secrets(location: str, asked: str) -> str:
    try:
        parts = urlsplit(urljoin(asked, location))
    except ValueError:
        return "an invalid address"
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
    ours = {piece for piece in re.split(r"[/?&=#]", asked.partition("://")[2]) if len(piece) >= _SHARED_CHARS}
    ours.discard(parts.netloc)
    path = "/".join("***" if piece in ours or _TOKEN.fullmatch(piece) else piece for piece in parts.path.split("/"))
    return one_line(f"{origin}{path}{'?...' if parts.query else ''}", most_chars=_MOST_LOCATION)
