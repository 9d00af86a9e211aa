"""Builds the card of an event from the values of its default text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.domain.event import Event
from bridge.sinks.chat_cards import TONES, CardLink, ChatCard
from bridge.sinks.message_values import ChatStyle, card_links, facts_of
from bridge.sinks.neutral import link

MOST_PICTURES: Final = 10


def card_of(event: Event, title: str, values: Mapping[str, Any], style: ChatStyle) -> ChatCard:
    """A card with the same content as the default text for these values."""
    found = facts_of(event)
    links = card_links(found, style.words)
    said = not values["succeeded"] and values["message"]
    why = tuple(filter(None, (values["why"], f"“{said}”" if said else "")))
    facts = " · ".join(filter(None, (values["facts"], values["until"])))
    task_id, story = values["task_id"], values["story"]
    return ChatCard(
        title=title,
        tone=TONES.get(event.topic, "info"),
        before=(
            *(() if links else tuple(line for text in values["texts"] for line in text.split("\n"))),
            *(() if links else why),
        ),
        links=tuple(links),
        notes=why if links else (),
        facts=facts,
        after=(task_id,) if task_id and values["ended_at"] and not values["succeeded"] else (),
        pictures=tuple(map(link, found.covers[:MOST_PICTURES])) if style.previews or style.files else (),
        story=CardLink(label=style.words.story, url=story, kind="") if story else None,
        has_files=style.files and bool(links) and not any(each.needs_key and not each.copy for each in found.made),
    )
