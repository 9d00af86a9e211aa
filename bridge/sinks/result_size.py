"""The size of a task's results, in the words of a message."""

from __future__ import annotations

from bridge.domain.result_facts import MadeResult, ResultFacts
from bridge.sinks.chat_wording import ChatWording
from bridge.sinks.human_time import clock_length, human_duration


def result_size(found: ResultFacts, words: ChatWording) -> str:
    """`5 s`, `4 images`, `2 versions, 2:34 and 2:41`; "" if the kind says enough."""
    of_kind = [each for each in found.made if each.kind == found.kind]
    if not of_kind:
        return ""
    count = words.one[found.kind] if len(of_kind) == 1 else words.many[found.kind].format(n=len(of_kind))
    lengths = [_length(each, words) for each in of_kind]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths) or not known:
        return count
    if len(known) == 1:
        return known[0]
    if len(set(known)) == 1:
        return words.each.format(count=count, length=known[0])
    if len(known) == 2:
        return count + words.comma + words.pair.format(first=known[0], last=known[1])
    return count


def _length(made: MadeResult, words: ChatWording) -> str | None:
    if made.length_s is None or made.kind not in {"videos", "audios"}:
        return None
    if made.kind == "audios":
        return clock_length(made.length_s)
    return human_duration(max(1.0, made.length_s), words.units)
