"""The values of the names in chat templates, for any event."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from bridge.chinese_reasons import in_language, is_own
from bridge.domain.archive_names import copies_in
from bridge.domain.content_sniffing import PROGRAMS
from bridge.domain.event import ENDPOINT_TOPICS, OPERATOR_TOPICS, Event, Topic
from bridge.domain.ids import MAX_TASK_ID_CHARS
from bridge.domain.quoting import printable
from bridge.domain.result_facts import (
    MadeResult,
    ResultFacts,
    kind_of_action,
    result_facts,
    result_texts,
    with_copies_of,
    with_paths_of,
)
from bridge.domain.task import NO_RESULT, RESULT_GONE, Json, worked_s
from bridge.sinks.chat_cards import CardLink, markdown_link
from bridge.sinks.chat_wording import CHINESE, MARKS, TOPIC_LOOKS, ChatWording
from bridge.sinks.human_values import (
    LOCAL,
    SOON_S,
    copies_place,
    copies_size,
    have_links,
    human_duration,
    human_expiry,
    human_instant,
    result_size,
)
from bridge.sinks.neutral import link, neutral, neutral_json

CUT_REASON: Final = 60  # a shortened reason with this many first characters of a message quotes the message
MOST_URLS: Final = 500  # more would never fit into a message
MOST_TEXTS: Final = 10
MOST_TEXT: Final = 1_500  # maximum characters of a result that is a text
MOST_LABEL: Final = 80

NAMES: Final = (
    "account action advice data duration ended_at endpoint event_id expires_at facts headline label links main_urls "
    "mark message meta name occurred_at outcome progress provider reason result soon status story succeeded tail "
    "task_id texts topic until urls watched_at why"
).split()
"""The names that a template may use; None (or empty) if unknown."""

_SUCCESSES: Final = frozenset(topic for topic in Topic if topic.facts.status == "succeed")
_ENDS_A_SENTENCE: Final = re.compile(r"[\w)\]\"'%\uff09]$")
_FOR_PROGRAMS: Final = re.compile(r"(web_page|too_large|unknown_route|redirect|expression_limit): ")
_CODES_FIRST: Final = re.compile(
    r"(?:(?P<status>HTTP \d{3})(?:[:,] code (?P<code>[^\s:]{1,64}))?|code (?P<alone>[^\s:]{1,64})): (?P<message>.+)",
    re.DOTALL,
)
_IS_STATUS: Final = re.compile(r"(task[ _])?(fail(ed|ure)?|error)", re.IGNORECASE)  # a reason that is none
_EXTENSION: Final = re.compile(r"[^/]/[^/?#]*\.([A-Za-z0-9]{1,5})(?:[?#]|$)")
_CHINESE: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_LATIN: Final = re.compile(r"[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatStyle:
    """How to write the texts of an endpoint. `timezone` is `local` or the name of a zone. With `previews`, the service
    is asked to show pictures and players; with `files`, the results themselves are attached. `page_url` is the public
    URL of the status page; "" for no link to it."""

    language: str = "en"
    timezone: str = LOCAL
    marks: bool = True
    previews: bool = False
    files: bool = False
    page_url: str = ""

    @property
    def words(self) -> ChatWording:
        return ChatWording(self.language)


USUAL_STYLE: Final = ChatStyle()


def template_values(event: Event, style: ChatStyle = USUAL_STYLE) -> dict[str, object]:
    """The value of each name in `NAMES`: strings from outside made harmless, URLs unchanged."""
    data, words, found = event.data, style.words, facts_of(event)
    task_id = None if "task_id" not in data else neutral(event.subject, most_chars=MAX_TASK_ID_CHARS)
    reason = _text(data, "reason")
    watched_at, ended_at = _number(data.get("watched_at")), _number(data.get("ended_at"))
    expires_at, progress = _number(data.get("expires_at")), _number(data.get("progress"))
    meta, result = neutral_json(data.get("meta") or {}), neutral_json(data.get("task_result") or {})
    links = [link(url) for url in event.urls[:MOST_URLS]]
    inert = {key: neutral_json(value) for key, value in data.items()}
    has_expiry = bool(links) and event.topic is not Topic.TASK_ARCHIVED
    until = _until(expires_at, ended_at or event.occurred_at * 1000, style) if has_expiry else None
    advice = _advice(event, words)
    label = cut_at_word(_text(data, "label", most_chars=200) or "", MOST_LABEL) or None
    role = "endpoint" if event.topic in ENDPOINT_TOPICS else "account"
    return {
        "account": _text(data, "account", most_chars=80) or neutral(event.account) or None,
        "action": _text(data, "action", most_chars=80),
        "advice": advice,
        "data": {**inert, "meta": meta, "task_result": result, "urls": links},
        "duration": human_duration(_seconds_between(watched_at, ended_at), words.units),
        "ended_at": human_instant(ended_at, style.timezone),
        "endpoint": _text(data, "endpoint", most_chars=80),
        "event_id": event.event_id,
        "expires_at": human_instant(expires_at, style.timezone),
        "facts": _facts(event, found, words),
        "headline": _headline(event, found, label, words),
        "label": label,
        "links": [markdown_link(each) for each in card_links(found, words)],
        "main_urls": [link(url) for url in found.urls][:MOST_URLS],
        "mark": _mark(event, found) if style.marks else "",
        "message": _message(data, reason),
        "meta": meta,
        "name": label or task_id or f"{role} {_text(data, role, most_chars=80) or '?'}",
        "occurred_at": human_instant(event.occurred_at * 1000, style.timezone),
        "outcome": _outcome(event.topic, progress, words),
        "progress": progress,
        "provider": _text(data, "provider", most_chars=80),
        "reason": reason,
        "result": result,
        "soon": until is not None,
        "story": _story(event, style),
        "status": _text(data, "task_status", most_chars=80),
        "succeeded": event.topic in _SUCCESSES and data.get("result_missing") is not True,
        "tail": _tail(event, progress, words),
        "task_id": task_id,
        "texts": _texts(data.get("task_result")),
        "topic": event.topic.value,
        "until": until,
        "urls": links,
        "watched_at": human_instant(watched_at, style.timezone),
        "why": _why(event, found, advice, words),
    }


def facts_of(event: Event) -> ResultFacts:
    """What the task made; for `task_archived`, the copies of it."""
    data = event.data
    found = result_facts(data.get("task_result"), event.urls, data.get("action"))
    if data.get("archive"):
        found = with_paths_of(data, found)
    if event.topic is not Topic.TASK_ARCHIVED:
        return found
    if have_links(copies_in(data)):
        return with_copies_of(data, found)
    return replace(found, made=tuple(replace(each, url="") for each in found.made))  # the provider's URLs will expire


def card_links(found: ResultFacts, words: ChatWording) -> list[CardLink]:
    made = [each for each in found.made if each.url][:MOST_URLS]
    if len(made) == 1:
        only = made[0]
        label = _with_extension(words.open_one[only.kind], only, words)
        return [CardLink(label=label, url=link(only.url), kind=only.kind, copy=only.copy)]
    most_wanted = found.kind
    totals = Counter(each.kind for each in made)
    counts = Counter[str]()
    links = []
    for each in made:
        counts[each.kind] += 1
        number = counts[each.kind]
        is_only = totals[each.kind] == 1
        label = words.open_one[each.kind] if is_only else words.open_each[each.kind].format(n=number)
        label = _with_extension(label, each, words)
        short = str(number) if most_wanted == each.kind == "images" and not is_only else ""
        links.append(CardLink(label=label, url=link(each.url), kind=each.kind, short=short, copy=each.copy))
    return links


def _with_extension(label: str, made: MadeResult, words: ChatWording) -> str:
    """`File 2 (fbx)`: a person chooses a file by its format."""
    found = _EXTENSION.search(made.url) if made.kind == "files" else None
    is_format = found is not None and found[1].lower() not in PROGRAMS
    return words.with_codes.format(text=label, codes=found[1].lower()) if found and is_format else label


def cut_at_word(text: str, most_chars: int) -> str:
    """At most this many characters. Cut between words unless that would remove much; an ellipsis marks the cut."""
    if len(text) <= most_chars:
        return text
    head = text[: most_chars - 1]
    before = head.rpartition(" ")[0]
    return (before if len(before) >= most_chars // 2 else head).rstrip(" ,;:.-·") + "…"


def _headline(event: Event, found: ResultFacts, label: str | None, words: ChatWording) -> str:
    """The label; or else the kind, the account, and the end of the id."""
    data = event.data
    if event.topic in ENDPOINT_TOPICS:
        return words.endpoint.format(name=_text(data, "endpoint", most_chars=80) or "?")
    if event.topic in OPERATOR_TOPICS:
        return words.account.format(name=_text(data, "account", most_chars=80) or "?")
    if label is not None:
        return label
    kind = found.kind or kind_of_action(data.get("action"))
    made = words.task if not kind else words.made_one if kind == "images" and len(found.made) == 1 else words.made[kind]
    ident = neutral(event.subject, most_chars=MAX_TASK_ID_CHARS)
    shown = ident if len(ident) <= 10 else f"…{ident[-6:]}"
    account = _text(data, "account", most_chars=80) or neutral(event.account) or "?"
    return words.unlabeled.format(made=made, account=account, id=shown)


def _advice(event: Event, words: ChatWording) -> str | None:
    """What happens next; for events about accounts and endpoints, what to do."""
    tasks = event.kept.get("tasks")
    if event.topic in words.counted and isinstance(tasks, int) and tasks > 0:
        return words.counted[event.topic][tasks > 1].format(n=tasks)
    advice = words.advice.get(event.topic)
    return advice and advice.format(name=_text(event.data, "endpoint", most_chars=80) or "?")


def _story(event: Event, style: ChatStyle) -> str | None:
    """A link to the task on the status page."""
    account, task_id = event.data.get("account"), event.data.get("task_id")
    if not style.page_url or not isinstance(account, str) or not isinstance(task_id, str):
        return None
    return f"{style.page_url}/task?{urlencode({'account': account, 'id': task_id}, errors='replace')}"


def _mark(event: Event, found: ResultFacts) -> str:
    return TOPIC_LOOKS[event.topic].mark or MARKS.get(found.kind or kind_of_action(event.data.get("action")), "")


def _tail(event: Event, progress: float | None, words: ChatWording) -> str:
    if event.topic is Topic.TASK_PROGRESS and progress is not None:
        return words.progress.format(percent=f"{progress:.3g}")
    if event.topic is Topic.TASK_SUCCEEDED and event.data.get("result_missing") is True:
        return (words.gone if _is_gone(event.data) else words.missing)[0]
    return words.topics[event.topic][1]


def _is_gone(data: Mapping[str, Json]) -> bool:
    return RESULT_GONE in str(data.get("reason"))


def _why(event: Event, found: ResultFacts, advice: str | None, words: ChatWording) -> str | None:
    """The reason, as a sentence; for operators also what to do."""
    data, topic = event.data, event.topic
    said = data.get("reason")
    if topic is Topic.UNKNOWN_STATUS and isinstance(said, str):
        said = said[found_at.end() :] if (found_at := _FOR_PROGRAMS.match(said)) else said
    reason = neutral(in_language(said, words.language)) or None if isinstance(said, str) else None
    if topic not in OPERATOR_TOPICS and isinstance(said, str):
        reason = _codes_last(said, words) or (_capitalized(reason) if is_own(said) else reason)
    if topic in OPERATOR_TOPICS:
        return words.then.join(filter(None, (_operator_reason(event, reason, words), advice))) or None
    if topic is Topic.TASK_TIMED_OUT:
        watched_s = _seconds_between(_number(data.get("watched_at")), _number(data.get("ended_at")))
        span = human_duration(watched_s, words.units)
        account = _text(data, "account", most_chars=80) or neutral(event.account)
        return words.timed_out.format(span=span, account=account) if span else _sentence(reason, words)
    if topic is Topic.TASK_ARCHIVED:
        copies = copies_in(data)
        return None if have_links(copies) else copies_place(copies) or None
    if data.get("result_missing") is True and (not said or _is_gone(data) or NO_RESULT in str(said)):
        return (words.gone if _is_gone(data) else words.missing)[1]
    if topic is Topic.TASK_SUCCEEDED and reason is None and found.made and not found.urls and found.kind != "texts":
        return words.inside
    code = _text(data, "error_code", most_chars=80)
    if topic is Topic.TASK_FAILED and not code and _IS_STATUS.fullmatch(_message(data, reason) or reason or "failed"):
        return words.no_reason
    return _sentence(reason, words, code=code)


def _codes_last(said: str, words: ChatWording) -> str | None:
    """A reason that begins with the codes of an answer, such as `HTTP 404: code 1203: no such task`, with its message
    first; None for any other reason."""
    found = _CODES_FIRST.fullmatch(said)
    if found is None:
        return None
    status, code, message = found["status"], found["code"] or found["alone"], found["message"]
    codes = [status, words.code.format(code=neutral(code)) if code else None]
    text = neutral(in_language(message, words.language)).rstrip(".。")
    return words.with_codes.format(text=text, codes=words.comma.join(filter(None, codes))) if text else None


def _operator_reason(event: Event, reason: str | None, words: ChatWording) -> str | None:
    if event.topic is Topic.ENDPOINT_DISABLED and reason:
        return words.answered.format(reason=reason)
    if event.topic is Topic.ACCOUNT_RESTORED:
        span = human_duration(_number(event.kept.get("lasted_s")) or None, words.units)
        return words.was_blocked.format(span=span) if span else None
    if event.topic is not Topic.ACCOUNT_BLOCKED and reason:
        reason = _capitalized(reason)  # genbridge's own words
    return _sentence(reason, words)


def _capitalized(text: str | None) -> str | None:
    return text and text[:1].upper() + text[1:]


def _sentence(text: str | None, words: ChatWording, *, code: str | None = None) -> str | None:
    """The provider's own text with its code, as a sentence."""
    if not text:
        return None
    if code and code not in text:
        text = words.with_code.format(text=text.rstrip("."), code=code)
    ending = CHINESE.sentence if _is_chinese(text) else words.sentence
    return ending.format(text=text) if _ENDS_A_SENTENCE.search(text) else text


