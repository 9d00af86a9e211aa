"""The parts of a chat message with the default body, for services that can show more than plain text.

A card is stored with the text of its delivery. Both have the same content.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError

from bridge.domain.task import Json

MOST_NAMED_URL: Final = 2_000  # in characters; a longer URL is sent unchanged, in a separate message if necessary

COLORS: Final[Mapping[str, int]] = {"success": 0x2EB67D, "failure": 0xE01E5A, "warning": 0xECB22E, "info": 0x3A7BD5}


# For emails: mail programs ignore style sheets.
_PAGE: Final = "max-width:640px;font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:1.5"
_ROW: Final = "line-height:0"
_PICTURE: Final = "max-width:100%;height:auto;border:0;border-radius:6px;margin:0 8px 8px 0"
_BUTTON: Final = (
    "display:inline-block;padding:8px 16px;margin-bottom:8px;border-radius:6px;background:#3b43c4;color:#ffffff;"
    "font-weight:bold;text-decoration:none"
)
_QUIET: Final = "opacity:0.7"  # no color, because each would be hard to read in a dark or in a light mailbox
_URL: Final = f"color:inherit;{_QUIET};font-size:13px;word-break:break-all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLink:
    """One result: the text of its link, and the exact URL. `short` is for a row of links in a line of text; `copy` is
    the path of its copy in the archive."""

    label: str
    url: str
    kind: str
    short: str = ""
    copy: str = ""

    @property
    def inline(self) -> str:
        """The text of the link inside a line of text."""
        return self.short or self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCard:
    """A message in parts, from top to bottom. `pictures` are for services that download pictures themselves, and for
    emails. `has_files`: attach the results if possible. `is_replaced`: the operator's own text is sent instead, so that
    only the files count."""

    title: str
    tone: str
    before: tuple[str, ...] = ()
    links: tuple[CardLink, ...] = ()
    notes: tuple[str, ...] = ()
    facts: str = ""
    after: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    has_files: bool = False
    story: CardLink | None = None  # link to the task on the status page; the last line
    is_replaced: bool = False

    @property
    def has_players(self) -> bool:
        """Whether its links lead to something that a player plays."""
        return any(each.kind in {"videos", "audios"} for each in self.links)

    @property
    def can_be_shown(self) -> bool:
        """Whether it may be shown, and every URL is short enough for a named link."""
        return not self.is_replaced and all(len(each.url) <= MOST_NAMED_URL for each in self.links)

    @property
    def has_odd_urls(self) -> bool:
        """Whether a URL cannot be the target of a link in Markdown."""
        return any(_ends_a_link(each.url) for each in self.links)

    @property
    def quiet(self) -> list[str]:
        """The lines below the results."""
        return [*self.notes, *([self.facts] if self.facts else []), *self.after]

    def json(self) -> Json:
        """The card as it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Json) -> ChatCard | None:
        """The stored card; None for any other value."""
        try:
            return _STORED.validate_python(stored)
        except ValidationError:
            return None


_STORED: Final = TypeAdapter(ChatCard)


def card_text(card: ChatCard) -> str:
    """The card below its title, as plain text with each URL on its own line."""
    story = [card.story.url] if card.story is not None else []
    return "\n".join([*card.before, *(link.url for link in card.links), *card.quiet, *story])


def card_lines(
    card: ChatCard,
    link: Callable[[CardLink], str],
    escape: Callable[[str], str] = str,
    *,
    is_short: bool = False,
) -> list[str]:
    """The card below its title. `link` writes a named link, `escape` everything else. The links are on one line; with
    `is_short`, the facts are on it, too."""
    facts = [card.facts] if is_short and card.facts else []
    results = " · ".join([*map(link, card.links), *map(escape, facts)])
    quiet = [*card.notes, *card.after] if is_short else card.quiet
    story = [link(card.story)] if card.story is not None else []
    return [*map(escape, card.before), *([results] if results else []), *map(escape, quiet), *story]


def card_html(card: ChatCard, *, line_break: str = "<br/>") -> str:
    """The card in the HTML that chats understand: bold text, links and line breaks."""
    return line_break.join([f"<b>{_text_html(card.title)}</b>", *card_lines(card, _link_html, _text_html)])


def _text_html(text: str) -> str:
    return html.escape(text, quote=False)


def _link_html(link: CardLink) -> str:
    return f'<a href="{html.escape(link.url)}">{_text_html(link.inline)}</a>'


def card_mail(card: ChatCard, pictures: Sequence[str] = ()) -> str:
    """The card as an email: each link by its name and also as a URL, because mail programs differ.

    `pictures` are the names of attached pictures: the results themselves, or the cover of the first. Two are side by
    side on a desktop, one below the other on a phone.
    """
    parts = [f'<p style="font-size:18px"><b>{_text_html(card.title)}</b></p>']
    if card.before:
        parts.append(f"<p>{'<br/>'.join(_text_html(line) for line in card.before)}</p>")
    width = 480 if len(card.links) == 1 and card.links[0].kind != "images" else 300
    shown = [
        f'<a href="{html.escape(link.url)}"><img src="cid:{name}" width="{width}" alt="{html.escape(link.label)}"'
        f' style="{_PICTURE}"></a>'
        for link, name in zip(card.links, pictures, strict=False)
    ]
    parts += [f'<p style="{_ROW}">{" ".join(shown)}</p>'] if shown else []
    style = _BUTTON if len(card.links) == 1 else ""
    parts += [_mail_link(each, style) for each in card.links]
    if card.quiet:
        quiet = "<br/>".join(_text_html(line) for line in card.quiet)
        parts.append(f'<p style="{_QUIET}">{quiet}</p>')
    if card.story is not None:
        parts.append(_mail_link(card.story))
    return f'<div style="{_PAGE}">\n' + "\n".join(parts) + "\n</div>"


def _mail_link(link: CardLink, style: str = "") -> str:
    url, shown = html.escape(link.url), f' style="{style}"' if style else ""
    name = _text_html(link.label)
    return f'<p><a href="{url}"{shown}>{name}</a><br/><a href="{url}" style="{_URL}">{url}</a></p>'


def card_bare_lines(card: ChatCard) -> str:
    """The card below its title in Discord's Markdown, with each URL on its own line."""
    urls = (link.url for link in card.links)
    return card_quiet_lines(replace(card, before=(*card.before, *urls), links=()))


def card_quiet_lines(card: ChatCard) -> str:
    """The card below its title, in Discord's Markdown. Links have names and no previews, because the files follow in a
    separate message."""
    return "\n".join(card_lines(card, partial(markdown_link, suppressed=True)))


def markdown_link(link: CardLink, *, suppressed: bool = False) -> str:
    """A named link in Markdown; the bare URL if the URL could end the link early. `suppressed`: Discord shows no
    preview of it."""
    if _ends_a_link(link.url):
        return link.url
    return f"[{link.inline}](<{link.url}>)" if suppressed else f"[{link.inline}]({link.url})"


def _ends_a_link(url: str) -> bool:
    return any(sign in url for sign in "()[]<>* ")


def card_markdown(card: ChatCard) -> str:
    """The card below its title, in Markdown with hard line breaks. The markup of text from outside has already been
    removed."""
    return "  \n".join(card_lines(card, markdown_link))


def card_short_markdown(card: ChatCard) -> str:
    """The same for chats that keep line breaks: results and facts are on one line."""
    return "\n".join(card_lines(card, markdown_link, is_short=True))
