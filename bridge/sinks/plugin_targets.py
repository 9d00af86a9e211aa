"""The targets of one Apprise URL, such as the two chats of `tgram://TOKEN/1/2`.

Apprise notifies them one after the other and returns False if one failed, so a retry of the URL would notify the others
again. Most plugins keep their targets in a list; a plugin whose list has one entry notifies only that target.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

_WORDS: Final = (
    "target",
    "topic",
    "channel",
    "room",
    "device",
    "phone",
    "email",
    "event",
    "group",
    "user",
    "contact",
)
# They mention all targets in one message. Separately, each target would get its own message.
_TOGETHER: Final = frozenset({"NotifyDingTalk", "NotifyJira", "NotifyMastodon", "NotifyOpsgenie", "NotifySMSC"})
_COUNTING_NOTHING: Final = frozenset({"NotifyBase", "URLBase"})  # their __len__ is always 1
_NO_TARGETS: Final = ("invalid", "cached", "_")  # attributes with these prefixes contain something else


Entries = list[Any] | tuple[Any, ...] | set[Any]


class PluginTarget(NamedTuple):
    """One target: the plugin's attribute with the list, and the entry in it."""

    attribute: str
    entry: Any

    @property
    def identity(self) -> str:
        """Identifies its queue. Stored deliveries contain a digest of it, so it must never change."""
        return f"Target(attribute={self.attribute!r}, entry={self.entry!r})"


def targets(plugin: Any) -> list[PluginTarget]:
    """The targets of this plugin, in the order of its URL; empty if there is only one, or if they cannot be notified
    separately."""
    if type(plugin).__name__ in _TOGETHER:
        return []
    lists = _lists(plugin)
    for names in (lists.keys(), {"targets"} & lists.keys()):
        found = [PluginTarget(name, entry) for name in lists if name in names for entry in _ordered(lists[name])]
        if len(found) > 1 and _is_all(plugin, found) and _can_be_single(plugin, lists, found[0]):
            return found
    return []


def narrow(plugin: Any, target: PluginTarget) -> None:
    """Make the plugin notify this target only."""
    for name, entries in _lists(plugin).items():
        setattr(plugin, name, type(entries)([target.entry] if name == target.attribute else []))


def are_inseparable(plugin: Any) -> bool:
    """Whether it notifies several targets with several requests, but cannot notify only one of them."""
    return len(plugin) > 1 and type(plugin).__name__ not in _TOGETHER and not targets(plugin)


def _lists(plugin: Any) -> Mapping[str, Entries]:
    return {
        name: value
        for name, value in vars(plugin).items()
        if isinstance(value, list | tuple | set) and value and not name.startswith(_NO_TARGETS)
        if any(kind in name for kind in _WORDS)
    }


def _ordered(entries: Entries) -> list[Any]:
    return sorted(entries, key=repr) if isinstance(entries, set) else list(entries)


def _is_all(plugin: Any, found: Collection[PluginTarget]) -> bool:
    """Whether these are all targets that the plugin counts. A plugin without a count lists them in `targets`."""
    if _counts(plugin):
        return len(plugin) == len(found)
    return {target.attribute for target in found} == {"targets"}


def _counts(plugin: Any) -> bool:
    counting = next(cls for cls in type(plugin).__mro__ if "__len__" in vars(cls))
    return counting.__name__ not in _COUNTING_NOTHING


def _can_be_single(plugin: Any, lists: Mapping[str, Entries], target: PluginTarget) -> bool:
    try:
        narrow(plugin, target)
        return len(plugin) == 1
    finally:
        for name, entries in lists.items():
            setattr(plugin, name, entries)
