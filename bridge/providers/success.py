"""Reads a success (results, withheld results, no results) and the reason of a failure, and checks whether the bytes of
an answer may finish a task."""

from __future__ import annotations

import math
import re
from typing import Final

from bridge.domain.task import NO_RESULT, RESULT_GONE, Json, Reading, ReadingKind, Snapshot
from bridge.net.client import Answer, Unanswered
from bridge.providers.aggregators import STATUSES, messages, reasons
from bridge.providers.answer_form import Form
from bridge.providers.description import Description
from bridge.providers.http_status import refined
from bridge.providers.json_values import MAX_DEPTH, as_code, as_message, as_ms, check_json, is_deep, one_line
from bridge.providers.results import CLOUD, Collected, PollContext, collect
from bridge.providers.selector import selected
from bridge.providers.task_rules import listed
from bridge.providers.task_search import Task

IDS: Final = (*("id", "task_id", "taskId", "uuid", "job_id", "jobId"), "generation_id", "generationId", "prompt_id")
QUOTED_BYTES: Final = 1000
QUOTED_CHARS: Final = 200
MAX_REASON_CHARS: Final = 400
GONE: Final = f"the task has succeeded, but {RESULT_GONE} its result"
BAD: Final = re.compile(
    r"\b(not|no|un\w+|\w*fail\w*|error|reject\w*|block\w*|filter\w*|moderat\w*|violat\w*)\b|失败", re.IGNORECASE
)
# A message that explains why a success has no result.
REFUSED: Final = re.compile(
    r"\b(filter\w*|moderat\w*|block\w*|nsfw|sensitive|violat\w*|prohibit\w*|reject\w*|refus\w*|polic(y|ies)|safety)\b"
    r"|敏感|违规|审核|拦截",
    re.IGNORECASE,
)
# A message of a success that says nothing about missing results. Without giving back what it has matched: a text of
# 2000 characters would take half a second.
WELL: Final = re.compile(
    r"\s*+((https?|gs|s3)://.*|ok|okay|none|null|0|200|\W*+|.*(成功|完成).*"
    r"|(?>[^.;,]*?\b(success|succeed|complete|finish|done|generated))[^.;,]*+)[.!]?\s*+",
    re.IGNORECASE | re.DOTALL,
)


# A message that says only that the task has failed.
VAGUE: Final = re.compile(
    r"\s*((the|this|your|task|job|request|prediction|video|image|audio|generation|execution|has|have|任务|视频|图片|生成|执行)\s*+)*"
    r"(failed|failure|fail|error|失败|出错)\s*+[.!。]?\s*+",
    re.IGNORECASE,
)


class AnswerBytes:
    """The bytes of an answer. They are checked at most once, and only if a task finishes, because checking is slow."""

    _flaw: str | None = None
    _is_checked = False

    def __init__(self, answer: Answer | Unanswered) -> None:
        assert isinstance(answer, Answer)
        self._body = answer.body

    def flaw_in(self, task: Json) -> str | None:
        """Why an answer that would finish the task cannot be trusted; None if it can."""
        is_flat = self._body.count(b"{") + self._body.count(b"[") <= MAX_DEPTH  # too few brackets for deep nesting
        if not is_flat and is_deep(task):
            return "the answer is nested too deeply"
        if not self._is_checked:
            self._flaw, self._is_checked = _flaw(self._body), True
        return self._flaw

    @property
    def start(self) -> str:
        """The beginning of the answer, on one line, for people."""
        return one_line(self._body[:QUOTED_BYTES].decode("utf-8", "replace"), QUOTED_CHARS)


def _flaw(body: bytes) -> str | None:
    try:
        check_json(body.decode())
    except RecursionError:
        return "the answer is nested too deeply"
    except ValueError:
        return "a key is repeated in the answer"
    return None


def read_success(
    description: Description, form: Form, task: Task, asked: PollContext, seen: Snapshot, raw: AnswerBytes
) -> Reading:
    """The reading of a task that succeeded according to its provider. If it has no result but a reason for that, it has
    failed. If it has neither, it has not finished yet."""
    withheld = _withheld(form, task)
    collected = collect(form, task, asked=asked, needs_key=description.needs_key, is_sure=not withheld)
    if not collected.is_empty:
        seen = seen._replace(
            message=""
            if seen.message.startswith(("https://", "http://", *CLOUD))
            else seen.message,  # a result, not a message
            result=collected.result,
            urls=collected.urls,
            refused=collected.refused,
            files=collected.files,
            expires_ms=_expires_ms(description, form, task, seen, asked.now) if collected.urls else None,
        )
        return Reading(kind=ReadingKind.SUCCEEDED, detail=_remarks(collected, withheld), snapshot=seen)
    if form.expired is not None and form.expired(task):
        return Reading(kind=ReadingKind.EXPIRED_RESULT, detail=GONE, snapshot=seen)
    if why := withheld or _lost(collected) or (seen.message if REFUSED.search(seen.message) else ""):
        codes = (*selected(form.error_code, task), *(each.code for each in collected.lost))
        seen = seen._replace(message=why, error_code=as_code(codes))
        return Reading(kind=ReadingKind.FAILED, detail=why_failed(seen), snapshot=seen)
    detail = f"the task has succeeded, but {NO_RESULT}: {raw.start}"
    return Reading(kind=ReadingKind.AMBIGUOUS, detail=detail, snapshot=seen, lacks_result=True)


