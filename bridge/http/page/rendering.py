"""Renders templates. Text from outside is always escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import jinja2
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup, escape

from bridge import __version__
from bridge.chinese_reasons import is_own
from bridge.http.page.asset_files import asset_url
from bridge.http.page.visitor import Visitor
from bridge.http.page.wording import Wording

MIDDLE_OF_URL: Final = "…"
_TURNING: Final = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
SHOWN_OF_URL: Final = 70  # maximum characters of a long address
_BREAK: Final = re.compile(r"\s*\n\s*(/?>)?|[<>]")
_OWN_LINK: Final = re.compile(r'(?<= )(href|src|poster|action|formaction|data-copy)="(?=/)')


class LineBreaks(Extension):
    """Takes out the line breaks of a template, with the spaces around them. Within a tag, one space remains.

    So a break may be anywhere, and never shows as a space. A space that must show is within a line.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        is_tag = False

        def joined(found: re.Match[str]) -> str:
            nonlocal is_tag
            if found[0] in "<>":
                is_tag = found[0] == "<"
                return found[0]
            is_tag = is_tag and found[1] is None
            return " " if is_tag else found[1] or ""

        for token in stream:
            is_text = token.type == "data"
            yield Token(token.lineno, "data", _BREAK.sub(joined, token.value)) if is_text else token


@cache
def environment() -> jinja2.Environment:
    """The templates of the page."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge.http.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=[LineBreaks],
        finalize=one_direction,
    )
    made.globals.update(asset_url=asset_url, version=__version__, address=address, ms=ms)
    made.filters.update(web=web, host=host, short=short, filled=filled)
    made.tests.update(own=is_own)
    return made


def render(template: str, visitor: Visitor, words: Wording, values: Mapping[str, Any]) -> str:
    """One page, for this reader, at the time of `words`. Templates write links without the reader's base path."""
    found = environment().get_template(template)
    html = found.render(
        t=words.text,
        counted=words.counted,
        words=words,
        client_texts=words.client_texts,
        visitor=visitor,
        now=words.now,
        **values,
    )
    if base := escape(visitor.base_path):
        html = _OWN_LINK.sub(lambda found: f"{found[0]}{base}", html)
    return html


def one_direction(value: object) -> object:
    """Text without characters that change its direction: `cod.exe` could be drawn as `exe.doc`."""
    return value.translate(_TURNING) if type(value) is str else value  # genbridge's own markup has none


def address(path: str, kept: Iterable[tuple[str, str]] = (), **parameters: object) -> str:
    """A link within the page. Parameters that are None or empty are left out; a list becomes one parameter for each
    value. `kept` are parameters of the current address, used unless they are given again."""
    given = [(name, value) for name, value in kept if name not in parameters]
    for name, value in parameters.items():
        several = value if isinstance(value, list | tuple) else [value]
        given += [(name, str(one)) for one in several if one is not None and one != ""]
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def ms(at: float) -> int:
    """A time for the page's script."""
    return round(at * 1000)


def filled(text: str, **parts: Markup) -> Markup:
    """A text in which `{name}` is replaced by pieces of the page."""
    return escape(text).format(**parts)


def web(url: str) -> str | None:
    """The address if a browser may follow it from here: only http and https."""
    return url if url.lower().startswith(("http://", "https://")) else None


def host(url: str) -> str:
    """The host of an address, for people."""
    try:
        return urlsplit(url).hostname or url[:SHOWN_OF_URL]
    except ValueError:
        return url[:SHOWN_OF_URL]


def short(url: str) -> str:
    """An address without its query, cut in the middle."""
    plain = url.partition("?")[0]
    if len(plain) <= SHOWN_OF_URL:
        return plain + (MIDDLE_OF_URL if plain != url else "")
    return plain[: SHOWN_OF_URL - 25] + MIDDLE_OF_URL + plain[-24:]