def _is_chinese(text: str) -> bool:
    """Whether most of the words are Chinese or Japanese; an English text may quote a few, for example in a URL."""
    signs = len(_CHINESE.findall(text))
    return signs > 0 and 2 * signs >= len(_LATIN.findall(text))


def _facts(event: Event, found: ResultFacts, words: ChatWording) -> str:
    """`5 s · kling · took 3 min 12 s`."""
    if event.topic in OPERATOR_TOPICS or event.topic is Topic.TASK_TIMED_OUT:
        return ""
    account = _text(event.data, "account", most_chars=80) or neutral(event.account)
    if event.topic is Topic.TASK_ARCHIVED:
        return " · ".join(filter(None, (copies_size(copies_in(event.data), words), account)))
    is_success = event.topic in _SUCCESSES
    span = human_duration(_took_s(event.data), words.units)
    took = "" if span is None else (words.took if is_success else words.after).format(span=span)
    size = result_size(found, words) if is_success else ""
    closed = words.needs_key if any(each.needs_key for each in found.made) else ""
    return " · ".join(filter(None, (size, account, took, closed)))


def _took_s(data: Mapping[str, Json]) -> float | None:
    if data.get("ended_at") is None:
        return None
    watched_s = _seconds_between(_number(data.get("watched_at")), _number(data.get("ended_at")))
    return worked_s(_number(data.get("created_at")), _number(data.get("updated_at")), watched_s=watched_s)