def message_of(form: Form, task: Task) -> str:
    said = as_message(selected(form.message, task))
    if said or not form.usual_words:
        return said
    usual = messages(task)
    return as_message(usual) if usual else ""


def error_text(description: Description, answer: Json) -> str:
    """The message of an answer that is not about a task."""
    usual = messages(answer) if isinstance(answer, dict) else ()
    return as_message(selected(description.error_message, answer)) or as_message(usual)


def failure_text(description: Description, form: Form, task: Task) -> str:
    """The message of a failed task: the first that gives a reason, else the first of all. The order: the places of the
    form, the usual places, the vendor's answer inside the task."""
    own = [as_message([value]) for value in selected(form.message, task)]
    usual = [as_message([value]) for value in messages(task)]
    usual += [error_text(description, held) for held in (task, task.get("data"))]
    texts = [text for text in (*own, *(text for text in usual if not WELL.fullmatch(text))) if text]
    return next(filter(_gives_reason, texts), texts[0] if texts else "")


def with_outer_text(description: Description, body: Json, reading: Reading) -> Reading:
    """A failure whose message gives no reason gets the message of the enclosing answer, if that does."""
    seen = reading.snapshot
    outer = error_text(description, body)
    if seen is None or _gives_reason(seen.message) or not _gives_reason(outer):
        return reading
    seen = seen._replace(message=outer)
    return reading._replace(detail=why_failed(seen), snapshot=seen)


def _gives_reason(message: str) -> bool:
    """Whether a message says more than that the task has failed or succeeded."""
    return bool(message) and WELL.fullmatch(message) is None and VAGUE.fullmatch(message) is None


def objects_with_id(body: Json) -> list[Task]:
    """The objects of an answer that may be tasks, because they have an id."""
    places = (body, body.get("data") if isinstance(body, dict) else None)
    objects = (each for place in places for each in listed(place) if isinstance(each, dict))
    return [each for each in objects if any(map(each.get, IDS))]


def refined_by_text(description: Description, reading: Reading, body: Json) -> Reading:
    """See `http_status.refined`; the text may also be where the description says. An answer that tells the status of a
    task may contain any text."""
    if any(isinstance(each.get(name), str) for each in objects_with_id(body) for name in STATUSES):
        return reading
    return refined(reading, body, error_text(description, body))


def why_failed(seen: Snapshot) -> str:
    """The reason of a failure: the provider's message, or else its status, with its error code."""
    said = seen.message or seen.status
    code = f" ({seen.error_code})" if seen.error_code and seen.error_code not in said else ""
    return f"{one_line(said, MAX_REASON_CHARS - len(code))}{code}"


def _withheld(form: Form, task: Task) -> str:
    """Why results are missing, if the answer contains a reason."""
    for value in (*selected(form.withheld, task), *(reasons(task) if form.usual_words else ())):
        if _is_reason(said := as_message([value])):
            return said
    return ""


def _is_reason(said: str) -> bool:
    """Whether a text of a success can be the reason for a missing result."""
    return BAD.search(said) is not None or WELL.fullmatch(said) is None


def _expires_ms(description: Description, form: Form, task: Task, seen: Snapshot, now: float) -> int | None:
    stated, life = as_ms(selected(form.expires, task), description.times.zone), description.result_life
    if stated is not None or life is None:
        return stated
    times = {"created": (seen.created_ms, seen.updated_ms), "updated": (seen.updated_ms, seen.created_ms)}
    polled_ms = round(now * 1000) if now < math.inf else None
    first, then = times.get(life.since, (polled_ms, None))
    since_ms = first or then
    return None if since_ms is None else since_ms + round(life.lasts * 1000)


def _remarks(collected: Collected, withheld: str) -> str:
    """What people should know about the results of a success; usually ""."""
    remarks = []
    if lost := withheld or _lost(collected):
        remarks.append(f"some results are missing: {lost}")
    items = [item for kind in collected.result.values() for item in kind]
    if closed := sum(1 for item in items if item.get("needs_key") is True):
        remarks.append(f"{_counted(closed, 'result')} can only be downloaded with the account's API key")
    if clouds := [url for item in items if isinstance(url := item.get("url"), str) and url.startswith(CLOUD)]:
        remarks.append(f"{_counted(len(clouds), 'result')} can only be read with a cloud account: {', '.join(clouds)}")
    if files := [f"{item['media_type']}, {item['bytes']} bytes" for item in items if item.get("embedded") is True]:
        one = f"1 file is inside the answer, without a URL: {files[0]}"
        several = f"{len(files)} files are inside the answer, without a URL: {', '.join(files)}"
        remarks.append(one if len(files) == 1 else several)
    if collected.refused:
        count, why = _counted(len(collected.refused), "result URL"), "; ".join(collected.refused)
        remarks.append(f"{count} was refused: {why}" if len(collected.refused) == 1 else f"{count} were refused: {why}")
    return one_line("; ".join(remarks), MAX_REASON_CHARS)


def _lost(collected: Collected) -> str:
    return "; ".join(each.why for each in collected.lost if _is_reason(each.why))


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
