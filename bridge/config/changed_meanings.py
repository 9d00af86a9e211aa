"""Settings whose meaning has changed since version 0.1.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.config.problems import written_key
from bridge.config.yaml_nodes import KeyPath, Node, Pairs, walk

_SPACED: Final = (
    "the wait between two polls depends on how long similar tasks took, within these limits; for the waits of 0.1.0, "
    "set polling.cadence: fixed"
)
CHANGED: Final = {
    "store": "without it, this settings file has its own store; before, all files of a user shared one; to keep using "
    "the shared store, set it to its path",
    "polling.min_interval": _SPACED,
    "polling.max_interval": _SPACED,
    "polling.not_found": "a 404 or 405 about the address, not about the task, no longer counts; such tasks are still "
    "polled; `genbridge status` shows unknown addresses",
    "accounts.*.limits": "after a Retry-After or an outage, requests start at `rate`, without a burst; raise `rate` if "
    "that is too slow",
    "endpoints.*.concurrency": "counts requests without an answer; a delivery that is being stored no longer counts; "
    "lower it if the receiver gets too many requests at once",
    "endpoints.*.urls": "each target of a URL is a separate delivery, where the service's targets can be separated; "
    "nothing to do; `genbridge deliveries` shows the target",
    "providers": "regular expressions are RE2's, and expressions have a budget for each answer; write patterns without "
    "lookahead, lookbehind and backreferences",
}
"""For each key (`*` stands for any name): what has changed, and what to do."""


def changed_meanings(node: Pairs) -> Iterator[tuple[str, str]]:
    """The settings in this file whose meaning has changed: each key, with what has changed and what to do."""
    is_fixed = not walk(node, ("polling", "cadence"))[1]
    for key, change in CHANGED.items():
        if key == "store":  # changed for files that lack it
            if key not in node.values:
                yield key, change
        elif change is not _SPACED or not is_fixed:
            yield from ((written_key(steps), change) for steps in _matching(node, tuple(key.split("."))))


def _matching(node: Node, key: tuple[str, ...], above: KeyPath = ()) -> Iterator[KeyPath]:
    """The keys in the file that match a pattern."""
    if not key:
        yield above
    elif isinstance(node, Pairs):
        for name, value in node.values.items():
            if key[0] in {"*", name}:
                yield from _matching(value, key[1:], (*above, name))