def _until(expires_ms: float | None, seen_ms: float, style: ChatStyle) -> str | None:
    """When the results expire, if that is soon."""
    left_s = _seconds_between(seen_ms, expires_ms)
    if expires_ms is None or left_s is None or not 0 < left_s < SOON_S:
        return None
    instant = human_expiry(expires_ms, since_ms=seen_ms, timezone=style.timezone)
    left = human_duration(left_s, style.words.units)
    return instant and style.words.until.format(time=instant, left=left)


def _text(data: Mapping[str, Json], key: str, *, most_chars: int = 500) -> str | None:
    value = data.get(key)
    return neutral(value, most_chars=most_chars) or None if isinstance(value, str) else None


def _message(data: Mapping[str, Json], reason: str | None) -> str | None:
    """The provider's message, if it says more than the reason. A reason that was cut says enough."""
    message = _text(data, "task_status_msg")
    if message is None or reason is None:
        return message
    as_reason = neutral(printable(" ".join(str(data["task_status_msg"])[:2000].split())))  # as reasons quote it
    start = as_reason[:CUT_REASON] if reason.endswith("…") else as_reason
    return None if message in reason or start in reason else message


def _texts(result: Json) -> list[str]:
    """Results that are texts, made harmless and cut to a suitable length for chats."""
    lines = [_cut_text(text.strip()).splitlines() for text in result_texts(result)[:MOST_TEXTS]]
    return ["\n".join(neutral(line, most_chars=MOST_TEXT) for line in each) for each in lines]


def _cut_text(text: str) -> str:
    """At most `MOST_TEXT` characters; an ellipsis replaces the rest."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1].rstrip()}…"


def _number(value: Json) -> float | None:
    """A number of reasonable size; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e15 else None


def _seconds_between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else (end - begin) / 1000


def _outcome(topic: Topic, progress: float | None, words: ChatWording) -> str:
    is_progress = topic is Topic.TASK_PROGRESS and progress is not None
    return f"{progress:.3g} %" if is_progress else words.topics[topic][0]
