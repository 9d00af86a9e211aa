"""Settings whose meaning has changed since version 0.1.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.config.problems import Steps, written_key
from bridge.config.yaml import Node, Pairs, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSetting:
    """A key (`*` stands for any name), with what has changed and what to do. It applies to settings that have the key,
    or that lack it (`is_absent`); with `unless`, only to those that lack that other key."""

    key: tuple[str, ...]
    change: str
    advice: str
    is_absent: bool = False
    unless: tuple[str, ...] = ()


CHANGED: Final = (
    ChangedSetting(
        key=("store",),
        is_absent=True,
        change="without it, this settings file has its own store; all files of a user shared one",
        advice="set it to the path of the shared store to keep using that one",
    ),
    *(
        ChangedSetting(
            key=("polling", bound),
            unless=("polling", "cadence"),
            change="polls are spaced by how long similar tasks took, within these bounds",
            advice="set polling.cadence: fixed to space them by age as before",
        )
        for bound in ("min_interval", "max_interval")
    ),
    ChangedSetting(
        key=("polling", "not_found"),
        change="a 404 or 405 about the address, not about the task, no longer counts",
        advice="such tasks go on; see `genbridge status` for unknown addresses",
    ),
    ChangedSetting(
        key=("accounts", "*", "limits"),
        change="after a Retry-After or an outage, requests start at `rate`, without a burst",
        advice="raise `rate` if that is too slow",
    ),
    ChangedSetting(
        key=("endpoints", "*", "concurrency"),
        change="counts requests without an answer; a delivery that is being stored no longer counts",
        advice="lower it if the receiver gets too many requests at once",
    ),
    ChangedSetting(
        key=("endpoints", "*", "urls"),
        change="each target of a URL is a separate delivery, where the service's targets can be separated",
        advice="nothing to do; `genbridge deliveries` shows the target",
    ),
    ChangedSetting(
        key=("providers",),
        change="regular expressions are RE2's, and expressions have a budget for each answer",
        advice="write patterns without lookahead, lookbehind and backreferences",
    ),
)


def changed_settings(node: Pairs) -> Iterator[tuple[str, str]]:
    """The settings in this file whose meaning has changed: each key, with what has changed and what to do."""
    for changed in CHANGED:
        if changed.unless and _has(node, changed.unless):
            continue
        text = f"{changed.change}; {changed.advice}"
        if changed.is_absent:
            if not _has(node, changed.key):
                yield written_key(changed.key), text
        else:
            yield from ((written_key(steps), text) for steps in _matching(node, changed.key))


def _has(node: Pairs, key: Steps) -> bool:
    return not walk(node, key)[1]


def _matching(node: Node, key: tuple[str, ...], above: Steps = ()) -> Iterator[Steps]:
    """The keys in the file that match a pattern."""
    if not key:
        yield above
    elif isinstance(node, Pairs):
        for name, value in node.values.items():
            if key[0] in {"*", name}:
                yield from _matching(value, key[1:], (*above, name))
